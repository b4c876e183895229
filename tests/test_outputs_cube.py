"""The cube, written in pieces, against astropy and CFITSIO."""

from pathlib import Path

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starnet.outputs.cube import FitsCubeWriter
from starnet.tiles import Box, TileGrid


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40)),
    core=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    dtype=st.sampled_from([np.float32, np.float64, np.int16, np.int32, np.uint8]),
    seed=st.integers(0, 99),
)
def test_boxes_in_any_order_make_the_cube(tmp_path: Path, shape, core, dtype, seed):
    random = np.random.default_rng(seed)
    expected = random.uniform(0, 200, shape).astype(dtype)
    tiles = list(TileGrid(shape[1:], core=core))
    random.shuffle(tiles)
    path = tmp_path / "cube.fits"
    with FitsCubeWriter(path, shape, dtype=dtype) as cube:
        for tile in tiles:
            cube.write(tile.core, expected[:, *tile.core.slices])
    with fits.open(path) as hdus:
        hdus.verify("exception")
        assert hdus[0].data.dtype == np.dtype(dtype).newbyteorder(">")
        np.testing.assert_array_equal(hdus[0].data, expected)
    np.testing.assert_array_equal(fitsio.read(path), expected)
    assert path.stat().st_size % 2880 == 0
    assert [p.name for p in tmp_path.iterdir()] == ["cube.fits"]


def test_header_and_what_was_not_written(tmp_path):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (53.1, -27.8), (5, 4), (-1e-5, 1e-5)
    header = wcs.to_header()
    header["BAND1"] = "F160W"
    header["BUNIT"] = "ELECTRONS/S"
    with FitsCubeWriter(tmp_path / "cube.fits", (2, 6, 5), header, unit="sigma") as cube:
        cube.write(Box(1, 3, 2, 5), np.ones((2, 2, 3), np.float32))
    expected = np.zeros((2, 6, 5))
    expected[:, 1:3, 2:5] = 1
    with fits.open(tmp_path / "cube.fits") as hdus:
        np.testing.assert_array_equal(hdus[0].data, expected)
        assert hdus[0].header["BAND1"] == "F160W"
        assert hdus[0].header["BUNIT"] == "sigma"
        read = WCS(hdus[0].header).celestial
    np.testing.assert_allclose(read.pixel_to_world_values(3, 2), wcs.pixel_to_world_values(3, 2), rtol=1e-12)


def test_swapped_and_sliced_pixels_are_written_right(tmp_path):
    image = np.arange(2 * 6 * 8, dtype=">f8").reshape(2, 6, 8)[:, ::2, ::-2]
    with FitsCubeWriter(tmp_path / "cube.fits", image.shape) as cube:
        cube.write(Box(0, 3, 0, 4), image)
    np.testing.assert_array_equal(fits.getdata(tmp_path / "cube.fits"), image)


def test_same_pixels_same_bytes(tmp_path):
    image = np.random.default_rng(0).normal(size=(2, 30, 20)).astype(np.float32)
    for name, core in (("a.fits", 30), ("b.fits", 7)):
        with FitsCubeWriter(tmp_path / name, image.shape) as cube:
            for tile in TileGrid((30, 20), core=core):
                cube.write(tile.core, image[:, *tile.core.slices])
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()


def test_an_error_leaves_nothing(tmp_path):
    def write() -> None:
        with FitsCubeWriter(tmp_path / "cube.fits", (1, 10, 10)) as cube:
            cube.write(Box(0, 5, 0, 10), np.ones((1, 5, 10)))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments(tmp_path):
    path = tmp_path / "cube.fits"
    with pytest.raises(ValueError, match="FITS has no float16"):
        FitsCubeWriter(path, (1, 2, 2), dtype=np.float16)
    with pytest.raises(ValueError, match="must be positive"):
        FitsCubeWriter(path, (0, 2, 2))
    cube = FitsCubeWriter(path, (1, 4, 4))
    with pytest.raises(ValueError, match="not open"):
        cube.write(Box(0, 1, 0, 1), np.zeros((1, 1, 1)))
    for box, shape in ((Box(0, 5, 0, 4), (1, 5, 4)), (Box(-1, 2, 0, 4), (1, 3, 4)), (Box(0, 2, 0, 4), (1, 2, 3))):
        with pytest.raises(ValueError, match="does not fit"), FitsCubeWriter(path, (1, 4, 4)) as cube:
            cube.write(box, np.zeros(shape))
    assert list(tmp_path.iterdir()) == []
