"""Presets, and what headers say of filters, units and zero points."""

import math
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from fits_samples import TAN, image_hdu, sky, write
from starnet import instruments
from starnet.errors import StarnetError
from starnet.io.headers import filter_from_file_name, filter_name, unit_of, zero_point
from starnet.mosaic import Mosaic
from starnet.tiles import Box


def header(**cards) -> fits.Header:
    return fits.Header({key if len(key) <= 8 else f"HIERARCH {key}": value for key, value in cards.items()})


# --- presets ---


@pytest.mark.parametrize("instrument", instruments.INSTRUMENTS, ids=lambda i: i.name)
def test_presets_are_consistent(instrument):
    assert instruments.get(instrument.name.upper()) is instrument
    assert set(instrument.rgb) <= set(instrument.bands)
    assert set(instrument.zero_points) <= set(instrument.bands)
    assert all(instrument.band(band) == band for band in instrument.bands)
    assert instrument.unit is None or unit_of(instrument.unit) is not None
    assert all(0.01 < scale < 1 for scale in instrument.pixel_scale)
    assert not (instrument.bad_bits or 0) & instrument.saturated_bits


def test_names_of_presets_are_unique_and_listed():
    names = [instrument.name for instrument in instruments.INSTRUMENTS]
    assert len(set(names)) == len(names)
    with pytest.raises(StarnetError, match="choose one of " + ", ".join(names)):
        instruments.get("spitzer")


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"TELESCOP": "HST", "INSTRUME": "ACS"}, "hst"),
        ({"TELESCOP": "HST", "INSTRUME": "WFC3"}, "hst"),
        ({"TELESCOP": "HST", "INSTRUME": "NICMOS"}, None),
        ({"TELESCOP": "JWST", "INSTRUME": "NIRCAM"}, "nircam"),
        ({"TELESCOP": "JWST", "INSTRUME": "MIRI"}, None),
        ({"TELESCOP": "Subaru", "INSTRUME": "Hyper Suprime-Cam"}, "hsc"),
        ({"FILTER": "HSC-I2"}, "hsc"),
        ({"INSTRUME": "LSSTComCam"}, "rubin"),
        ({"TELESCOP": "Simonyi Survey Telescope"}, "rubin"),
        ({"TELESCOP": "Euclid", "INSTRUME": "VIS"}, "euclid"),
        ({"INSTRUME": "NISP"}, "euclid"),
        ({"SURVEY": "DECaLS"}, "legacy"),
        ({"SURVEY": "LegacySurvey", "INSTRUME": "DECam"}, "legacy"),
        ({"INSTRUME": "DECam"}, "decam"),
        ({"TELESCOP": "ESONTTB", "INSTRUME": "EMMI"}, None),
        ({}, None),
    ],
)
def test_instruments_are_detected(cards, expected):
    found = instruments.detect(header(), header(**cards))
    assert (found and found.name) == expected


def test_coadds_of_the_lsst_pipeline_are_told_apart_by_their_sky_map():
    kind = {"HIERARCH LSST BUTLER DATASETTYPE": "deepCoadd_calexp"}
    assert instruments.detect(fits.Header(kind)).name == "rubin"
    hsc = fits.Header({**kind, "HIERARCH LSST BUTLER DATAID SKYMAP": "hsc_rings_v1"})
    assert instruments.detect(hsc).name == "hsc"


# --- filters ---


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"FILTER": "F160W"}, "F160W"),
        ({"FILTER1": "CLEAR1L", "FILTER2": "F814W"}, "F814W"),
        ({"FILTER1": "F606W", "FILTER2": "CLEAR2L"}, "F606W"),
        ({"FILTER": "F444W", "PUPIL": "F470N"}, "F470N"),
        ({"FILTER": "F444W", "PUPIL": "CLEAR"}, "F444W"),
        ({"FILTNAM1": "F555W"}, "F555W"),
        ({"BAND": "g"}, "g"),
        ({"BAND0": "z"}, "z"),
        ({"FILTER": "g DECam SDSS c0001 4720.0 1520.0"}, "g"),
        ({"FILTER": "r.MP9602"}, "r.MP9602"),
        ({"FILTER": "H  )"}, None),
        ({"FILTER": "N/A", "BAND": "r"}, "r"),
        ({"FILTER": "", "FILTER1": "CLEAR"}, None),
        ({"FILTER": 3}, "3"),
        ({}, None),
    ],
)
def test_filters_in_headers(cards, expected):
    assert filter_name([header(), header(**cards)]) == expected


