"""The mosaic as a whole: pixels, masks, WCS, identity."""

import json
import os
import pickle
import threading

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fits_samples import TAN, image_hdu, sky, write
from starnet.errors import StarnetError
from starnet.mosaic import Mosaic
from starnet.tiles import Box

WHOLE = Box(0, 30, 0, 40)


@pytest.fixture
def two_bands(tmp_path):
    """Two bands with noise, one a weight map, one errors in a file beside."""
    weight = np.full((30, 40), 2, "u1")
    weight[:, :3] = 0
    a = write(tmp_path / "a_f160w_drz.fits", image_hdu(sky(seed=1), "SCI", **TAN), image_hdu(weight, "WHT"))
    b = write(tmp_path / "b_f606w_drz.fits", image_hdu(sky(seed=2), "SCI", **TAN))
    write(tmp_path / "b_f606w_rms.fits", np.full((30, 40), 0.5, "f4"))
    return Mosaic.open([a, b])


def test_a_window_of_two_bands(two_bands):
    assert two_bands.shape == (30, 40)
    assert [band.name for band in two_bands.bands] == ["F160W", "F606W"]
    box = Box(2, 11, 1, 30)
    pixels = two_bands.read(box)
    np.testing.assert_array_equal(pixels.data, np.stack([sky(seed=1), sky(seed=2)])[:, 2:11, 1:30])
    assert pixels.box == box
    assert (pixels.data.dtype, pixels.ivar.dtype, pixels.valid.dtype) == (np.float32, np.float32, np.bool_)
    assert pixels.ivar[0].tolist() == [[0, 0] + [2] * 27] * 9
    assert (pixels.ivar[1] == 4).all()
    np.testing.assert_array_equal(pixels.valid, pixels.ivar > 0)
    assert pixels.saturated is None


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_pixels_do_not_depend_on_the_window(two_bands, data):
    whole = two_bands.read(WHOLE)
    y0, x0 = data.draw(st.integers(0, 29)), data.draw(st.integers(0, 39))
    box = Box(y0, data.draw(st.integers(y0 + 1, 30)), x0, data.draw(st.integers(x0 + 1, 40)))
    pixels = two_bands.read(box)
    for name in ("data", "ivar", "valid"):
        np.testing.assert_array_equal(getattr(pixels, name), getattr(whole, name)[:, *box.slices])


@pytest.mark.parametrize("box", [Box(0, 31, 0, 40), Box(-1, 3, 0, 4), Box(0, 0, 0, 4), Box(5, 4, 0, 4)])
def test_a_window_must_lie_inside(two_bands, box):
    with pytest.raises(ValueError, match="does not lie inside a mosaic"):
        two_bands.read(box)


def test_infinite_pixels_are_no_data(tmp_path):
    data = sky()
    data[0, :3] = [np.nan, np.inf, -np.inf]
    pixels = Mosaic.open([write(tmp_path / "a.fits", data)]).read(WHOLE)
    assert np.isnan(pixels.data[0, 0, :3]).all()
    assert not pixels.valid[0, 0, :3].any()
    assert pixels.valid.sum() == 30 * 40 - 3
    assert pixels.ivar is None


def test_an_image_without_any_pixel_is_legal_here(tmp_path):
    assert not Mosaic.open([write(tmp_path / "a.fits", np.full((30, 40), np.nan, "f4"))]).read(WHOLE).valid.any()


# --- quality ---


def test_bits_that_the_header_names(tmp_path):
    mask = np.zeros((30, 40), "i4")
    mask[0, :4] = [1 << 0, 1 << 1, 1 << 8, 1 << 5]
    planes = {"MP_BAD": 0, "MP_SAT": 1, "HIERARCH MP_DETECTED": 5, "HIERARCH MP_NO_DATA": 8}
    variance = np.full((30, 40), 4, "f4")
    path = write(
        tmp_path / "calexp.fits",
        *(image_hdu(sky(), "IMAGE"), image_hdu(mask, "MASK", **planes), image_hdu(variance, "VARIANCE")),
    )
    pixels = Mosaic.open([path]).read(WHOLE)
    assert pixels.valid[0, 0, :5].tolist() == [False, True, False, True, True]
    assert pixels.saturated[0, :4].tolist() == [False, True, False, False]
    assert pixels.saturated.sum() == 1
    assert (pixels.ivar == 0.25).all()


