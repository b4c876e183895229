"""Sersic profiles in Fourier space, and how far they reach in the sky."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError

# Tables are linear in the square root of the frequency: fine at small ones, wide enough for the largest galaxies, and a
# square root has the same bits on every machine. The step keeps the interpolation's error below 3e-5; GalSim's own
# tables jump by 2e-4 where their series ends.
STEPS = 128
LARGEST = 64  # root of (frequency in rad / px times half-light radius in px)

Float32 = NDArray[np.float32]


def transforms(indices: tuple[float, ...]) -> NDArray[np.complex64]:
    """Fourier transforms of circular Sersic profiles of unit flux and half-light radius, ready to be interpolated.

    They are GalSim's (Rowe et al. 2015, Astronomy and Computing 10, 121).

    Parameters
    ----------
    indices : tuple of float
        Sersic indices.

    Returns
    -------
    ndarray of complex64, (len(indices), LARGEST * STEPS + 1)
        Entry `i` of a row belongs to the frequency ``(i / STEPS)**2``: real part the value, imaginary part the
        difference to the next one, so that one access fetches both.

    Raises
    ------
    StarnetError
        If GalSim is not installed.
    """
    return np.stack([_transform(n) for n in indices])


@lru_cache(maxsize=256)
def _transform(n: float) -> NDArray[np.complex64]:
    try:
        import galsim
        from scipy.interpolate import CubicSpline
    except ImportError as error:
        raise StarnetError("GalSim and SciPy are not installed: pip install 'starnet[sim]'") from error
    profile = galsim.Sersic(n=n, half_light_radius=1.0)
    coarse = np.arange(0, LARGEST * 16 + 1) / 16
    values = np.array([profile.kValue(t * t, 0.0).real for t in coarse])
    fine = CubicSpline(coarse, values)(np.arange(LARGEST * STEPS + 2) / STEPS)
    fine[-1] = fine[-2]  # a profile that is sampled beyond the end has no power there
    return np.asarray(fine[:-1] + 1j * np.diff(fine), np.complex64)


def quadratic_form(re: Float32, q: Float32, pa: Float32) -> tuple[Float32, Float32, Float32]:
    """Coefficients ``a, b, c`` of ``a kx**2 + b kx ky + c ky**2``, the squared frequency seen by an ellipse's profile.

    Parameters
    ----------
    re, q, pa : ndarray of float32
        Half-light radius along the major axis in pixels, axis ratio, position angle from +x to +y in radians.
    """
    major, minor = re * re, (re * q) ** 2
    cos, sin = np.cos(pa), np.sin(pa)
    return (
        major * cos * cos + minor * sin * sin,
        2 * (major - minor) * cos * sin,
        major * sin * sin + minor * cos * cos,
    )


def isophote(n: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radius at which a Sersic profile of unit flux and half-light radius has fallen to `level`; 0 where it is fainter.

    ``b(n)`` after Ciotti & Bertin (1999, A&A 352, 447), eq. 18.
    """
    from scipy.special import gamma

    b = 2 * n - 1 / 3 + 4 / (405 * n) + 46 / (25515 * n**2)
    centre = b ** (2 * n) / (2 * np.pi * n * gamma(2 * n))
    return np.asarray((np.log(np.maximum(centre / level, 1)) / b) ** n)
