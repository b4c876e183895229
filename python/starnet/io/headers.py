"""What the headers of an image say of its light and its place: filter, unit, zero point, saturation, WCS."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area, proj_plane_pixel_scales

from starnet.errors import StarnetError
from starnet.instruments import Instrument
from starnet.io.hdus import card, number
from starnet.io.planes import quiet

#: Where filters are named. ACS puts its two wheels into FILTER1 and FILTER2, WFPC2 into FILTNAM1; BAND0 is of the
#: Legacy Surveys' cutouts, the long one of Rubin's and HSC's coadds.
_FILTER_CARDS = ("FILTER", "FILTER1", "FILTER2", "FILTNAM1", "BAND", "LSST BUTLER DATAID BAND", "BAND0")
_NO_FILTER = re.compile(r"(CLEAR\w*|OPEN|NONE|N/?A|UNKNOWN|EMPTY|HOLE|BLANK)", re.IGNORECASE)
_FILTER = re.compile(r"[A-Za-z0-9][\w.+'-]*")
_SPACE_FILTER = re.compile(r"F\d{3,4}(W2?|M|N|LP|X|LN)", re.IGNORECASE)
_SHORT_FILTERS = frozenset([*"ugrizyUBVRIZYJHK", "Ks", "ks", "VIS", "vis"])
#: Words of BUNIT that astropy does not know, or would take for something else (S is siemens).
_UNIT_WORDS = {
    **dict.fromkeys(("electron", "electrons", "e", "e-"), "electron"),
    **dict.fromkeys(("count", "counts", "cts", "ct"), "ct"),
    **dict.fromkeys(("nanomaggy", "nanomaggies", "nanomaggie", "nmgy"), "nmgy"),
    **dict.fromkeys(("s", "sec", "second", "seconds"), "s"),
    **dict.fromkeys(("ujy", "microjy", "microjansky"), "uJy"),
    "adu": "adu",
    "dn": "DN",
    "jy": "Jy",
    "njy": "nJy",
}
_MAGNITUDE_CARDS = ("ABZP", "ABMAGZP", "MAGZERO", "MAGZPT", "MAGZP", "ZEROPOINT", "ZEROPNT", "ZP")
#: Distortion by lookup tables (HST single exposures) lives in other HDUs, which no output could carry along.
_TABLE_DISTORTION = re.compile(r"(CPDIS|CPERR|D2IMDIS|D2IMERR|D2IMARR|D2IMEXT|DP\d|D2IM\d|AXISCORR)")


def filter_name(headers: list[fits.Header]) -> str | None:
    """Filter that the headers name, or None."""
    pupil = card(headers, "PUPIL")  # NIRCam: narrow filters of the pupil wheel sit behind a wide one, which blocks
    if pupil is not None and _SPACE_FILTER.fullmatch(str(pupil).strip()):
        return str(pupil).strip()
    for key in _FILTER_CARDS:
        words = str(card(headers, key) or "").split()
        if len(words) > 1 and words[1] == "DECam":  # 'g DECam SDSS c0001 4720.0 1520.0'
            words = words[:1]
        if len(words) == 1 and _FILTER.fullmatch(words[0]) and not _NO_FILTER.fullmatch(words[0]):
            return words[0]
    return None


def filter_from_file_name(path: Path) -> str:
    """Filter that the name of a file contains, such as ``g`` of ``set0_img_g.fits``; else its stem."""
    stem = stem_of(path)
    words = re.split(r"[^A-Za-z0-9]+", stem)
    found = {word.upper() for word in words if _SPACE_FILTER.fullmatch(word)}
    if len(found) == 1:
        return found.pop()
    return next((word for word in reversed(words) if word in _SHORT_FILTERS), stem)


def stem_of(path: Path) -> str:
    """Name of a file without its endings: ``mosaic`` of ``mosaic.fits.gz``."""
    return re.sub(r"(?i)(\.(fits?|fts|png|jpe?g|tiff?|gif|bmp|webp))?(\.(gz|fz|bz2|xz|zip|z))?$", "", path.name)


def unit_of(text: Any) -> u.UnitBase | None:
    """Unit of a BUNIT, None if there is none or astropy cannot make sense of it.

    Capitals, plurals and words like ``e-/s`` or ``nanomaggies`` are understood.
    """
    known = re.sub(
        r"e-(?=$|[^\w])|[A-Za-z]+", lambda m: _UNIT_WORDS.get(m.group().lower(), m.group()), str(text or "").strip()
    )
    if not known:
        return None
    try:
        with quiet():
            return u.Unit(known)
    except (ValueError, TypeError):
        return None


def zero_point(
    headers: list[fits.Header],
    band: str,
    unit: u.UnitBase | None,
    instrument: Instrument | None,
    pixel_area: float | None,
) -> tuple[float, str] | None:
    """AB magnitude of one unit of the image.

    Parameters
    ----------
    headers : list of astropy.io.fits.Header
        Of the extension, and of the primary HDU.
    band : str
        Filter.
    unit : astropy unit or None
        Of the pixels.
    instrument : Instrument or None
        Preset whose table of zero points is the last resort.
    pixel_area : float or None
        Area of a pixel in steradians, where the header has no PIXAR_SR.

    Returns
    -------
    tuple or None
        The zero point and where it comes from. The unit itself comes first (Jy, maggies, MJy/sr), then PHOTMJSR (JWST),
        PHOTFLAM and PHOTPLAM (ACS Data Handbook, section 5.1: ``-2.5 log PHOTFLAM - 5 log PHOTPLAM - 2.408``; for
        electrons per second), a zero point in the header, FLUXMAG0 (LSST pipelines), the instrument's table.
    """
    area = number(headers, "PIXAR_SR") or pixel_area
    if unit is not None and (flux := _ab_flux(unit, area)) is not None:
        return -2.5 * math.log10(flux), f"unit {unit.to_string()}"
    rate = unit is None or unit in (u.electron / u.s, u.ct / u.s, u.adu / u.s, u.DN / u.s)
    surface = number(headers, "PHOTMJSR")
    if rate and surface and area and surface > 0:
        return -2.5 * math.log10((surface * area * u.MJy).to_value(u.AB)), "PHOTMJSR"
    lam, pivot = number(headers, "PHOTFLAM"), number(headers, "PHOTPLAM")
    if lam and pivot and lam > 0 and pivot > 0:
        seconds = 1.0 if rate else number(headers, "EXPTIME") if unit in (u.electron, u.ct, u.adu, u.DN) else None
        if seconds and seconds > 0:
            ab = -2.5 * math.log10(lam) - 5 * math.log10(pivot) - 2.408
            return ab + 2.5 * math.log10(seconds), "PHOTFLAM"
    if "VEGA" not in str(card(headers, "MAGSYS", "PHOTSYS") or "").upper():
        for key in _MAGNITUDE_CARDS:
            if (found := number(headers, key)) is not None:
                return found, key
    full = number(headers, "FLUXMAG0")
    if full and full > 0:
        return 2.5 * math.log10(full), "FLUXMAG0"
    if instrument is not None and band in instrument.zero_points and unit in (None, unit_of(instrument.unit)):
        return instrument.zero_points[band], f"preset {instrument.name}"
    return None


def _ab_flux(unit: u.UnitBase, pixel_area: float | None) -> float | None:
    """Flux of one unit in units of AB magnitude 0 (3631 Jy); None if it is no flux."""
    maggy = u.Unit("mgy")
    areas = [1, u.pix] + ([] if pixel_area is None else [pixel_area * u.sr])
    for area in areas:
        flux = 1 * unit * area
        for zero in (maggy, u.AB):
            if flux.unit.is_equivalent(zero):
                value = float(flux.to_value(zero))
                return value if value > 0 else None
    return None


def celestial_wcs(header: fits.Header, name: str) -> tuple[fits.Header, bool] | None:
    """Cards of the celestial WCS of a header, SIP, TPV and plate polynomials included.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Of an image.
    name : str
        Of the image, for the message.

    Returns
    -------
    tuple or None
        The cards, two axes alone, and whether distortions by lookup table had to be left out; None without a WCS.

    Raises
    ------
    StarnetError
        If there is a WCS but it makes no sense.
    """
    try:
        with quiet():
            tables = [key for key in header if _TABLE_DISTORTION.match(key)]
            if tables:
                header = header.copy()
                for key in dict.fromkeys(tables):
                    header.remove(key, ignore_missing=True, remove_all=True)
            wcs = WCS(header)
            if not wcs.has_celestial:
                return None
            wcs = wcs.celestial
            cards = wcs.to_header(relax=True)
            WCS(cards).all_pix2world(0, 0, 0)  # a projection that cannot be set up shows only now
            if proj_plane_pixel_area(wcs) < 1e-6 * np.prod(proj_plane_pixel_scales(wcs)):
                raise ValueError("the axes of its pixels are parallel")
    except Exception as error:  # wcslib has an exception for each of its complaints
        why = str(error).strip().rpartition("\n")[2].rstrip(".")  # before it, where in wcslib
        raise StarnetError(
            f"{name} has a WCS that cannot be understood ({why}): mend it, or blank CTYPE1 and CTYPE2"
        ) from error
    return cards, bool(tables)


def make_wcs(cards: fits.Header) -> WCS:
    """Build the WCS of these cards."""
    with quiet():
        return WCS(cards)


def pixel_area(wcs: WCS) -> float:
    """Area of a pixel in steradians, at the reference point."""
    return float(proj_plane_pixel_area(wcs)) * math.radians(1) ** 2


def grid_offset(a: WCS, b: WCS, shape: tuple[int, int]) -> float:
    """Largest distance in pixels between the places that two WCS give to the same pixel.

    Corners, edges and centre of the image are compared; the distance is infinite if only one WCS has a place for a
    pixel, or if they do not use the same kind of coordinates.
    """
    if (a.wcs.lngtyp, a.wcs.lattyp) != (b.wcs.lngtyp, b.wcs.lattyp):
        return math.inf
    ny, nx = shape
    x, y = (g.ravel() for g in np.meshgrid([0, (nx - 1) / 2, nx - 1], [0, (ny - 1) / 2, ny - 1]))
    with np.errstate(invalid="ignore"):
        (lon1, lat1), (lon2, lat2) = (np.radians(w.all_pix2world(x, y, 0)) for w in (a, b))
    missing = np.isnan(lon1 + lat1), np.isnan(lon2 + lat2)
    if (missing[0] != missing[1]).any():
        return math.inf
    # Haversine: exact for the tiny separations that matter here.
    h = np.sin((lat1 - lat2) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon1 - lon2) / 2) ** 2
    separation = 2 * np.arcsin(np.sqrt(h[~missing[0]]))
    return float(separation.max(initial=0.0) / math.sqrt(pixel_area(a)))
