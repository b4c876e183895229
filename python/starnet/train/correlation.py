"""How the noise of neighbouring pixels goes together, measured on the sky."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

_BRIGHT = 4.0  # sigmas; what is farther from the sky is not noise
_LEAST_SKY = 500  # pixels without which noise is taken for white
_LEAST_POWER = 0.03  # of white noise; less than that is not measured, and nothing is seen much better for it


def correlation(pixels: NDArray[np.float32], sky: NDArray[np.bool_], lags: int) -> NDArray[np.float64]:
    """Correlation of the noise at small lags.

    Parameters
    ----------
    pixels : ndarray of float32, shape (nband, ny, nx)
        Noise units; an exact 0 is a pixel without data.
    sky : ndarray of bool, shape (ny, nx)
        Pixels without objects. Bright ones are left out.
    lags : int
        Largest lag in pixels.

    Returns
    -------
    ndarray of float64, shape (nband, 2 * lags + 1, 2 * lags + 1)
        1 in the middle. Of white noise where too little sky is seen.
    """
    used = sky & (pixels != 0) & (np.abs(pixels) < _BRIGHT)
    count = used.sum((1, 2), keepdims=True)
    values = np.where(used, pixels - (pixels * used).sum((1, 2), keepdims=True) / np.maximum(count, 1), 0)
    shape = tuple(scipy.fft.next_fast_len(n + lags, real=True) for n in values.shape[1:])
    lag = np.arange(-lags, lags + 1)
    products, pairs = (
        scipy.fft.irfft2(np.abs(scipy.fft.rfft2(one.astype(np.float32), shape)) ** 2, shape)[:, lag[:, None], lag]
        for one in (values, used)
    )
    covariance = products.astype(np.float64) / np.maximum(pairs, 1)
    middle = covariance[:, lags, lags][:, None, None]
    white = np.zeros(covariance.shape[1:])
    white[lags, lags] = 1
    return np.where((count < _LEAST_SKY) | (middle <= 0), white, covariance / np.where(middle > 0, middle, 1))


def power(correlation: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Power spectrum of noise of unit variance that has a correlation.

    Parameters
    ----------
    correlation : ndarray of float64, shape (2 * lags + 1, 2 * lags + 1)
        As `correlation` measures it; its outer half fades out, so that it does not end at once.
    side : int
        Of the square, in pixels.

    Returns
    -------
    ndarray of float64, shape (side, side // 2 + 1)
        On the frequencies of ``rfft2``, as `starnet.simulate.noise.Noise.power` has it.
    """
    middle = len(correlation) // 2
    lags = min(middle, (side - 1) // 2)
    lag = np.arange(-lags, lags + 1)
    fade = 0.5 + 0.5 * np.cos(np.pi * np.clip(2 * np.abs(lag) / (lags + 1) - 1, 0, 1))
    wrapped = np.zeros((side, side))
    wrapped[np.ix_(lag, lag)] = correlation[np.ix_(lag + middle, lag + middle)] * fade[:, None] * fade
    spectrum: NDArray[np.float64] = np.maximum(scipy.fft.rfft2(wrapped).real, _LEAST_POWER)
    return spectrum
