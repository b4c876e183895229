"""The real images: every one opens, and a window of it is what astropy reads, to the last bit."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from starnet.errors import StarnetError
from starnet.io.hdus import open_plane, read_hdus
from starnet.mosaic import Mosaic
from starnet.tiles import Box

BANDS = ("f435w", "f606w", "f775w", "f814w", "f850lp", "f105w", "f125w", "f140w", "f160w")


def whole(path: Path, hdu: int | str) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path, memmap=False) as hdus:
            return hdus[hdu].data.astype(np.float32)


def bits(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a).view(np.int32)


def test_every_image_is_read_to_the_last_bit(shared_data):
    rng = np.random.default_rng(20261122)
    planes = [
        open_plane(hdu) for path in sorted(shared_data.rglob("*.fits")) for hdu in read_hdus(path)[:4] if hdu.is_plane
    ]
    assert len(planes) > 80
    for plane in planes:
        index = plane.hdu if not plane.hdu.isdigit() else int(plane.hdu)
        expected = whole(plane.path, index)
        assert plane.shape == expected.shape
        ny, nx = plane.shape
        for _ in range(2):
            y, x = np.sort(rng.integers(0, ny + 1, 2)), np.sort(rng.integers(0, nx + 1, 2))
            box = Box(int(y[0]), int(y[1]), int(x[0]), int(x[1]))
            window = plane.read(box)
            assert window.dtype.isnative
            np.testing.assert_array_equal(bits(window), bits(expected[box.slices]), err_msg=str(plane.path))
        if ny * nx < 3e6:
            np.testing.assert_array_equal(bits(plane.read(Box(0, ny, 0, nx))), bits(expected))


def test_every_image_opens_as_a_mosaic(shared_data):
    opened, refused = 0, {}
    for path in sorted(shared_data.rglob("*.fits")):
        try:
            mosaic = Mosaic.open([path])
        except StarnetError as error:
            refused[path.name] = str(error)
            continue
        mosaic.read(Box(0, 1, 0, 1))
        mosaic.wcs_header()
        opened += 1
    assert opened > 50
    for name, message in refused.items():
        assert any(why in message for why in ("only tables", "is a cube", "has one axis")), (name, message)
    assert {"Cut_HSC.fits", "PSF_HSC.fits", "test_catalog.fits", "h_noise.fits"} <= set(refused)


def test_xdf(shared_data):
    files = [shared_data / "xdf-demo" / f"xdf_{band}.fits" for band in BANDS]
    mosaic = Mosaic.open(files)
    assert [band.name for band in mosaic.bands] == [band.upper() for band in BANDS]
    assert {str(band.unit) for band in mosaic.bands} == {"electron / s"}
    assert [(band.zero_point, band.zero_point_source) for band in mosaic.bands][1] == (26.49, "ABZP")
    assert {(band.weight_source.kind, band.weight_source.hdu) for band in mosaic.bands} == {("weight", "WHT")}
    assert mosaic.shape == (500, 500)
    assert mosaic.wcs is None
    assert mosaic.origin == "lower"
    box = Box(100, 300, 250, 500)
    pixels = mosaic.read(box)
    for i, path in enumerate(files):
        np.testing.assert_array_equal(pixels.data[i], whole(path, "SCI")[box.slices])
        np.testing.assert_array_equal(pixels.ivar[i], whole(path, "WHT")[box.slices])
    np.testing.assert_array_equal(pixels.valid, pixels.ivar > 0)


def test_kids_viking_is_compressed(shared_data):
    folder = shared_data / "profound-kids-viking"
    mosaic = Mosaic.open([folder / f"{name}.fits" for name in ("g", "Z", "Ks")])
    assert [band.name for band in mosaic.bands] == ["g", "Z", "Ks"]
    assert [band.zero_point for band in mosaic.bands] == [None, None, None]
    assert mosaic.shape == (2600, 2600)
    box = Box(1015, 1301, 1990, 2600)
    data = mosaic.read(box).data
    for i, name in enumerate(("g", "Z", "Ks")):
        np.testing.assert_array_equal(data[i], whole(folder / f"{name}.fits", 1)[box.slices])


def test_decals_wcs(shared_data):
    mosaic = Mosaic.open([shared_data / "phosim-decam" / f"set0_img_{band}.fits" for band in "zrg"])
    assert [band.name for band in mosaic.bands] == ["z", "r", "g"]
    assert mosaic.instrument.name == "legacy"
    assert [band.zero_point for band in mosaic.bands] == [22.5, 22.5, 22.5]
    # CRPIX = 256.5 counts from 1: the reference point is pixel 255.5 counted from 0.
    np.testing.assert_allclose(mosaic.wcs.all_pix2world(255.5, 255.5, 0), [197.860331, -1.413151], rtol=0, atol=1e-12)
    assert mosaic.pixel_scale == pytest.approx(0.262)
    with fits.open(mosaic.bands[0].path) as hdus:
        expected = WCS(hdus[0].header).pixel_to_world_values(0, 511)
    np.testing.assert_allclose(mosaic.wcs.pixel_to_world_values(0, 511), expected, rtol=0, atol=1e-12)


def test_filters_that_headers_spoil(shared_data):
    # FILTER = 'H  )' in the g band: no name of a filter, so the name of the file decides.
    assert Mosaic.open([shared_data / "phosim-decam" / "deepdisc_img_g.fits"]).bands[0].name == "g"


def test_m67_has_integers_and_a_plate_solution(shared_data):
    path = shared_data / "photutils" / "M6707HH.fits"
    mosaic = Mosaic.open([path])
    assert mosaic.pixel_scale == pytest.approx(1.7, abs=0.01)  # 67.2 arcsec per mm, 25.3 micrometres
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = WCS(fits.getheader(path)).all_pix2world(500, 700, 0)
        again = WCS(mosaic.wcs_header()).all_pix2world(500, 700, 0)
    np.testing.assert_allclose(mosaic.wcs.all_pix2world(500, 700, 0), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(again, expected, rtol=0, atol=1e-10)


def test_galaxies_have_their_weight_map_beside(shared_data):
    path = shared_data / "sextractor" / "galaxies.fits"
    mosaic = Mosaic.open([path])
    source = mosaic.bands[0].weight_source
    assert (source.kind, source.path.name, source.hdu) == ("weight", "galaxies.weight.fits", "0")
    box = Box(0, 1024, 0, 1024)
    pixels = mosaic.read(box)
    weight = whole(source.path, 0)
    np.testing.assert_array_equal(pixels.ivar[0], weight)
    np.testing.assert_array_equal(pixels.valid[0], weight > 0)
    assert mosaic.wcs is None


def test_a_cube_is_refused_and_its_planes_are_not(shared_data):
    path = shared_data / "scarlet" / "Cut_HSC.fits"
    with pytest.raises(StarnetError) as caught:
        Mosaic.open([path])
    assert str(caught.value) == (
        f"{path}[0] is a cube of 50 x 50 x 5 pixels, not an image: "
        f"choose a plane, {path}[0][0] to {path}[0][4], or another HDU"
    )
    mosaic = Mosaic.open([f"{band}={path}[0][{k}]" for k, band in enumerate("grizy")])
    np.testing.assert_array_equal(mosaic.read(Box(0, 50, 0, 50)).data, whole(path, 0))
    assert mosaic.wcs is not None


def test_images_of_two_telescopes_do_not_share_a_grid(shared_data):
    hst = shared_data / "scarlet" / "Cut_HST.fits"
    with pytest.raises(StarnetError, match="resample the bands to one pixel grid first"):
        Mosaic.open([hst, f"g={shared_data / 'scarlet' / 'Cut_HSC.fits'}[0][0]"])
