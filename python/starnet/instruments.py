"""What is known of the imagers whose mosaics are read most: filters, extensions, quality bits, zero points."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from astropy.io import fits

from starnet.errors import StarnetError
from starnet.io.hdus import card


@dataclass(frozen=True)
class Instrument:
    """A preset: what the headers of one instrument's mosaics leave unsaid.

    Attributes
    ----------
    name, title : str
        What the user writes, and what it stands for.
    match : tuple of mapping
        The preset is meant if all regular expressions (header keyword to pattern) of any one of these are found.
    bands : tuple of str
        Filters, bluest first.
    rgb : tuple of str
        The three filters shown as red, green and blue.
    science : tuple of str
        EXTNAMEs of the image, best first.
    weights : tuple of str
        EXTNAMEs of weight maps, errors or variances, where the usual order of preference would choose badly.
    bad_bits, saturated_bits : int or None
        Bits of the quality plane that spoil a pixel, and that say it is saturated. None: any bit spoils it.
    unit : str or None
        Of a pixel whose header has no BUNIT.
    zero_points : mapping
        AB magnitude of one `unit`, by filter.
    pixel_scale : tuple of float
        Usual ones, in arcsec.
    """

    name: str
    title: str
    match: tuple[Mapping[str, str], ...]
    bands: tuple[str, ...]
    rgb: tuple[str, str, str]
    science: tuple[str, ...] = ("SCI",)
    weights: tuple[str, ...] = ()
    bad_bits: int | None = None
    saturated_bits: int = 0
    unit: str | None = None
    zero_points: Mapping[str, float] = field(default_factory=dict)
    pixel_scale: tuple[float, ...] = ()

    def matches(self, headers: list[fits.Header]) -> bool:
        """Whether these headers (of the extension and the primary HDU) come from this instrument."""
        return any(
            all(re.search(pattern, str(card(headers, key) or ""), re.IGNORECASE) for key, pattern in rule.items())
            for rule in self.match
        )

    def band(self, name: str) -> str:
        """Filter of `bands` that a header means: ``g`` for ``HSC-G``, ``i`` for ``HSC-I2``; else the name as it is."""
        short = re.sub(r"(?i)^(HSC|DECAM|LSST)[-_]", "", name)
        for word in (name, short, short.removesuffix("2")):
            for band in self.bands:
                if band == word or (short != name and band.lower() == word.lower()):
                    return band
        return name


_HST_ZERO_POINTS = {
    # ACS/WFC and WFC3/IR mosaics in electrons per second. The values of the XDF release (Illingworth et al. 2013,
    # ApJS 209, 6), which are those CANDELS uses (Guo et al. 2013, ApJS 207, 24) to 0.02 mag (F606W: 26.49 there).
    "F435W": 25.68,
    "F606W": 26.51,
    "F775W": 25.69,
    "F814W": 25.94,
    "F850LP": 24.87,
    "F105W": 26.27,
    "F125W": 26.23,
    "F140W": 26.45,
    "F160W": 25.946,
}
_NIRCAM_BANDS = (
    *("F070W", "F090W", "F115W", "F140M", "F150W", "F162M", "F164N", "F182M", "F187N", "F200W", "F210M", "F212N"),
    *("F250M", "F277W", "F300M", "F323N", "F335M", "F356W", "F360M", "F405N", "F410M", "F430M", "F444W", "F460M"),
    *("F466N", "F470N", "F480M"),
)

INSTRUMENTS = (
    Instrument(
        "hst",
        "Hubble ACS/WFC and WFC3, drizzled (CANDELS, XDF, COSMOS...)",
        match=({"TELESCOP": "^HST", "INSTRUME": "^(ACS|WFC3)"},),
        bands=tuple(_HST_ZERO_POINTS),
        rgb=("F160W", "F850LP", "F606W"),
        weights=("WHT",),
        # Of single exposures (ACS and WFC3 Data Handbooks): lost data, bad pixel, hot pixel, bad reference pixel,
        # cosmic rays; full-well saturation. Drizzled mosaics have no quality plane.
        bad_bits=1 | 4 | 16 | 512 | 4096 | 8192,
        saturated_bits=256,
        unit="electron / s",
        zero_points=_HST_ZERO_POINTS,
        pixel_scale=(0.03, 0.06),
    ),
    Instrument(
        "nircam",
        "JWST NIRCam, resampled (_i2d)",
        match=({"TELESCOP": "^JWST", "INSTRUME": "^NIRCAM"},),
        bands=_NIRCAM_BANDS,
        rgb=("F444W", "F277W", "F150W"),
        # The WHT of the JWST pipeline is an exposure time by default; its ERR is the noise.
        weights=("ERR",),
        bad_bits=1,  # DO_NOT_USE (stcal.dqflags)
        saturated_bits=2,
        unit="MJy / sr",
        pixel_scale=(0.02, 0.03, 0.031, 0.04, 0.063),
    ),
    # Before "rubin", whose pipeline and header cards it shares.
    Instrument(
        "hsc",
        "Subaru Hyper Suprime-Cam coadds (hscPipe)",
        match=(
            {"INSTRUME": "Hyper ?Suprime|^HSC"},
            {"FILTER": "^HSC-"},
            {"LSST BUTLER DATAID SKYMAP": "hsc"},
        ),
        bands=("g", "r", "i", "z", "y"),
        rgb=("i", "r", "g"),
        science=("IMAGE", "SCI"),
        weights=("VARIANCE",),
        # Coadds of hscPipe have FLUXMAG0 = 10^(27 / 2.5) (Bosch et al. 2018, PASJ 70, S5).
        zero_points=dict.fromkeys(("g", "r", "i", "z", "y"), 27.0),
        pixel_scale=(0.168,),
    ),
    Instrument(
        "rubin",
        "Rubin Observatory (LSST) coadds",
        match=(
            {"TELESCOP": "Simonyi|Rubin|LSST"},
            {"INSTRUME": "^LSST"},
            {"LSST BUTLER DATASETTYPE": "coadd"},
        ),
        bands=("u", "g", "r", "i", "z", "y"),
        rgb=("i", "r", "g"),
        science=("IMAGE", "SCI"),
        weights=("VARIANCE",),
        # Where BUNIT does not say nJy (31.4), the coadd is older and was scaled to 27 (Data Preview 0.2).
        zero_points=dict.fromkeys(("u", "g", "r", "i", "z", "y"), 27.0),
        pixel_scale=(0.2,),
    ),
    Instrument(
        "euclid",
        "Euclid VIS and NISP (MER mosaics, calibrated frames)",
        match=({"TELESCOP": "^Euclid"}, {"INSTRUME": "^(VIS|NISP|NIR)$"}),
        bands=("VIS", "NIR_Y", "NIR_J", "NIR_H"),
        rgb=("NIR_H", "NIR_Y", "VIS"),
        weights=("RMS",),
        bad_bits=1,  # INVALID (Euclid Data Product Description Document, flag maps)
        saturated_bits=8,
        # The zero point is the header's MAGZERO; it differs from mosaic to mosaic.
        pixel_scale=(0.1,),
    ),
    Instrument(
        "legacy",
        "DESI Legacy Imaging Surveys coadds and cutouts (DECaLS, BASS, MzLS)",
        match=({"SURVEY": "^(DECaLS|LegacySurvey|BASS|MzLS)"},),
        bands=("g", "r", "i", "z"),
        rgb=("z", "r", "g"),
        weights=("IVAR", "INVVAR"),
        unit="nmgy",  # Dey et al. 2019, AJ 157, 168; cutouts do not say so in their headers
        pixel_scale=(0.262,),
    ),
    Instrument(
        "decam",
        "Blanco DECam (community pipeline, DES coadds)",
        match=({"INSTRUME": "^DECam"},),
        bands=("u", "g", "r", "i", "z", "Y"),
        rgb=("i", "r", "g"),
        weights=("WGT", "WHT"),
        # Bad or no data, cosmic ray, transient or edge bleed; saturated, bleed trail (NOAO Data Handbook, PL201).
        bad_bits=1 | 16 | 128,
        saturated_bits=2 | 64,
        pixel_scale=(0.263, 0.27),
    ),
)


def get(name: str) -> Instrument:
    """Preset of this name.

    Raises
    ------
    StarnetError
        If there is none, with the names there are.
    """
    for instrument in INSTRUMENTS:
        if instrument.name == name.strip().lower():
            return instrument
    names = ", ".join(instrument.name for instrument in INSTRUMENTS)
    raise StarnetError(f"there is no instrument preset {name!r}: choose one of {names}, or none")


def detect(*headers: fits.Header) -> Instrument | None:
    """Preset of the instrument that these headers name, or None."""
    return next((instrument for instrument in INSTRUMENTS if instrument.matches(list(headers))), None)
