"""Bands from PNG, JPEG and TIFF."""

import pickle
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from fits_samples import sky, write
from starnet.errors import StarnetError
from starnet.io.planes import RawPlane
from starnet.mosaic import Mosaic
from starnet.tiles import Box

RGB = np.random.default_rng(5).integers(0, 256, (30, 40, 3)).astype("u1")
WHOLE = Box(0, 30, 0, 40)
BOX = Box(3, 21, 5, 40)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def window(mosaic, box=BOX):
    return mosaic.read(box).data


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "webp"])
def test_colours_in_the_order_of_rows_of_the_file(tmp_path, ending):
    path = save(tmp_path / f"a.{ending}", RGB, **({"lossless": True} if ending == "webp" else {}))
    mosaic = Mosaic.open([path])
    assert [band.name for band in mosaic.bands] == ["R", "G", "B"]
    assert [band.unit for band in mosaic.bands] == [None] * 3
    assert mosaic.wcs is None
    assert mosaic.origin == "upper"
    pixels = mosaic.read(BOX)
    assert pixels.data.dtype == np.float32
    np.testing.assert_array_equal(pixels.data, np.moveaxis(RGB, -1, 0)[:, 3:21, 5:40])
    assert pixels.valid.all()


def test_jpeg_is_what_pillow_decodes(tmp_path):
    path = save(tmp_path / "a.jpg", RGB)
    with Image.open(path) as image:
        expected = np.moveaxis(np.asarray(image), -1, 0)
    np.testing.assert_array_equal(window(Mosaic.open([path]), WHOLE), expected)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4"])
def test_grey(tmp_path, dtype):
    grey = np.arange(1200).reshape(30, 40).astype(dtype)
    mosaic = Mosaic.open([save(tmp_path / ("a.tif" if dtype == "i4" else "a.png"), grey)])
    assert [band.name for band in mosaic.bands] == ["L"]
    np.testing.assert_array_equal(window(mosaic)[0], grey[3:21, 5:40])


def test_black_and_white_and_palette(tmp_path):
    bitmap = tmp_path / "a.png"
    Image.fromarray(RGB[..., 0] > 99).save(bitmap)
    np.testing.assert_array_equal(window(Mosaic.open([bitmap]), WHOLE)[0], 255 * (RGB[..., 0] > 99))
    palette = Image.fromarray(RGB).quantize(16)
    palette.save(tmp_path / "b.png")
    expected = np.moveaxis(np.asarray(palette.convert("RGB")), -1, 0)
    np.testing.assert_array_equal(window(Mosaic.open([tmp_path / "b.png"]), WHOLE), expected)
    palette.save(tmp_path / "c.tif")
    np.testing.assert_array_equal(window(Mosaic.open([tmp_path / "c.tif"]), WHOLE), expected)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_where_alpha_is_0_there_is_no_data(tmp_path, ending):
    alpha = np.full((30, 40, 1), 255, "u1")
    alpha[4, 6], alpha[5, 7] = 0, 1
    mosaic = Mosaic.open([save(tmp_path / f"a.{ending}", np.concatenate([RGB, alpha], axis=-1))])
    assert [band.name for band in mosaic.bands] == ["R", "G", "B"]
    pixels = mosaic.read(BOX)
    assert np.argwhere(~pixels.valid).tolist() == [[k, 1, 1] for k in range(3)]
    assert np.isnan(pixels.data[:, 1, 1]).all()
    np.testing.assert_array_equal(pixels.data[pixels.valid], np.moveaxis(RGB, -1, 0)[:, 3:21, 5:40][pixels.valid])


def test_sixteen_bits_a_colour_are_said_to_be_lost(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.tobytes() for row in (RGB.astype(">u2") * 257))
    path = tmp_path / "a.png"
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 30, 16, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    mosaic = Mosaic.open([path])
    assert mosaic.notes == [f"{path} has 16 bits a colour, of which 8 are read: TIFF or FITS would keep them all"]
    np.testing.assert_array_equal(window(mosaic, WHOLE), np.moveaxis(RGB, -1, 0))


