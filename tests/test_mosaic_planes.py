"""Windows of image planes against astropy's reading of the whole image, to the last bit."""

import gzip
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fits_samples import image_hdu, sky, write
from starnet import _core
from starnet.errors import StarnetError
from starnet.io import planes
from starnet.io.hdus import open_plane, read_hdus
from starnet.io.planes import CompressedPlane, PackedPlane, RawPlane
from starnet.tiles import Box, TileGrid

KEEP_FOLDER = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
STORED = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}


def plane_of(path: Path, hdu: int = 0, k: int | None = None):
    return open_plane(read_hdus(path)[hdu], k)


def oracle(path: Path, hdu: int = 0) -> np.ndarray:
    with fits.open(path, memmap=False) as hdus, np.errstate(over="ignore"):
        return hdus[hdu].data.astype(np.float32)


@st.composite
def boxes(draw, shape=None):
    ny, nx = shape
    y = sorted(draw(st.lists(st.integers(0, ny), min_size=2, max_size=2, unique=True)))
    x = sorted(draw(st.lists(st.integers(0, nx), min_size=2, max_size=2, unique=True)))
    return Box(*y, *x)


@st.composite
def stored_images(draw):
    """Stored integers or floats, with the scaling cards that go with them."""
    kind = draw(st.sampled_from(sorted(STORED)))
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cards = {}
    if kind[0] == "f":
        data = rng.choice([0.0, 1.5, -3.25e8, np.nan, np.inf, -np.inf, 1e-30, 3e38], shape).astype(kind)
    else:
        info = np.iinfo(kind)
        data = rng.integers(info.min, info.max, shape, dtype=kind, endpoint=True)
    if draw(st.booleans()):
        cards["BSCALE"] = draw(st.sampled_from([1.0, 2.0, 2.92273835509, 1e-3]))
    if draw(st.booleans()):
        cards["BZERO"] = draw(st.sampled_from([0.0, -128, 32768, 2147483648, 2**63, 3713.66692596]))
    if kind[0] != "f" and not cards and draw(st.booleans()):
        cards["BLANK"] = int(data.flat[0])
    return data, cards, draw(boxes(shape=shape))