def test_the_extension_comes_before_the_primary_header():
    assert filter_name([header(FILTER="F606W"), header(FILTER="MULTI")]) == "F606W"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("set0_img_g.fits", "g"),
        ("hlsp_xdf_hst_wfc3ir-60mas_hudf_f160w_v1_sci.fits", "F160W"),
        ("goodss_F850LP_0.06_drz.fits.gz", "F850LP"),
        ("Ks.fits", "Ks"),
        ("mystery_VIKING_Z.fits", "Z"),
        ("calexp-HSC-I-9813-4,5.fits", "I"),
        ("f606w-f814w.fits", "f606w-f814w"),
        ("mosaic.v2.fits.fz", "mosaic.v2"),
        ("M51.fits", "M51"),
    ],
)
def test_filters_in_file_names(name, expected):
    assert filter_from_file_name(Path(name)) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("HSC-G", "g"), ("HSC-I2", "i"), ("HSC-R", "r"), ("NB0921", "NB0921"), ("g", "g")]
)
def test_bands_of_an_instrument(name, expected):
    assert instruments.get("hsc").band(name) == expected


# --- units ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ELECTRONS/S", u.electron / u.s),
        ("electron / s", u.electron / u.s),
        ("e-/s", u.electron / u.s),
        ("ELECTRONS", u.electron),
        ("COUNTS/SEC", u.ct / u.s),
        ("DN/S", u.DN / u.s),
        ("adu", u.adu),
        ("ADU", u.adu),
        ("MJy/sr", u.MJy / u.sr),
        ("nJy", u.nJy),
        ("uJy", u.uJy),
        ("10*nJy", 10 * u.nJy),
        ("nanomaggy", u.Unit("nmgy")),
        ("nanomaggies", u.Unit("nmgy")),
        ("counts s-1", u.ct / u.s),
        ("", None),
        (None, None),
        ("bananas", None),
        ("e/s / ???", None),
    ],
)
def test_units(text, expected):
    found = unit_of(text)
    assert found == (None if expected is None else u.Unit(expected))


# --- zero points ---


def found(unit, band="F160W", instrument=None, area=None, **cards):
    preset = None if instrument is None else instruments.get(instrument)
    return zero_point([header(), header(**cards)], band, unit_of(unit), preset, area)


def test_physical_units_have_a_zero_point():
    assert found("nJy")[0] == pytest.approx(31.4, abs=1e-6)
    assert found("uJy")[0] == pytest.approx(23.9, abs=1e-6)
    assert found("Jy")[0] == pytest.approx(8.9, abs=1e-6)
    assert found("10*nJy")[0] == pytest.approx(28.9, abs=1e-6)
    assert found("nanomaggy") == (pytest.approx(22.5), "unit nmgy")
    assert found("nJy", MAGZERO=25.0)[0] == pytest.approx(31.4, abs=1e-6), "the unit is the surest"


def test_surface_brightness_takes_the_area_of_a_pixel():
    # 0.031 arcsec: 2.2588e-14 sr, so 1 MJy/sr is 22.588 nJy a pixel.
    side = math.radians(0.031 / 3600)
    expected = 31.4 - 2.5 * math.log10(side**2 * 1e15)
    assert found("MJy/sr", PIXAR_SR=side**2)[0] == pytest.approx(expected, abs=1e-6)
    assert found("MJy/sr", area=side**2)[0] == pytest.approx(expected, abs=1e-6)
    assert found("MJy/sr") is None
    assert found("DN/s", PIXAR_SR=side**2, PHOTMJSR=2.0) == (
        pytest.approx(expected - 2.5 * math.log10(2), abs=1e-6),
        "PHOTMJSR",
    )


