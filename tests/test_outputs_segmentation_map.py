"""The segmentation map against astropy and CFITSIO, which know nothing of our writer."""

from pathlib import Path

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photutils.segmentation import SegmentationImage

from starnet.errors import StarnetError
from starnet.outputs import segmentation_map
from starnet.outputs.segmentation_map import read_segmentation_map, write_segmentation_map
from starnet.tiles import Box

HIGHEST = 2**31 - 1

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def wcs_header() -> fits.Header:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 53.16, -27.78
    wcs.wcs.crpix = 31.5, 12.25
    wcs.wcs.cdelt = -0.06 / 3600, 0.06 / 3600
    return wcs.to_header()


def blobs(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Labels as objects have them: patches on an empty sky."""
    random = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for label in range(1, 40):
        y, x = random.integers(0, shape[0]), random.integers(0, shape[1])
        labels[y : y + 20, x : x + 15] = label
    return labels


@st.composite
def label_maps(draw: st.DrawFn) -> np.ndarray:
    shape = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    labels = np.zeros(shape, np.int32)
    for _ in range(draw(st.integers(0, 4))):
        y, x = draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))
        label = draw(st.integers(1, HIGHEST))
        labels[y : y + draw(st.integers(1, 20)), x : x + draw(st.integers(1, 20))] = label
    return labels


@same_folder
@given(labels=label_maps(), tile=st.tuples(st.integers(1, 50), st.integers(1, 50)), threads=st.integers(1, 3))
def test_every_reader_gives_the_labels_back(tmp_path: Path, labels, tile, threads):
    path = tmp_path / "map.fits"
    write_segmentation_map(path, labels.shape, lambda y0, y1: labels[y0:y1], tile=tile, threads=threads)
    with fits.open(path) as hdus:
        hdus.verify("exception")
        image = hdus["SEGMENTATION"]
        assert image.header["BITPIX"] == 32
        assert image.data.dtype == np.int32
        np.testing.assert_array_equal(image.data, labels)
    np.testing.assert_array_equal(fitsio.read(path, ext="SEGMENTATION"), labels)
    np.testing.assert_array_equal(read_segmentation_map(path).labels, labels)
    assert [p.name for p in tmp_path.iterdir()] == ["map.fits"]


def test_checksums_are_right(tmp_path):
    labels = blobs((300, 200))
    write_segmentation_map(tmp_path / "map.fits", labels.shape, lambda y0, y1: labels[y0:y1], header=wcs_header())
    # astropy warns of a wrong checksum, and warnings are errors here.
    with fits.open(tmp_path / "map.fits", checksum=True, disable_image_compression=True) as hdus:
        assert hdus[1].data is not None
        assert all("CHECKSUM" in hdu.header and "DATASUM" in hdu.header for hdu in hdus)
    damaged = bytearray((tmp_path / "map.fits").read_bytes())
    damaged[-2000] ^= 1
    (tmp_path / "damaged.fits").write_bytes(damaged)
    with (
        pytest.warns(UserWarning, match="verification failed"),
        fits.open(tmp_path / "damaged.fits", checksum=True, disable_image_compression=True) as hdus,
    ):
        assert hdus[1].data is not None


def test_bytes_do_not_depend_on_threads_or_on_a_reused_buffer(tmp_path):
    labels = blobs((500, 300))
    buffer = np.empty((64, 300), np.int32)

    def read_rows(y0: int, y1: int) -> np.ndarray:
        buffer[: y1 - y0] = labels[y0:y1]
        return buffer[: y1 - y0]

    for name, reader, threads in (("a", lambda y0, y1: labels[y0:y1], 1), ("b", read_rows, 4)):
        write_segmentation_map(tmp_path / name, labels.shape, reader, tile=(64, 64), threads=threads)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_large_heap_takes_64_bit_descriptors(tmp_path, monkeypatch):
    monkeypatch.setattr(segmentation_map, "_LARGEST_SHORT_HEAP", 100)
    labels = blobs((150, 170))
    path = tmp_path / "map.fits"
    write_segmentation_map(path, labels.shape, lambda y0, y1: labels[y0:y1], tile=(32, 32))
    with fits.open(path, checksum=True, disable_image_compression=True) as hdus:
        assert hdus[1].header["TFORM1"].startswith("1QB")
        assert hdus[1].data is not None
    np.testing.assert_array_equal(fits.getdata(path, 1), labels)
    np.testing.assert_array_equal(fitsio.read(path, ext=1), labels)


def test_header_keeps_wcs_and_leaves_storage_out(tmp_path):
    header = wcs_header()
    header["OBJECT"] = "HUDF"
    header["HISTORY"] = "drizzled"
    storage = {"BZERO": 32768, "BSCALE": 2.0, "BUNIT": "ELECTRONS/S", "DATE": "2012-01-01", "ZCMPTYPE": "RICE_1"}
    header.update({**storage, "TTYPE1": "flux", "EXTNAME": "SCI", "CHECKSUM": "x", "NAXIS3": 7})
    labels = blobs((100, 90))
    path = tmp_path / "map.fits"
    write_segmentation_map(path, labels.shape, lambda y0, y1: labels[y0:y1], header=header)
    read = read_segmentation_map(path)
    np.testing.assert_array_equal(read.labels, labels)
    assert read.header["OBJECT"] == "HUDF"
    assert list(read.header["HISTORY"]) == ["drizzled"]
    assert read.header["EXTNAME"] == "SEGMENTATION"
    assert not {*storage, "TTYPE1", "NAXIS3"} & set(read.header)
    expected = WCS(wcs_header())
    assert read.wcs is not None
    np.testing.assert_allclose(
        read.wcs.pixel_to_world_values(10, 20), expected.pixel_to_world_values(10, 20), rtol=1e-12
    )


def test_reading_a_box_moves_the_wcs(tmp_path):
    labels = blobs((100, 90))
    path = tmp_path / "map.fits"
    write_segmentation_map(path, labels.shape, lambda y0, y1: labels[y0:y1], header=wcs_header(), tile=(16, 16))
    whole, part = read_segmentation_map(path), read_segmentation_map(path, Box(33, 200, -5, 47))
    np.testing.assert_array_equal(part.labels, labels[33:, :47])
    assert whole.wcs is not None
    assert part.wcs is not None
    np.testing.assert_allclose(part.wcs.pixel_to_world_values(4, 6), whole.wcs.pixel_to_world_values(4, 39), rtol=1e-12)


def test_map_without_wcs_has_none(tmp_path):
    labels = blobs((20, 20))
    write_segmentation_map(tmp_path / "map.fits", labels.shape, lambda y0, y1: labels[y0:y1])
    assert read_segmentation_map(tmp_path / "map.fits").wcs is None


def test_photutils_takes_the_labels(tmp_path):
    labels = blobs((80, 80))
    write_segmentation_map(tmp_path / "map.fits", labels.shape, lambda y0, y1: labels[y0:y1])
    image = read_segmentation_map(tmp_path / "map.fits").to_photutils()
    assert isinstance(image, SegmentationImage)
    np.testing.assert_array_equal(image.labels, np.unique(labels[labels > 0]))


def test_progress_counts_rows(tmp_path):
    seen = []
    labels = blobs((70, 30))
    write_segmentation_map(
        tmp_path / "map.fits",
        labels.shape,
        lambda y0, y1: labels[y0:y1],
        tile=(32, 32),
        progress=lambda *call: seen.append(call),
    )
    assert seen == [("segmentation map", y, 70) for y in (32, 64, 70)]


def test_strips_are_read_once_and_few_are_held(tmp_path):
    """A tall map is written from strips made on demand, never as a whole."""
    asked = []

    def read_rows(y0: int, y1: int) -> np.ndarray:
        asked.append((y0, y1))
        return np.full((y1 - y0, 8), y0, np.int32)

    write_segmentation_map(tmp_path / "map.fits", (1000, 8), read_rows, tile=(128, 8))
    assert asked == [(y, min(y + 128, 1000)) for y in range(0, 1000, 128)]
    np.testing.assert_array_equal(
        read_segmentation_map(tmp_path / "map.fits").labels[:, 0], np.arange(1000) // 128 * 128
    )


@pytest.mark.parametrize("rows", [np.zeros((5, 9), np.int32), np.zeros((10, 10), np.int64)])
def test_wrong_rows_are_refused_and_leave_nothing(tmp_path, rows):
    with pytest.raises(ValueError, match="rows 0 to 10 must be int32"):
        write_segmentation_map(tmp_path / "map.fits", (10, 10), lambda y0, y1: rows)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_stands_survives_a_failure(tmp_path):
    path = tmp_path / "map.fits"
    path.write_text("precious")

    def read_rows(y0: int, y1: int) -> np.ndarray:
        raise RuntimeError("no labels")

    with pytest.raises(RuntimeError, match="no labels"):
        write_segmentation_map(path, (10, 10), read_rows)
    assert path.read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1


def test_reading_what_is_no_map_says_so(tmp_path):
    with pytest.raises(StarnetError, match=r"gone\.fits could not be read"):
        read_segmentation_map(tmp_path / "gone.fits")
    fits.writeto(tmp_path / "image.fits", np.zeros((4, 4), np.float32))
    with pytest.raises(StarnetError, match=r"image\.fits holds no two-dimensional image of integers"):
        read_segmentation_map(tmp_path / "image.fits")
    fits.writeto(tmp_path / "labels.fits", np.ones((4, 5), np.int16))
    with pytest.raises(StarnetError, match="4 x 5 pixels, and none of them"):
        read_segmentation_map(tmp_path / "labels.fits", Box(10, 20, 0, 5))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64])
def test_plain_maps_of_other_programs_are_read(tmp_path, dtype):
    labels = blobs((30, 40)).astype(dtype)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((3, 3)), name="SCI"), fits.ImageHDU(labels)]).writeto(
        tmp_path / "map.fits"
    )
    read = read_segmentation_map(tmp_path / "map.fits").labels
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, labels)


def test_labels_that_int32_cannot_hold_are_refused(tmp_path):
    fits.writeto(tmp_path / "map.fits", np.array([[1, HIGHEST + 1]]))
    with pytest.raises(StarnetError, match="no 32-bit integers"):
        read_segmentation_map(tmp_path / "map.fits")
