"""What a survey's images are like: bands, depths, point-spread functions, noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        AB mag of one pixel at which the mosaic's values are no longer those of the source.
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
    name : str
        As given on the command line.
    title : str
        One line, with the survey's paper.
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
    stars : float
        Stars brighter than 26th mag at 1.6 micron, per arcmin**2.
    clustered : float
        Fraction of the galaxies in groups.
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


HST_IR = Optics(2.4, obscuration=0.36, struts=(45.0, 135.0, 225.0, 315.0), strut_width=0.035, blur=0.015)
HST_ACS = Optics(2.4, obscuration=0.33, struts=(45.0, 135.0, 225.0, 315.0), strut_width=0.022, blur=0.026)
HST = HST_ACS
CANDELS_DEEP = Preset(
    "candels-deep",
    "CANDELS deep, GOODS-S (Grogin et al. 2011, Koekemoer et al. 2011)",
    "WFC3",
    "HST",
    0.06,
    (
        Band("F160W", 1.537, 0.268, 25.946, 27.36, HST, detector=0.128, drop=0.1026),
        Band("F850LP", 0.905, 0.127, 24.843, 28.3, HST, detector=0.05, drop=0.05),
        Band("F606W", 0.592, 0.225, 26.493, 28.9, HST, detector=0.05, drop=0.05),
    ),
)
PRESETS = {preset.name: preset for preset in (CANDELS_DEEP,)}


def load_preset(name: str) -> Preset:
    """A preset by its name, or read from a YAML file.

    Raises
    ------
    StarnetError
        For a name that there is not.
    """
    if name not in PRESETS:
        raise StarnetError(f"no preset {name}: choose from {', '.join(PRESETS)}")
    return PRESETS[name]