@KEEP_FOLDER
@given(stored_images())
def test_a_window_of_any_pixel_type_is_astropys(tmp_path, case):
    data, cards, box = case
    path = tmp_path / "a.fits"
    header = fits.Header({"SIMPLE": True, "BITPIX": STORED[data.dtype.str[1:]], "NAXIS": 2})
    header.update(NAXIS1=data.shape[1], NAXIS2=data.shape[0], **cards)
    stored = data.astype(data.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(header.tostring().encode() + stored + b"\0" * (-len(stored) % 2880))

    window = plane_of(path).read(box)

    assert window.dtype == np.dtype(np.float32)
    assert window.dtype.isnative
    expected = oracle(path)[box.slices]
    np.testing.assert_array_equal(window.view(np.int32), expected.view(np.int32))


def test_blank_counts_for_unsigned_integers_too(tmp_path):
    data = np.array([[0, 1, 65535]], dtype="u2")
    path = write(tmp_path / "a.fits", data)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header["BLANK"] = -32768
    np.testing.assert_array_equal(plane_of(path).read(Box(0, 1, 0, 3)), [[np.nan, 1, 65535]])


def test_integers_are_read_exactly_into_integers(tmp_path):
    data = np.array([[2**31 - 1, -(2**31), 16777217]], dtype="i4")
    plane = plane_of(write(tmp_path / "a.fits", data))
    np.testing.assert_array_equal(plane.read(Box(0, 1, 0, 3), np.empty((1, 3), np.int64)), data)
    unsigned = plane_of(write(tmp_path / "b.fits", np.array([[2**32 - 1, 0]], dtype="u4")))
    np.testing.assert_array_equal(unsigned.read(Box(0, 1, 0, 2), np.empty((1, 2), np.int64)), [[2**32 - 1, 0]])


def test_masks_stored_as_floats_are_read_into_integers(tmp_path):
    plane = plane_of(write(tmp_path / "a.fits", np.array([[3.0, np.nan, np.inf]], dtype="f4")))
    np.testing.assert_array_equal(plane.read(Box(0, 1, 0, 3), np.empty((1, 3), np.int64)), [[3, 0, 0]])


def test_numbers_beyond_float32_become_infinite_without_a_word(tmp_path):
    plane = plane_of(write(tmp_path / "a.fits", np.array([[1e300, -1e300, 1.0]])))
    np.testing.assert_array_equal(plane.read(Box(0, 1, 0, 3)), [[np.inf, -np.inf, 1]])


def test_strips_do_not_show(tmp_path, monkeypatch):
    data = sky((97, 53))
    plane = plane_of(write(tmp_path / "a.fits", data))
    monkeypatch.setattr(planes, "_STRIP_BYTES", 45 * 4 * 7 + 3)
    np.testing.assert_array_equal(plane.read(Box(3, 95, 5, 50)), data[3:95, 5:50])


def test_only_the_rows_of_a_window_are_read(tmp_path, monkeypatch):
    read = []
    plane = plane_of(write(tmp_path / "a.fits", sky((200, 150))))
    assert isinstance(plane, RawPlane)
    read_rows = _core.read_rows
    monkeypatch.setattr(_core, "read_rows", lambda f, *how: read.append((*how[:2], how[2].shape)) or read_rows(f, *how))
    plane.read(Box(20, 50, 7, 107))
    assert read == [(plane.offset + 20 * 600 + 28, 600, (30, 400))]


@pytest.mark.parametrize("k", [0, 1, 4])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_plane_of_a_cube(tmp_path, k, compressed):
    data = sky((5, 12, 9), dtype="i4")
    hdu = fits.CompImageHDU(data, compression_type="RICE_1", tile_shape=(1, 5, 9)) if compressed else image_hdu(data)
    plane = plane_of(write(tmp_path / "a.fits", hdu), 1, k)
    np.testing.assert_array_equal(plane.read(Box(2, 11, 1, 8)), data[k, 2:11, 1:8])


@pytest.mark.parametrize("compressed", [False, True])
def test_leading_axes_of_length_one_are_no_cube(tmp_path, compressed):
    data = sky((1, 1, 12, 9), dtype="i4")
    hdu = fits.CompImageHDU(data, compression_type="RICE_1") if compressed else image_hdu(data)
    plane = plane_of(write(tmp_path / "a.fits", hdu), 1)
    assert plane.shape == (12, 9)
    np.testing.assert_array_equal(plane.read(Box(2, 11, 1, 8)), data[0, 0, 2:11, 1:8])


@pytest.mark.parametrize("algorithm", ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1"])
@pytest.mark.parametrize("tile", [(1, 60), (16, 60), (16, 20), (50, 60)])
@pytest.mark.parametrize("dtype", ["f4", "i2", "f8"])
def test_windows_of_compressed_images(tmp_path, algorithm, tile, dtype):
    if algorithm == "HCOMPRESS_1":
        tile = (10 if tile[0] == 1 else tile[0] // 5 * 5, tile[1])  # it wants tiles of some height, the last one too
    hdu = fits.CompImageHDU(sky((50, 60), dtype=dtype), compression_type=algorithm, tile_shape=tile)
    path = write(tmp_path / "a.fits", hdu)
    expected, plane = oracle(path, 1), plane_of(path, 1)
    assert isinstance(plane, CompressedPlane)
    for one in TileGrid((50, 60), core=(17, 23), halo=3):
        np.testing.assert_array_equal(plane.read(one.window), expected[one.window.slices])


def test_compressed_integers_with_blank_and_scale(tmp_path):
    data = np.arange(600, dtype="i2").reshape(20, 30)
    hdu = fits.CompImageHDU(data, compression_type="RICE_1")
    hdu.header.update(BLANK=7)
    path = write(tmp_path / "a.fits", hdu)
    window = plane_of(path, 1).read(Box(0, 20, 0, 30))
    np.testing.assert_array_equal(window, oracle(path, 1))
    assert np.isnan(window).sum() == 1


def test_row_tiles_are_decompressed_once_for_a_row_of_windows(tmp_path, monkeypatch):
    data = sky((64, 90), dtype="i4")
    plane = plane_of(write(tmp_path / "a.fits", fits.CompImageHDU(data, tile_shape=(1, 90))), 1)
    taken = []
    take = CompressedPlane._take
    monkeypatch.setattr(CompressedPlane, "_take", lambda self, *a: taken.append(a) or take(self, *a))
    for tile in TileGrid((64, 90), core=32, halo=4):
        np.testing.assert_array_equal(plane.read(tile.window), data[tile.window.slices])
    assert len(taken) == 2


def test_a_block_above_the_limit_is_read_in_strips_and_not_kept(tmp_path, monkeypatch):
    data = sky((64, 90), dtype="i4")
    plane = plane_of(write(tmp_path / "a.fits", fits.CompImageHDU(data, tile_shape=(4, 90))), 1)
    monkeypatch.setattr(planes, "CACHED_BYTES", 90 * 4 * 9)
    np.testing.assert_array_equal(plane.read(Box(3, 61, 5, 80)), data[3:61, 5:80])
    assert plane._block.nbytes <= planes.CACHED_BYTES


def test_a_pickled_plane_holds_no_pixels(tmp_path):
    data = sky((64, 90), dtype="i4")
    write(tmp_path / "a.fits", fits.CompImageHDU(data))
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress((tmp_path / "a.fits").read_bytes()))
    for name in ("a.fits", "a.fits.gz"):
        plane = plane_of(tmp_path / name, 1)
        before = len(pickle.dumps(plane))
        plane.read(Box(0, 64, 0, 90))
        assert len(pickle.dumps(plane)) == before < 1000
        copy = pickle.loads(pickle.dumps(plane))
        np.testing.assert_array_equal(copy.read(Box(3, 60, 2, 80)), data[3:60, 2:80])


@pytest.mark.parametrize("dtype", ["f4", "i2", "u2"])
def test_gzipped_files_are_unpacked(tmp_path, dtype):
    data = sky((20, 30), dtype="i2").astype(dtype)
    path = write(tmp_path / "a.fits", data)
    packed = tmp_path / "a.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    plane = plane_of(packed)
    assert isinstance(plane, PackedPlane)
    np.testing.assert_array_equal(plane.read(Box(1, 19, 2, 29)), data[1:19, 2:29].astype("f4"))


@pytest.mark.parametrize("kind", ["raw", "compressed", "packed"])
def test_threads_read_what_one_thread_reads(tmp_path, kind):
    data = sky((90, 120), dtype="i4")
    path = write(tmp_path / "a.fits", fits.CompImageHDU(data) if kind == "compressed" else image_hdu(data))
    if kind == "packed":
        packed = tmp_path / "a.fits.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    plane, wrong, start = plane_of(path, 1), [], threading.Barrier(4)

    def work() -> None:
        start.wait()
        windows = [tile.window for tile in TileGrid((90, 120), core=40, halo=2)]
        wrong.extend(w for w in windows if not np.array_equal(plane.read(w), data[w.slices].astype("f4")))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_file_cut_short_after_opening_is_refused(tmp_path):
    path = write(tmp_path / "a.fits", sky((200, 200)))
    plane = plane_of(path)
    path.write_bytes(path.read_bytes()[:5760])
    with pytest.raises(
        StarnetError, match=r"a\.fits\[0\] has changed since it was opened .*: put it back or start again"
    ):
        plane.read(Box(100, 200, 0, 200))


def test_a_damaged_compressed_file_is_refused(tmp_path):
    path = write(tmp_path / "a.fits", fits.CompImageHDU(sky((50, 60)), compression_type="GZIP_1"))
    plane = plane_of(path, 1)
    content = bytearray(path.read_bytes())
    at = read_hdus(path)[1].offset + 50 * 40
    content[at : at + 600] = b"\xff" * 600
    path.write_bytes(content)
    with pytest.raises(StarnetError, match=r"a\.fits\[.*\] is damaged \(.*\): copy or download it again"):
        plane.read(Box(0, 50, 0, 60))


def test_a_truncated_gzip_is_refused(tmp_path):
    path = write(tmp_path / "a.fits", sky((100, 100)))
    packed = tmp_path / "a.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes())[:-2000])
    with pytest.raises(StarnetError, match=r"a\.fits\.gz"):
        plane_of(packed).read(Box(0, 100, 0, 100))