def test_bits_of_the_instrument(tmp_path):
    quality = np.zeros((30, 40), "u4")
    quality[0, :4] = [1, 2, 3, 4]
    path = write(tmp_path / "a_cal.fits", image_hdu(sky(), "SCI"), image_hdu(quality, "DQ"))
    pixels = Mosaic.open([path], instrument="nircam").read(WHOLE)
    assert pixels.valid[0, 0, :5].tolist() == [False, True, False, True, True]
    assert pixels.saturated[0, :5].tolist() == [False, True, True, False, False]


def test_any_bit_spoils_a_pixel_where_nothing_is_known(tmp_path):
    path = write(tmp_path / "a_sci.fits", sky())
    flagged = np.zeros((30, 40), "i2")
    flagged[3, 3] = 8
    write(tmp_path / "a_dq.fits", flagged)
    mosaic = Mosaic.open([path])
    pixels = mosaic.read(WHOLE)
    assert np.argwhere(~pixels.valid[0]).tolist() == [[3, 3]]
    assert pixels.saturated is None
    assert mosaic.bands[0].flags.plane.path.name == "a_dq.fits"
    assert mosaic.notes == [f"the bits of {tmp_path / 'a_dq.fits'}[0] have no names: any of them spoils a pixel"]


def test_saturation_of_any_band(tmp_path):
    one, two = np.zeros((30, 40), "f4"), np.zeros((30, 40), "f4")
    one[0, 0], two[0, 1], two[0, 2] = 100, 50, np.inf
    a = write(tmp_path / "a.fits", image_hdu(one, "SCI"), SATURATE=100.0)
    b = write(tmp_path / "b.fits", image_hdu(two, "SCI", SATURATE=49.0))
    c = write(tmp_path / "c.fits", one)
    pixels = Mosaic.open([a, b, c]).read(WHOLE)
    assert np.argwhere(pixels.saturated).tolist() == [[0, 0], [0, 1]]
    assert pixels.valid[:, 0, :2].all(), "saturated pixels are still pixels"


# --- WCS ---


def test_wcs_is_the_files(two_bands):
    with fits.open(two_bands.bands[0].path) as hdus:
        expected = WCS(hdus["SCI"].header)
    np.testing.assert_allclose(
        two_bands.wcs.pixel_to_world_values(7.25, 3), expected.pixel_to_world_values(7.25, 3), rtol=0, atol=1e-12
    )
    assert two_bands.pixel_scale == pytest.approx(0.06)


SIP = {
    **TAN,
    "CTYPE1": "RA---TAN-SIP",
    "CTYPE2": "DEC--TAN-SIP",
    "A_ORDER": 2,
    "B_ORDER": 2,
    "A_2_0": 1e-3,
    "A_1_1": 3e-4,
    "B_0_2": 2e-3,
}
TPV = {**TAN, "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_0": 1e-3, "PV1_1": 1.01, "PV2_1": 0.99, "PV2_4": 5.0}
#: TAN with PV cards, as SCAMP writes it, means TPV.
SCAMP = {**TAN, "PV1_1": 1.01, "PV1_2": 0.01, "PV2_1": 0.99, "PV2_4": 5.0}
GALACTIC = {**TAN, "CTYPE1": "GLON-CAR", "CTYPE2": "GLAT-CAR", "CRVAL2": 0.0}
TRANSPOSED = {
    **TAN,
    "CTYPE1": "DEC--TAN",
    "CTYPE2": "RA---TAN",
    "CRVAL1": -27.78,
    "CRVAL2": 53.16,
}


