"""What changes a sky in linear noise units, so that its noise stays 1.

All take pixels ``(nband, ny, nx)`` of one sample, float32, signal over noise. An exact 0 is a pixel without data, and
stays 0. Random numbers come from the generator alone.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from kornia.filters import filter2d
from numpy.typing import NDArray
from torch import Generator, Tensor

from starnet.train.correlation import correlation as correlation_of

_LAGS = 3  # pixels over which noise is correlated: drizzle and interpolation reach so far


def uniform(generator: Generator, low: float, high: float) -> float:
    """A random number between two."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def add_noise(pixels: Tensor, sigma: float, correlation: float, generator: Generator) -> Tensor:
    """Noise on top: ``(x + s n) / sqrt(1 + s^2)``, whose noise is 1 again, and whose sources are that much fainter.

    Parameters
    ----------
    pixels : Tensor
        Noise units.
    sigma : float
        ``s``, in units of the noise that is there.
    correlation : float
        Sigma in pixels of the Gaussian that smooths white noise to ``n``, which is then divided by the kernel's norm
        so that it has unit variance; 0 for white noise.
    generator : Generator
        Random numbers.
    """
    noise = torch.randn(pixels.shape, generator=generator)
    if correlation > 0:
        kernel = gaussian(correlation)
        noise = _filtered(noise, kernel, "circular") / float(np.sqrt((kernel**2).sum()))
    return torch.where(pixels == 0, 0.0, (pixels + sigma * noise) / math.sqrt(1 + sigma**2))


def shallower(pixels: Tensor, magnitudes: float, generator: Generator) -> Tensor:
    """The same sky exposed for less time: ``x / f + sqrt(1 - 1 / f^2) n`` with ``f = 10^(0.4 m)``.

    Where the sky makes the noise, fluxes of the same signal to noise are ``m`` magnitudes brighter then. ``n`` is
    white.
    """
    fainter = 10 ** (-0.4 * magnitudes)
    noise = torch.randn(pixels.shape, generator=generator)
    return torch.where(pixels == 0, 0.0, fainter * pixels + math.sqrt(1 - fainter**2) * noise)


def blur(pixels: Tensor, sigma: float, sky: Tensor, generator: Generator) -> Tensor:
    """A worse seeing at the same depth: ``k * x + sqrt(1 - v) n``.

    The kernel ``k``, a Gaussian of sum 1, smooths the noise together with the sources, to the variance ``v``: the sum
    of ``(k * k)(lag)`` times the noise's own correlation at that lag, which is ``sum k^2`` for white noise. Seeing
    smooths sources and not noise: what the noise has lost is added again as white noise ``n``.

    Parameters
    ----------
    pixels : Tensor
        Noise units.
    sigma : float
        Of the kernel, in pixels.
    sky : Tensor
        bool ``(ny, nx)``, pixels of which the noise's correlation is measured.
    generator : Generator
        Random numbers.
    """
    kernel = gaussian(sigma)
    own = correlation(pixels, sky)
    size = 2 * (len(kernel) + _LAGS)  # long enough for the kernel's autocorrelation not to wrap around
    power = np.abs(np.fft.rfft2(kernel, (size, size))) ** 2
    lags = np.arange(-_LAGS, _LAGS + 1)
    kept = (own * np.fft.irfft2(power, (size, size))[np.ix_(lags, lags)]).sum((1, 2))
    return refill(
        torch.where(pixels == 0, 0.0, _filtered(pixels, kernel, "reflect")),
        torch.from_numpy(kept.astype(np.float32))[:, None, None],
        generator,
    )


def refill(pixels: Tensor, kept: Tensor, generator: Generator) -> Tensor:
    """White noise of the variance that is missing to 1: ``x + sqrt(1 - v) n``.

    Parameters
    ----------
    pixels : Tensor
        Smoothed, so that their noise is less than 1.
    kept : Tensor
        ``v``, the variance that is left: a number, or one of each band or pixel.
    generator : Generator
        Random numbers.
    """
    noise = torch.randn(pixels.shape, generator=generator)
    return torch.where(pixels == 0, 0.0, pixels + (1 - kept).clamp(min=0).sqrt() * noise)


def offset(pixels: Tensor, level: Tensor, slope: Tensor) -> Tensor:
    """A sky that was not taken away: a level, and a plane that rises and falls by `slope` towards the borders.

    Parameters
    ----------
    pixels : Tensor
        Noise units.
    level : Tensor
        Of each band, ``(nband,)``, in sigmas.
    slope : Tensor
        Of each band in y and x, ``(nband, 2)``, in sigmas from the middle to a border.
    """
    y, x = (torch.linspace(-1, 1, n) for n in pixels.shape[1:])
    plane = level[:, None, None] + slope[:, :1, None] * y[:, None] + slope[:, 1:, None] * x
    return torch.where(pixels == 0, 0.0, pixels + plane)


def drop_bands(pixels: Tensor, probability: float, generator: Generator) -> Tensor:
    """Bands without data, each with a probability; one of them is always kept."""
    drawn = torch.rand(len(pixels), generator=generator)
    kept = (drawn >= probability) | (torch.arange(len(pixels)) == drawn.argmax())
    return torch.where(kept[:, None, None], pixels, 0.0)


def correlation(pixels: Tensor, sky: Tensor) -> NDArray[np.float64]:
    """Correlation of the noise at small lags, measured on the sky.

    Parameters
    ----------
    pixels : Tensor
        Noise units.
    sky : Tensor
        bool ``(ny, nx)``, pixels without objects. Bright ones are left out.

    Returns
    -------
    ndarray of float64, shape (nband, 7, 7)
        From lag -3 to 3 in y and x, 1 in the middle. Of white noise where too little sky is seen.
    """
    return correlation_of(pixels.numpy(), sky.numpy(), _LAGS)


def gaussian(sigma: float) -> NDArray[np.float64]:
    """A Gaussian kernel of sum 1, ``(k, k)``, out to 4 sigma."""
    reach = math.ceil(4 * sigma)
    profile = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel: NDArray[np.float64] = np.outer(profile, profile) / profile.sum() ** 2
    return kernel


def _filtered(pixels: Tensor, kernel: NDArray[np.float64], border: str) -> Tensor:
    filtered: Tensor = filter2d(pixels[None], torch.from_numpy(kernel.astype(np.float32))[None], border)
    return filtered[0]
