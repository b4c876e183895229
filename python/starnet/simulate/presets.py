"""What a survey's images are like: bands, depths, point-spread functions, noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from starnet.errors import StarnetError


@dataclass(frozen=True)
class Optics:
    """Where a point source's light goes before it falls on the mosaic's pixels.

    Attributes
    ----------
    diameter : float
        Of the primary mirror, in m; 0 for no diffraction.
    obscuration : float
        Diameter of the secondary's shadow, as a fraction of `diameter`.
    struts : tuple of float
        Position angles of the vanes, in degrees from +x to +y; each is half a diameter long.
    strut_width : float
        As a fraction of `diameter`.
    segmented : bool
        JWST's 18 hexagons instead of a disk.
    blur : float
        Sigma, in arcsec, of the Gaussian of jitter, charge diffusion and small aberrations.
    seeing : float
        FWHM, in arcsec, of the Moffat profile of the atmosphere; 0 in space.
    beta : float
        Exponent of that profile.
    """

    diameter: float
    obscuration: float = 0.0
    struts: tuple[float, ...] = ()
    strut_width: float = 0.0
    segmented: bool = False
    blur: float = 0.0
    seeing: float = 0.0
    beta: float = 4.765


@dataclass(frozen=True)
class Band:
    """One filter of a survey.

    Attributes
    ----------
    name : str
        Of the filter.
    wavelength, width : float
        Pivot wavelength and width of the passband, in micron.
    zero_point : float
        AB mag of one image unit.
    unit : str
        Of the pixels, as in ``BUNIT``.
    depth : float
        AB mag of a source of 5 sigma in a circular aperture of diameter `aperture`, noise correlation included.
    aperture : float
        Diameter, in arcsec.
    optics : Optics
        Telescope (and camera).
    detector : float
        Side of the detector's pixel, in arcsec.
    drop : float
        Side of the drop that a detector pixel is shrunk to when it is drizzled, in arcsec.
    smoothing : float
        Sigma, in arcsec, of what the mosaic was convolved with (PSF matching, resampling); 0 for nothing.
    saturation : float
        AB mag in one pixel at which the mosaic's values are no longer those of the source.
    exposure : float
        Photo-electrons of one image unit (exposure time x gain for e/s): sets the photon noise of the sources.
    stated : float
        Factor by which the weight map's sigma exceeds the true one of large apertures.
    steps : tuple of float
        Exposures that a pointing may have, relative to that of `depth`.
    psf : str
        Path of a FITS image of the point-spread function at the mosaic's pixel scale, instead of all the above.
    """

    name: str
    wavelength: float
    width: float
    zero_point: float
    depth: float
    optics: Optics
    detector: float
    drop: float
    unit: str = "electron/s"
    aperture: float = 0.4
    smoothing: float = 0.0
    saturation: float = 16.0
    exposure: float = 5000.0
    stated: float = 1.0
    steps: tuple[float, ...] = (1.0,)
    psf: str = ""


@dataclass(frozen=True)
class Preset:
    """A survey: `bands` on one pixel grid, and the sky it looks at.

    Attributes
    ----------
    name, title : str
        As given on the command line; one line with the survey's paper.
    instrument, telescope : str
        ``INSTRUME`` and ``TELESCOP`` of the FITS headers.
    pixel_scale : float
        arcsec per pixel.
    bands : tuple of Band
        Any number.
    faintest : float
        AB mag at 1.6 micron below which no sources are drawn.
    pointing : float
        Distance of the pointings of a camera, in arcmin; 0 for a field of even depth.
    stars, clustered : float
        Stars brighter than 26th mag at 1.6 micron, per arcmin**2; fraction of the galaxies in groups.
    sky : float
        RMS of the residual sky, in sigma of a pixel.
    ghosts, gaps, cosmic_rays, columns, trails : float
        Number of scattered-light disks, uncovered strips (per camera), residuals of cosmic rays, bad columns and
        satellite trails per 2**20 pixels and band.
    """

    name: str
    title: str
    instrument: str
    telescope: str
    pixel_scale: float
    bands: tuple[Band, ...]
    faintest: float = 28.5
    pointing: float = 2.0
    stars: float = 2.0
    clustered: float = 0.3
    sky: float = 0.1
    ghosts: float = 0.03
    gaps: float = 0.02
    cosmic_rays: float = 4.0
    columns: float = 0.1
    trails: float = 0.0

    def select(self, names: tuple[str, ...]) -> Preset:
        """The preset with these bands only, in this order.

        Raises
        ------
        StarnetError
            For a band that it has not.
        """
        have = {band.name: band for band in self.bands}
        for name in names:
            if name not in have:
                raise StarnetError(f"the preset {self.name} has no band {name}: choose from {', '.join(have)}")
        return replace(self, bands=tuple(have[name] for name in names))


_VANES = (45.0, 135.0, 225.0, 315.0)
# Hubble: the obscuration and vanes of Tiny Tim (Krist, Hook & Stoehr 2011, Proc. SPIE 8127); WFC3/IR's cold mask is
# wider. The blur makes encircled energies agree with Tiny Tim's within 0.06 (`tests/test_simulate_psf.py`).
HST_ACS = Optics(2.4, obscuration=0.33, struts=_VANES, strut_width=0.022, blur=0.028)
HST_IR = Optics(2.4, obscuration=0.36, struts=_VANES, strut_width=0.035, blur=0.022)
# The struts of JWST: one up, two 30 degrees from straight down.
JWST = Optics(6.6, struts=(90.0, 240.0, 300.0), strut_width=0.02, segmented=True, blur=0.012)
# Blurred to the FWHM that Euclid reached (Euclid Collaboration: Cropper et al. 2025, Jahnke et al. 2025).
EUCLID_VIS = Optics(1.2, obscuration=0.33, struts=(30.0, 150.0, 270.0), strut_width=0.02, blur=0.032)
EUCLID_NISP = Optics(1.2, obscuration=0.33, struts=(30.0, 150.0, 270.0), strut_width=0.02, blur=0.06)


def _acs(name: str, wavelength: float, width: float, zero_point: float, depth: float, **more: Any) -> Band:
    # Full well of 84 000 e- in exposures of 500 s.
    full = zero_point - 5.6
    return Band(
        name,
        wavelength,
        width,
        zero_point,
        depth,
        HST_ACS,
        **{"detector": 0.05, "drop": 0.045, **more},
        saturation=full,
    )


def _wfc3(name: str, wavelength: float, width: float, zero_point: float, depth: float, **more: Any) -> Band:
    # 80 000 e- in the 2.9 s of the first read.
    full = zero_point - 11.1
    return Band(
        name, wavelength, width, zero_point, depth, HST_IR, **{"detector": 0.128, "drop": 0.1, **more}, saturation=full
    )


# Pixels of 0.06", apertures of 0.34" (Guo et al. 2013, ApJS 207, 24, table 1 and section 2: the deep part of GOODS-S).
# Drops of 0.8 detector pixels in WFC3/IR (Koekemoer et al. 2011, ApJS 197, 36). Zero points of those mosaics.
_CANDELS: dict[str, Any] = {"aperture": 0.34, "exposure": 8000.0}
_CANDELS_DEEP = Preset(
    "candels-deep",
    "CANDELS deep, GOODS-South (Grogin et al. 2011, Koekemoer et al. 2011)",
    "WFC3",
    "HST",
    0.06,
    (
        _wfc3("F160W", 1.537, 0.268, 25.946, 28.2, **_CANDELS),
        _acs("F850LP", 0.905, 0.127, 24.843, 28.55, **_CANDELS),
        _acs("F606W", 0.592, 0.225, 26.493, 29.35, **_CANDELS),
    ),
    faintest=29.5,
    trails=0.001,
)
# Depths from the scatter of real noise samples (0.0071, 0.0069, 0.0022, 0.0048 e/s per pixel) and their correlation
# along rows (0.47, 0.49, 0.17, 0.18), which are those of these drops.
_CANDELS_WIDE = Preset(
    "candels-wide",
    "CANDELS wide (Grogin et al. 2011, Koekemoer et al. 2011)",
    "WFC3",
    "HST",
    0.06,
    (
        _wfc3("F160W", 1.537, 0.268, 25.946, 27.0, aperture=0.34, exposure=2000.0),
        _acs("F850LP", 0.905, 0.127, 24.843, 27.65, aperture=0.34, exposure=4000.0),
        _acs("F606W", 0.592, 0.225, 26.493, 28.45, aperture=0.34, exposure=2500.0),
        _wfc3("F125W", 1.248, 0.284, 26.23, 27.3, aperture=0.34, exposure=2000.0),
    ),
    faintest=28.3,
    trails=0.001,
)
# Measured on 30" x 30" of the XDF (Illingworth et al. 2013, ApJS 209, 6): weights, scatter and autocorrelation of sky
# pixels. ACS was matched to the PSF of F160W by a kernel like a Gaussian of 1.03 px, WFC3/IR not; the weight maps of
# WFC3/IR state 1.2 to 1.4 times the noise. Its deepest pointing has 25 times the exposure of what surrounds it. The
# paper's depths, in apertures of 0.35": 29.8, 30.3, 30.3, 29.1, 29.4 in ACS and 30.1, 29.8, 29.8, 29.8 in WFC3/IR.
_PSF_MATCHED: dict[str, Any] = {"aperture": 0.35, "drop": 0.05, "smoothing": 0.062}
_STEPPED: dict[str, Any] = {"aperture": 0.35, "steps": (1.0, 1.0, 0.04)}
_XDF = Preset(
    "xdf",
    "Hubble eXtreme Deep Field (Illingworth et al. 2013)",
    "WFC3",
    "HST",
    0.06,
    (
        _wfc3("F160W", 1.537, 0.268, 25.94, 30.25, drop=0.1, stated=1.28, exposure=236e3, **_STEPPED),
        _acs("F850LP", 0.905, 0.127, 24.87, 29.7, exposure=422e3, **_PSF_MATCHED),
        _acs("F606W", 0.592, 0.225, 26.51, 30.5, exposure=174e3, **_PSF_MATCHED),
        _acs("F435W", 0.433, 0.094, 25.68, 30.1, exposure=152e3, **_PSF_MATCHED),
        _acs("F775W", 0.769, 0.151, 25.69, 30.3, exposure=377e3, **_PSF_MATCHED),
        _acs("F814W", 0.805, 0.154, 25.94, 29.2, exposure=50.8e3, **_PSF_MATCHED),
        _wfc3("F105W", 1.055, 0.265, 26.27, 30.4, drop=0.125, stated=1.16, exposure=266e3, **_STEPPED),
        _wfc3("F125W", 1.248, 0.284, 26.23, 30.05, drop=0.11, stated=1.26, exposure=113e3, **_STEPPED),
        _wfc3("F140W", 1.392, 0.384, 26.45, 30.2, drop=0.115, stated=1.39, exposure=87e3, **_STEPPED),
    ),
    faintest=31.0,
    cosmic_rays=0.5,
)


def _nircam(name: str, wavelength: float, width: float, depth: float) -> Band:
    # Photo-electrons of 10 nJy in 3000 s, at 5 e-/s per 100 nJy; 60 000 e- in the 21 s of two groups.
    side = 0.031 if wavelength < 2.4 else 0.063
    return Band(name, wavelength, width, 28.9, depth, JWST, side, 0.75 * side, "10*nJy", 0.2, 0.0, 18.0, 1500.0)


# CEERS: depths in apertures of 0.2" (Finkelstein et al. 2023, ApJL 946, L13; Bagley et al. 2023, ApJL 946, L12).
_NIRCAM = Preset(
    "nircam",
    "JWST NIRCam, CEERS (Bagley et al. 2023)",
    "NIRCAM",
    "JWST",
    0.03,
    (
        _nircam("F444W", 4.421, 1.024, 28.6),
        _nircam("F277W", 2.786, 0.672, 29.2),
        _nircam("F150W", 1.501, 0.318, 29.0),
        _nircam("F115W", 1.154, 0.225, 29.1),
        _nircam("F200W", 1.990, 0.461, 29.2),
        _nircam("F356W", 3.563, 0.787, 29.2),
    ),
    faintest=30.0,
)


def _rubin(name: str, wavelength: float, width: float, depth: float, seeing: float) -> Band:
    # A PSF's optimal filter is worth 2.27 FWHM**2 of sky: an aperture of 1.7 FWHM. The detector's pixel is the coadd's;
    # warping smooths its noise by about 0.4 px.
    optics = Optics(0.0, seeing=seeing, beta=3.5)
    return Band(name, wavelength, width, 31.4, depth, optics, 0.0, 0.0, "nJy", 1.7 * seeing, 0.08, 17.5, 600.0)


# Depths of ten years and median seeing: Ivezic et al. 2019, ApJ 873, 111, table 2.
_RUBIN = Preset(
    "rubin",
    "Rubin Observatory, LSST after ten years (Ivezic et al. 2019)",
    "LSSTCam",
    "Rubin",
    0.2,
    (
        _rubin("i", 0.754, 0.128, 26.8, 0.80),
        _rubin("r", 0.622, 0.138, 27.5, 0.83),
        _rubin("g", 0.482, 0.141, 27.4, 0.87),
        _rubin("u", 0.368, 0.064, 26.1, 0.92),
        _rubin("z", 0.869, 0.104, 26.1, 0.78),
        _rubin("y", 0.972, 0.089, 24.9, 0.76),
    ),
    faintest=27.5,
    pointing=0.0,
    cosmic_rays=0.5,
    trails=0.02,
)
# Depths of the wide survey for point sources: Euclid Collaboration: Mellier et al. 2025, A&A 697, A1.
_EUCLID_VIS = Preset(
    "euclid-vis",
    "Euclid wide survey, VIS (Mellier et al. 2025)",
    "VIS",
    "Euclid",
    0.1,
    (Band("VIS", 0.715, 0.36, 23.9, 26.2, EUCLID_VIS, 0.1, 0.0, "uJy", 0.35, 0.035, 17.8, 4000.0),),
    faintest=27.0,
    pointing=0.0,
)
_EUCLID_NISP = Preset(
    "euclid-nisp",
    "Euclid wide survey, NISP (Mellier et al. 2025)",
    "NISP",
    "Euclid",
    0.1,
    (
        Band("H", 1.771, 0.5, 23.9, 24.5, EUCLID_NISP, 0.3, 0.2, "uJy", 0.8, 0.0, 16.5, 1500.0),
        Band("J", 1.367, 0.4, 23.9, 24.6, EUCLID_NISP, 0.3, 0.2, "uJy", 0.8, 0.0, 16.5, 1500.0),
        Band("Y", 1.081, 0.26, 23.9, 24.4, EUCLID_NISP, 0.3, 0.2, "uJy", 0.8, 0.0, 16.5, 1500.0),
    ),
    faintest=26.0,
    pointing=0.0,
)
PRESETS = {
    preset.name: preset for preset in (_CANDELS_DEEP, _CANDELS_WIDE, _XDF, _NIRCAM, _RUBIN, _EUCLID_VIS, _EUCLID_NISP)
}


def load_preset(name: str) -> Preset:
    """A preset by its name, or read from a YAML file, as ``starnet simulate --show`` prints one.

    Raises
    ------
    StarnetError
        For a name that there is not, and a file that does not describe a preset.
    """
    if name in PRESETS:
        return PRESETS[name]
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        raise StarnetError(f"no preset {name}: choose from {', '.join(PRESETS)}, or give a file that ends in .yaml")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StarnetError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    preset: Preset = _build(Preset, tree, f"{path}")
    if not preset.bands or preset.pixel_scale <= 0:
        raise StarnetError(f"{path}: a preset needs bands, and a pixel_scale above 0")
    return preset


def _build(kind: Any, tree: Any, where: str) -> Any:
    """A dataclass from a mapping, with those inside it."""
    if not isinstance(tree, Mapping):
        raise StarnetError(f"{where} is no mapping of the keys of a {kind.__name__.lower()}")
    known = {one.name: str(one.type) for one in fields(kind)}
    values = {}
    for key, value in tree.items():
        inner = f"{where}: {key}"
        if key not in known:
            raise StarnetError(f"{inner} is no key of a {kind.__name__.lower()}: there are {', '.join(known)}")
        if known[key] == "Optics":
            values[key] = _build(Optics, value, inner)
        elif known[key].startswith("tuple"):
            if not isinstance(value, list):
                raise StarnetError(f"{inner} has to be a list")
            nested = known[key] == "tuple[Band, ...]"
            values[key] = tuple(
                _build(Band, one, f"{inner}[{i}]") if nested else _scalar("float", one, inner)
                for i, one in enumerate(value)
            )
        else:
            values[key] = _scalar(known[key], value, inner)
    try:
        return kind(**values)
    except TypeError as error:
        raise StarnetError(f"{where}: {str(error).partition(') ')[2] or error}") from error


def _scalar(kind: str, value: Any, where: str) -> Any:
    if kind == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind in {"str", "bool"} and type(value).__name__ == kind:
        return value
    raise StarnetError(f"{where} has to be a {kind}, not {value!r}")