@pytest.mark.parametrize("cards", [TAN, SIP, TPV, SCAMP, GALACTIC, TRANSPOSED])
def test_the_output_header_says_what_the_input_says(tmp_path, cards):
    mosaic = Mosaic.open([write(tmp_path / "a.fits", image_hdu(sky(), "SCI", **cards))])
    output = write(tmp_path / "out.fits", image_hdu(sky(), "SEG", **mosaic.wcs_header()))
    y, x = np.mgrid[0:30:5, 0:40:5]
    with fits.open(output) as hdus:
        out = WCS(hdus["SEG"].header).all_pix2world(x, y, 0)
    reference = WCS(fits.Header(cards)).celestial.all_pix2world(x, y, 0)
    np.testing.assert_allclose(out, reference, rtol=0, atol=1e-10)
    np.testing.assert_allclose(mosaic.wcs.all_pix2world(x, y, 0), reference, rtol=0, atol=1e-10)


def test_a_cube_axis_is_left_out_of_the_wcs(tmp_path):
    cards = {key: value for key, value in TAN.items() if not key.startswith("CD")}
    cards |= {"CDELT1": TAN["CD1_1"], "CDELT2": TAN["CD2_2"]}
    cards |= {"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CRPIX3": 1.0, "CDELT3": 1e6, "CUNIT3": "Hz"}
    mosaic = Mosaic.open([write(tmp_path / "a.fits", image_hdu(sky((1, 30, 40)), "SCI", **cards))])
    assert mosaic.wcs.naxis == 2
    np.testing.assert_allclose(mosaic.wcs.all_pix2world(19.5, 14.5, 0), [53.16, -27.78], atol=1e-9)


def test_distortion_by_table_is_left_out_and_said(tmp_path):
    hdu = image_hdu(sky(), "SCI", **TAN, CPDIS1="LOOKUP", DP1="EXTVER: 1.0")
    path = write(tmp_path / "a.fits", hdu)
    mosaic = Mosaic.open([path])
    assert mosaic.notes == [f"{path}[SCI] has distortions by lookup table, which are left out of its WCS"]
    np.testing.assert_allclose(mosaic.wcs.all_pix2world(19.5, 14.5, 0), [53.16, -27.78], atol=1e-9)


@pytest.mark.parametrize("cards", [{}, {"CTYPE1": "", "CTYPE2": ""}, {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}])
def test_without_a_celestial_wcs(tmp_path, cards):
    mosaic = Mosaic.open([write(tmp_path / "a.fits", image_hdu(sky(), "SCI", **cards))])
    assert mosaic.wcs is None
    assert len(mosaic.wcs_header()) == 0
    assert mosaic.pixel_scale is None


@pytest.mark.parametrize(("shift", "accepted"), [(0.0, True), (0.04, True), (0.06, False), (0.5, False)])
def test_bands_must_agree_on_the_place_of_a_pixel(tmp_path, shift, accepted):
    a = write(tmp_path / "a.fits", image_hdu(sky(), "SCI", **TAN))
    b = write(tmp_path / "b.fits", image_hdu(sky(), "SCI", **{**TAN, "CRPIX2": TAN["CRPIX2"] + shift}))
    if accepted:
        assert Mosaic.open([a, b]).wcs is not None
        return
    with pytest.raises(StarnetError) as caught:
        Mosaic.open([a, b])
    assert str(caught.value) == (
        f"the WCS of {b}[SCI] and {a}[SCI] differ by {shift:.3g} pixels: "
        "resample the bands to one pixel grid first, or mend the header"
    )