def test_hubble_headers():
    # ACS/WFC F606W in the years of GOODS: AB zero point 26.49.
    cards = {"PHOTFLAM": 7.8624958e-20, "PHOTPLAM": 5921.1}
    zero, source = found("ELECTRONS/S", **cards)
    assert (zero, source) == (pytest.approx(26.491, abs=0.005), "PHOTFLAM")
    # Counts of the whole exposure.
    assert found("ELECTRONS", EXPTIME=100.0, **cards)[0] == pytest.approx(zero + 5)
    assert found("ELECTRONS", **cards) is None
    # PHOTZPT is the zero of STmag, no zero point of the image.
    assert found("ELECTRONS/S", PHOTZPT=-21.1) is None


@pytest.mark.parametrize("key", ["ABZP", "MAGZERO", "MAGZPT", "ZEROPOINT", "ZEROPNT", "ZP"])
def test_zero_points_in_headers(key):
    assert found("adu", **{key: 25.5}) == (25.5, key)
    assert found("adu", **{key: "25.5"}) == (25.5, key)
    assert found("adu", **{key: "about 25"}) is None
    assert found("adu", **{key: 25.5, "MAGSYS": "Vega"}) is None


def test_the_zero_point_of_old_lsst_coadds():
    assert found(None, FLUXMAG0=63095734448.0194) == (pytest.approx(27.0), "FLUXMAG0")


def test_the_table_of_the_preset_is_the_last_resort():
    assert found("electron/s", "F814W", "hst") == (25.94, "preset hst")
    assert found(None, "F814W", "hst") == (25.94, "preset hst")
    assert found("electron/s", "F814W", "hst", ABZP=25.95) == (25.95, "ABZP")
    assert found("adu", "F814W", "hst") is None, "the table is for electrons per second"
    assert found("electron/s", "F218W", "hst") is None
    assert found(None, "i", "hsc") == (27.0, "preset hsc")
    assert found("nJy", "i", "rubin")[0] == pytest.approx(31.4, abs=1e-6)
    assert found("electron/s", "F814W") is None


# --- whole files as surveys make them ---


def test_hubble_mosaic(tmp_path):
    """One image a file, weight map beside: HLSP CANDELS."""
    name = "hlsp_candels_hst_{}_gs-tot_{}_v1.0_{}.fits"
    files = []
    for camera, band, cards in (
        ("wfc3", "f160w", {"FILTER": "F160W"}),
        ("acs", "f850l", {"FILTER1": "CLEAR1L", "FILTER2": "F850LP"}),
        ("acs", "f606w", {"FILTER1": "F606W", "FILTER2": "CLEAR2L"}),
    ):
        cards |= {"TELESCOP": "HST", "INSTRUME": camera.upper(), "BUNIT": "ELECTRONS/S", **TAN}
        files.append(write(tmp_path / name.format(camera, band, "drz"), sky(), **cards))
        write(tmp_path / name.format(camera, band, "wht"), np.ones((30, 40), "f4"), **TAN)
    mosaic = Mosaic.open(files)
    assert mosaic.instrument.name == "hst"
    assert tuple(band.name for band in mosaic.bands) == mosaic.instrument.rgb
    assert [band.zero_point for band in mosaic.bands] == [25.946, 24.87, 26.51]
    assert [band.weight_source.path.name[-8:] for band in mosaic.bands] == ["wht.fits"] * 3


