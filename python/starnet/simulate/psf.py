"""Point-spread functions, as transfer functions on the grids that stamps are painted on."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from starnet.simulate.presets import Band


@lru_cache(maxsize=256)
def otf(band: Band, pixel_scale: float, n: int, oversample: int = 1) -> NDArray[np.complex64]:
    """Transfer function of the optics, the detector and the mosaic's pixel.

    Parameters
    ----------
    band : Band
        With its optics.
    pixel_scale : float
        arcsec per pixel of the mosaic.
    n : int
        Side of the stamp, in pixels of the mosaic, even.
    oversample : int
        The grid has ``n * oversample`` points of ``pixel_scale / oversample``: frequencies beyond the mosaic's Nyquist
        frequency, which a stamp has to fold back to be right where the mosaic undersamples the PSF.

    Returns
    -------
    ndarray of complex64, (n * oversample, n * oversample // 2 + 1)
        On the frequencies of ``rfft2``; 1 at frequency 0. Read-only.
    """
    m = n * oversample
    step = 1.0 / (n * pixel_scale)  # cycles per arcsec
    ky = np.fft.fftfreq(m, 1.0 / m)[:, None] * step
    kx = np.fft.rfftfreq(m, 1.0 / m)[None, :] * step
    k2 = ky**2 + kx**2
    sigma = np.hypot(0.42 * band.wavelength * 0.206265 / max(band.optics.diameter, 0.1), band.optics.blur)
    transfer = np.exp(-2 * np.pi**2 * sigma**2 * k2)
    for side in (band.detector, band.drop, pixel_scale):
        transfer = transfer * np.sinc(ky * side) * np.sinc(kx * side)
    result = transfer.astype(np.complex64)
    result.setflags(write=False)
    return result


def psf_image(band: Band, pixel_scale: float, n: int) -> NDArray[np.float32]:
    """A point source of flux 1 at pixel ``(n // 2, n // 2)``.

    Parameters
    ----------
    band : Band
        With its optics.
    pixel_scale : float
        arcsec per pixel.
    n : int
        Side of the image, even.

    Returns
    -------
    ndarray of float32, (n, n)
        Sums to 1: what falls outside is wrapped.
    """
    image = np.fft.irfft2(otf(band, pixel_scale, n, 4), s=(4 * n, 4 * n))[::4, ::4] * 16
    return np.fft.fftshift(image).astype(np.float32)
