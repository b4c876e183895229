"""Colours of galaxies and stars, from a few numbers each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REFERENCE = 1.537  # wavelength, in micron, of the magnitudes that sources are drawn by: F160W


def redshifts(rng: np.random.Generator, mag: Floats) -> Floats:
    """Redshifts of galaxies by their magnitude at 1.6 micron.

    ``p(z) ~ z**2 exp(-(z / z0)**1.5)`` (Smail, Ellis & Fitchett 1994, MNRAS 270, 245), whose median, 1.41 z0, rises
    from 0.5 at 20th mag to 2 at 27th, as in GOODS-South (Skelton et al. 2014, ApJS 214, 24, fig. 20).
    """
    median = np.maximum(0.5 + 0.22 * (mag - 20), 0.08)
    return np.asarray(median / 1.412 * rng.gamma(2.0, size=mag.shape) ** (1 / 1.5))


def galaxy_colours(wavelengths: Floats, z: Floats, age: Floats, dust: Floats) -> Floats:
    """Flux density of galaxies relative to that at `REFERENCE`.

    Power laws with a break: continuum of slope ``f_nu ~ lambda**s`` in the ultraviolet, the break at 0.4 micron, a
    gentler slope up to the bump at 1.6 micron, a fall beyond; dust with ``A ~ lambda**-0.7`` (Charlot & Fall 2000, ApJ
    539, 718); hydrogen between galaxies below 0.1216 micron (a line through Madau 1995, ApJ 441, 18). The numbers were
    set so that median and scatter of seven colours agree with those of 400 galaxies of GOODS-South in four bins of
    magnitude (3D-HST's fluxes, Skelton et al. 2014), to 0.2 mag.

    Parameters
    ----------
    wavelengths : ndarray of float64, (nband,)
        In micron, as observed.
    z, age, dust : ndarray of float64, (ngalaxy,)
        Redshift; 0 for a young population to 1 for an old one; V-band extinction in mag.

    Returns
    -------
    ndarray of float64, (ngalaxy, nband)
    """
    at = np.append(wavelengths, REFERENCE) / (1 + z[:, None])
    age, dust = age[:, None], dust[:, None]
    log = np.log10(at)
    blue = np.minimum(log - np.log10(0.38), 0)
    red = np.clip(log - np.log10(0.40), 0, np.log10(4.0))
    beyond = np.maximum(log - np.log10(1.6), 0)
    broken = np.clip((log - np.log10(0.36)) / np.log10(0.42 / 0.36), 0, 1)
    mag = -2.5 * ((-0.1 + 2.8 * age) * blue + (0.35 + 0.75 * age) * red - (1.0 + 0.4 * age) * beyond)
    mag -= (0.05 + 1.2 * age) * broken
    mag += dust * (at / 0.55) ** -0.7
    forest = (at < 0.1216) * (0.7 + 0.3 * np.clip((0.1216 - at) / (0.1216 - 0.0912), 0, 1))
    mag += forest * np.clip(0.8 * (z[:, None] - 1.5), 0, 4) + 3 * (at < 0.0912)
    return np.asarray(10 ** (-0.4 * (mag[:, :-1] - mag[:, -1:])))


def star_colours(wavelengths: Floats, temperature: Floats) -> Floats:
    """Flux density of stars relative to that at `REFERENCE`: Planck's law, with the molecules of cool ones.

    Parameters
    ----------
    wavelengths : ndarray of float64, (nband,)
        In micron.
    temperature : ndarray of float64, (nstar,)
        In K.

    Returns
    -------
    ndarray of float64, (nstar, nband)
    """
    at = np.append(wavelengths, REFERENCE)
    x = 14388 / (at * temperature[:, None])
    # Molecules: cool stars are fainter in the optical than a black body, by 0.6 mag at 0.6 micron and 3300 K.
    missing = np.clip((4300 - temperature[:, None]) / 1000, 0, 1.5) * np.clip(1.6 - 1.6 * at, 0, 2)
    flux = at**-3 / np.expm1(np.minimum(x, 600)) * 10 ** (-0.4 * missing)
    return np.asarray(flux[:, :-1] / flux[:, -1:])