def test_nircam_mosaic(tmp_path):
    """One file with SCI, ERR, WHT and variances, the filter in the primary header."""
    side = math.radians(0.06 / 3600)
    path = write(
        tmp_path / "jw0_nircam_i2d.fits",
        image_hdu(sky(), "SCI", BUNIT="MJy/sr", **TAN),
        *(image_hdu(np.full((30, 40), 2, "f4"), name) for name in ("ERR", "CON", "WHT", "VAR_POISSON", "VAR_RNOISE")),
        TELESCOP="JWST",
        INSTRUME="NIRCAM",
        FILTER="F277W",
        PUPIL="CLEAR",
    )
    mosaic = Mosaic.open([path])
    (band,) = mosaic.bands
    assert (band.name, band.hdu, band.weight_source.kind, band.weight_source.hdu) == ("F277W", "SCI", "err", "ERR")
    assert band.zero_point == pytest.approx(31.4 - 2.5 * math.log10(side**2 * 1e15), abs=1e-4)
    assert (mosaic.read(Box(0, 30, 0, 40)).ivar == 0.25).all()


def test_lsst_coadd(tmp_path):
    path = write(
        tmp_path / "coadd.fits",
        image_hdu(sky(), "IMAGE", BUNIT="nJy", **TAN),
        image_hdu(np.zeros((30, 40), "i4"), "MASK", MP_BAD=0, MP_SAT=1),
        image_hdu(np.full((30, 40), 4, "f4"), "VARIANCE"),
        **{"HIERARCH LSST BUTLER DATASETTYPE": "deep_coadd", "HIERARCH LSST BUTLER DATAID BAND": "i"},
    )
    mosaic = Mosaic.open([path])
    (band,) = mosaic.bands
    assert (mosaic.instrument.name, band.name, band.weight_source.kind) == ("rubin", "i", "var")
    assert band.zero_point == pytest.approx(31.4, abs=1e-6)
    assert (band.flags.bad, band.flags.saturated) == (1, 2)


def test_euclid_frame(tmp_path):
    flagged = np.zeros((30, 40), "i4")
    flagged[0, :3] = [1, 8, 16]
    path = write(
        tmp_path / "frame.fits",
        image_hdu(sky(), "SCI", MAGZERO=24.57, FILTER="VIS", **TAN),
        *(image_hdu(np.full((30, 40), 2, "f4"), "RMS"), image_hdu(flagged, "FLG")),
        TELESCOP="Euclid",
        INSTRUME="VIS",
    )
    mosaic = Mosaic.open([path])
    (band,) = mosaic.bands
    assert (band.name, band.zero_point, band.weight_source.kind) == ("VIS", 24.57, "err")
    pixels = mosaic.read(Box(0, 30, 0, 40))
    assert pixels.valid[0, 0, :4].tolist() == [False, True, True, True]
    assert pixels.saturated[0, :4].tolist() == [False, True, False, False]


def test_dark_energy_survey_coadd(tmp_path):
    """Three tile-compressed extensions, saturation and zero point in the header."""
    path = write(
        tmp_path / "DES0219-0541_r4575p02_i.fits.fz",
        fits.CompImageHDU(sky(), fits.Header({**TAN, "MAGZERO": 30.0, "SATURATE": 150.0, "FILTER": "i"}), name="SCI"),
        fits.CompImageHDU(np.zeros((30, 40), "i4"), name="MSK"),
        fits.CompImageHDU(np.ones((30, 40), "f4"), name="WGT"),
        INSTRUME="DECam",
    )
    mosaic = Mosaic.open([path])
    (band,) = mosaic.bands
    assert (mosaic.instrument.name, band.name, band.zero_point, band.saturation) == ("decam", "i", 30.0, 150.0)
    assert (band.weight_source.hdu, band.flags.plane.hdu) == ("WGT", "MSK")
    pixels = mosaic.read(Box(0, 30, 0, 40))
    np.testing.assert_array_equal(pixels.saturated, pixels.data[0] >= 150)
    assert pixels.saturated.any()
    assert mosaic.wcs is not None


def test_bands_of_two_instruments(tmp_path):
    a = write(tmp_path / "a.fits", image_hdu(sky(), "SCI"), TELESCOP="HST", INSTRUME="ACS", FILTER="F814W")
    b = write(tmp_path / "b.fits", image_hdu(sky(), "SCI"), TELESCOP="JWST", INSTRUME="NIRCAM", FILTER="F444W")
    assert Mosaic.open([a, b]).instrument is None
    assert Mosaic.open([a]).instrument.name == "hst"