FLOATS = np.random.default_rng(6).normal(size=(3, 30, 40)).astype("f4")


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    ("array", "options", "names", "mapped"),
    [
        (FLOATS[0], {}, ["L"], True),
        (FLOATS[0].astype("f8"), {}, ["L"], True),
        (np.moveaxis(FLOATS, 0, -1), {"photometric": "rgb"}, ["R", "G", "B"], True),
        (FLOATS, {"photometric": "rgb", "planarconfig": "separate"}, ["R", "G", "B"], True),
        (FLOATS, {"photometric": "minisblack"}, ["0", "1", "2"], True),
        (FLOATS[:2], {"photometric": "minisblack"}, ["0", "1"], True),
        (FLOATS, {"photometric": "minisblack", "bigtiff": True}, ["0", "1", "2"], True),
        (FLOATS[0], {"compression": "zlib"}, ["L"], False),
        (FLOATS, {"photometric": "minisblack", "compression": "zlib"}, ["0", "1", "2"], False),
        (np.moveaxis(FLOATS, 0, -1), {"photometric": "rgb", "compression": "zlib"}, ["R", "G", "B"], False),
        (FLOATS[0], {"tile": (16, 16)}, ["L"], False),
        ((1e4 * FLOATS[0]).astype("i2"), {}, ["L"], True),
        ((1e4 * FLOATS[0] ** 2).astype("u2"), {}, ["L"], True),
    ],
)
def test_tiff(tmp_path, array, options, names, mapped, byteorder):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, byteorder=byteorder, **options)
    mosaic = Mosaic.open([path])
    assert [band.name for band in mosaic.bands] == names
    assert all(isinstance(band.science, RawPlane) == mapped for band in mosaic.bands)
    expected = np.moveaxis(array, -1, 0) if array.shape[-1] == 3 else array.reshape(-1, 30, 40)
    np.testing.assert_array_equal(window(mosaic), expected[:, 3:21, 5:40].astype("f4"))


def test_one_plane_is_chosen_and_named(tmp_path):
    path = save(tmp_path / "a.png", RGB)
    mosaic = Mosaic.open([f"F160W={path}[R]", f"F606W={path}[2]", f"{path}[g]"])
    assert [band.name for band in mosaic.bands] == ["F160W", "F606W", "G"]
    np.testing.assert_array_equal(window(mosaic, WHOLE), np.moveaxis(RGB, -1, 0)[[0, 2, 1]])


def test_fits_and_pictures_together(tmp_path):
    fits_file, png = write(tmp_path / "z.fits", sky()), save(tmp_path / "a.png", RGB)
    mosaic = Mosaic.open([fits_file, png])
    assert [band.name for band in mosaic.bands] == ["z", "R", "G", "B"]
    assert mosaic.origin == "lower"
    assert mosaic.notes == ["pictures and FITS images are matched row by row in the order of their files"]
    np.testing.assert_array_equal(window(mosaic, WHOLE), np.concatenate([sky()[None], np.moveaxis(RGB, -1, 0)]))


def test_a_pickled_picture_holds_no_pixels(tmp_path):
    mosaic = Mosaic.open([save(tmp_path / "a.png", RGB)])
    text = pickle.dumps(mosaic)
    assert len(text) < 2000
    np.testing.assert_array_equal(window(pickle.loads(text)), window(mosaic))


# --- refusals ---


def refused(text) -> str:
    with pytest.raises(StarnetError) as caught:
        Mosaic.open([str(text)])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_unknown_plane_and_names(tmp_path):
    path = save(tmp_path / "a.png", RGB)
    assert refused(f"{path}[X]") == f"{path} has no plane [X]: choose one of R, G, B"
    assert refused(f"{path}[3]") == f"{path} has no plane [3]: choose one of R, G, B"
    assert refused(f"z={path}") == (
        f"{path} holds 3 bands, which cannot all be called z: choose one, as in z={path}[R]"
    )


def test_a_decompression_bomb(tmp_path):
    path = save(tmp_path / "a.png", RGB)
    content = bytearray(path.read_bytes())
    for side in (12_000, 60_000):
        content[16:24] = struct.pack(">II", side, side)
        content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
        path.write_bytes(content)
        assert refused(path) == (
            f"{path} has more than 89 million pixels, too many to be decoded whole: "
            "convert it to FITS or to uncompressed TIFF, which are read in windows"
        )


@pytest.mark.parametrize(("ending", "keep"), [("png", 1000), ("jpg", 700)])
def test_truncated_pictures(tmp_path, ending, keep):
    path = save(tmp_path / f"a.{ending}", RGB)
    path.write_bytes(path.read_bytes()[:keep])
    message = refused(path)
    assert message.startswith(f"{path} cannot be decoded (")
    assert message.endswith("): is it damaged?")


def test_truncated_tiff(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FLOATS[0])
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    assert (
        refused(path)
        == f"{path} is truncated: it asks for {len(content)} bytes and has {len(content) - 100}; copy it again"
    )
    path.write_bytes(content[:20])
    assert f"{path} cannot be read as TIFF (" in refused(path)
    tifffile.imwrite(path, FLOATS[0], compression="zlib")
    path.write_bytes(path.read_bytes()[:-300])
    assert f"{path} cannot be decoded (" in refused(path)


def test_complex_pixels(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FLOATS[0].astype("c8"))
    assert refused(path) == f"{path} has pixels of type complex64: save it with integers or floats"


def test_a_tiff_of_more_axes(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((2, 3, 30, 40), "u1"), photometric="minisblack", metadata={"axes": "TZYX"})
    assert "is 2 x 3 x 30 x 40 pixels with axes TZYX, not an image: save one plane or one stack of them" in refused(
        path
    )