def test_another_way_to_write_the_same_wcs_is_accepted(tmp_path):
    a = write(tmp_path / "a.fits", image_hdu(sky(), "SCI", **TAN))
    moved = WCS(fits.Header(TAN))
    lon, lat = (float(v) for v in moved.all_pix2world(0, 0, 0))
    # The same pixels from another reference pixel: the tangent point moves by 1.5", which bends nothing visibly.
    cards = {**TAN, "CRPIX1": 1.0, "CRPIX2": 1.0, "CRVAL1": lon, "CRVAL2": lat}
    assert Mosaic.open([a, write(tmp_path / "b.fits", image_hdu(sky(), "SCI", **cards))]).wcs is not None


@pytest.mark.parametrize("cards", [{"CD1_1": -0.061 / 3600}, {"CD1_2": 0.001 / 3600}, {"CRVAL1": 53.1601}])
def test_other_scale_rotation_and_place(tmp_path, cards):
    a = write(tmp_path / "a.fits", image_hdu(sky(), "SCI", **TAN))
    b = write(tmp_path / "b.fits", image_hdu(sky(), "SCI", **{**TAN, **cards}))
    with pytest.raises(StarnetError, match=r"differ by .* pixels"):
        Mosaic.open([a, b])


def test_other_coordinates(tmp_path):
    a = write(tmp_path / "a.fits", image_hdu(sky(), "SCI", **TAN))
    b = write(tmp_path / "b.fits", image_hdu(sky(), "SCI", **GALACTIC))
    with pytest.raises(StarnetError, match="differ in their coordinate systems: resample"):
        Mosaic.open([a, b])


def test_a_band_without_wcs_lies_on_the_grid_of_the_others(tmp_path):
    a = write(tmp_path / "a.fits", sky())
    b = write(tmp_path / "b.fits", image_hdu(sky(), "SCI", **TAN))
    mosaic = Mosaic.open([a, b])
    assert mosaic.notes == [f"{a}[0] has no WCS: it is taken to lie on the grid of {b}[SCI]"]
    np.testing.assert_allclose(mosaic.wcs.all_pix2world(19.5, 14.5, 0), [53.16, -27.78], atol=1e-9)


# --- identity ---


def test_the_fingerprint_tells_changed_inputs(two_bands, tmp_path):
    first = two_bands.fingerprint()
    assert json.loads(json.dumps(first)) == first
    assert first[0]["band"] == "F160W"
    assert first[0]["file"] == "a_f160w_drz.fits"
    assert first[0]["weight"]["hdu"] == "WHT"
    assert first == two_bands.fingerprint()
    stat = (tmp_path / "b_f606w_rms.fits").stat()
    os.utime(tmp_path / "b_f606w_rms.fits", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    changed = two_bands.fingerprint()
    assert changed[0] == first[0]
    assert changed[1] != first[1]


def test_the_fingerprint_of_a_file_that_is_gone(two_bands, tmp_path):
    (tmp_path / "b_f606w_rms.fits").unlink()
    with pytest.raises(StarnetError, match=r"b_f606w_rms\.fits is gone since it was opened .*: put it back"):
        two_bands.fingerprint()


def test_a_pickled_mosaic_reads_the_same(two_bands):
    before = two_bands.read(WHOLE)
    assert two_bands.wcs is not None
    text = pickle.dumps(two_bands)
    assert len(text) < 10_000
    copy = pickle.loads(text)
    np.testing.assert_array_equal(copy.read(WHOLE).data, before.data)
    assert copy.wcs.all_pix2world(3, 4, 0) == two_bands.wcs.all_pix2world(3, 4, 0)
    assert (copy.shape, copy.bands, copy.fingerprint()) == (two_bands.shape, two_bands.bands, two_bands.fingerprint())


def test_threads_read_what_one_thread_reads(two_bands):
    expected = two_bands.read(WHOLE)
    found, start = [], threading.Barrier(4)

    def work() -> None:
        start.wait()
        found.extend(two_bands.read(WHOLE) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert all(np.array_equal(f.data, expected.data) and np.array_equal(f.ivar, expected.ivar) for f in found)
