"""Point-spread functions, as transfer functions on the grids that stamps are painted on."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.simulate.presets import Band, Optics

# Samples across the pupil: what repeats in the image does so after this many lambda/D.
_PUPIL = 1024
# Wavelengths that a passband is sampled at: enough that Airy rings and the beads of spikes run into each other.
_WAVELENGTHS = 5
_ARCSEC = np.pi / 180 / 3600
# JWST's segments: 1.32 m from flat to flat and 7 mm apart, in a circle of 6.6 m (Lightsey et al. 2012, Opt. Eng. 51).
_FLAT, _PITCH = 1.32 / 6.6, 1.327 / 6.6


@lru_cache(maxsize=128)
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

    Raises
    ------
    StarnetError
        If SciPy is not installed, or ``band.psf`` cannot be read.
    """
    m = n * oversample
    if band.psf:
        result = _of_image(_read_psf(band.psf), n, m)
    else:
        step = 1.0 / (n * pixel_scale)  # cycles per arcsec
        ky = np.fft.fftfreq(m, 1.0 / m)[:, None] * step
        kx = np.fft.rfftfreq(m, 1.0 / m)[None, :] * step
        k = np.hypot(ky, kx)
        sigma2 = band.optics.blur**2 + band.smoothing**2
        transfer = np.exp(-2 * np.pi**2 * sigma2 * k**2)
        if band.optics.diameter > 0:
            transfer *= _diffraction(band, ky, kx)
        if band.optics.seeing > 0:
            transfer *= _moffat(band.optics, k)
        for side in (band.detector, band.drop, pixel_scale):
            transfer *= np.sinc(ky * side) * np.sinc(kx * side)
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


def pupil(optics: Optics, samples: int) -> NDArray[np.float32]:
    """Transmission of the entrance pupil, averaged over its pixels.

    Parameters
    ----------
    optics : Optics
        The telescope.
    samples : int
        Across the diameter.
    """
    y, x = (np.mgrid[:samples, :samples] + 0.5).astype(np.float32) / samples - np.float32(0.5)

    def inside(distance: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.clip(0.5 - distance * samples, 0, 1), np.float32)

    r = np.hypot(y, x)
    if optics.segmented:
        light = np.zeros_like(r)
        for q, p in ((q, p) for q in range(-2, 3) for p in range(-2, 3) if 0 < max(abs(q), abs(p), abs(q + p)) <= 2):
            dx, dy = x - _PITCH * q * np.sqrt(np.float32(0.75)), y - _PITCH * np.float32(p + q / 2)
            flats = [abs(dx * np.cos(a) + dy * np.sin(a)) for a in np.deg2rad(np.array([30, 90, 150], np.float32))]
            light += inside(np.maximum.reduce(flats) - np.float32(_FLAT / 2))
    else:
        light = inside(r - 0.5) * (1 - inside(r - np.float32(optics.obscuration / 2)))
    for angle in np.deg2rad(np.array(optics.struts, np.float32)):
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        light *= 1 - inside(abs(across) - np.float32(optics.strut_width / 2)) * inside(-along)
    return np.asarray(light, np.float32)


@lru_cache(maxsize=8)
def _autocorrelation(optics: Optics) -> NDArray[np.float32]:
    """Transfer function of the pupil, (2 * _PUPIL, 2 * _PUPIL), as cubic spline; frequency 0 in the middle."""
    try:
        from scipy.fft import irfft2, rfft2
        from scipy.ndimage import spline_filter
    except ImportError as error:
        raise StarnetError("SciPy is not installed: pip install 'starnet[sim]'") from error
    size = 2 * _PUPIL
    power = np.abs(rfft2(pupil(optics, _PUPIL), s=(size, size))) ** 2
    transfer = np.fft.fftshift(irfft2(power, s=(size, size)))
    return np.asarray(spline_filter(transfer / transfer.max(), mode="grid-wrap"), np.float32)


def _diffraction(band: Band, ky: NDArray[Any], kx: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over the passband of the pupil's transfer function, at frequencies in cycles per arcsec."""
    from scipy.ndimage import map_coordinates

    spline = _autocorrelation(band.optics)
    mean = np.zeros(np.broadcast_shapes(ky.shape, kx.shape))
    for i in range(_WAVELENGTHS):
        wavelength = band.wavelength + band.width * ((i + 0.5) / _WAVELENGTHS - 0.5)
        scale = wavelength * 1e-6 / band.optics.diameter / _ARCSEC * _PUPIL
        # Only where it is not 0.
        rows, columns = abs(ky[:, 0] * scale) < _PUPIL, abs(kx[0] * scale) < _PUPIL
        at = np.meshgrid(ky[rows, 0] * scale + _PUPIL, kx[0, columns] * scale + _PUPIL, indexing="ij")
        mean[np.ix_(rows, columns)] += map_coordinates(spline, at, order=3, prefilter=False, mode="grid-wrap")
    return mean / _WAVELENGTHS


def _moffat(optics: Optics, k: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fourier transform of Moffat's profile ``(1 + (r / a)**2)**-beta`` (Trujillo et al. 2001, MNRAS 328, 977)."""
    from scipy.special import gamma, kv

    beta = optics.beta
    a = optics.seeing / 2 / np.sqrt(2 ** (1 / beta) - 1)
    x = np.maximum(2 * np.pi * a * k, 1e-6)
    return np.asarray(2 ** (2 - beta) / gamma(beta - 1) * x ** (beta - 1) * kv(beta - 1, x))


@lru_cache(maxsize=16)
def _read_psf(path: str) -> NDArray[np.float64]:
    try:
        with fits.open(path) as hdus:
            image = next(np.array(hdu.data, float) for hdu in hdus if getattr(hdu, "data", None) is not None)
    except (OSError, StopIteration) as error:
        raise StarnetError(f"{path} holds no image of a point-spread function") from error
    if image.ndim != 2 or not np.isfinite(image).all() or image.sum() <= 0:
        raise StarnetError(f"{path} is no point-spread function: it has to be a finite 2-D image of positive sum")
    return np.asarray(image / image.sum())


def _of_image(image: NDArray[np.float64], n: int, m: int) -> NDArray[np.complex64]:
    """Transfer function of a sampled PSF about its centroid; 0 beyond the Nyquist frequency of its pixels."""
    y, x = np.indices(image.shape)
    peak = np.unravel_index(image.argmax(), image.shape)
    core = np.where(np.hypot(y - peak[0], x - peak[1]) <= 5, image, 0).clip(0)
    cy, cx = (core * y).sum() / core.sum(), (core * x).sum() / core.sum()
    # The matrices of a Fourier transform: an image larger than the stamp wraps.
    ky, kx = np.fft.fftfreq(n), np.fft.rfftfreq(n)
    rows = np.exp(-2j * np.pi * ky[:, None] * (np.arange(image.shape[0]) - cy))
    columns = np.exp(-2j * np.pi * kx[:, None] * (np.arange(image.shape[1]) - cx))
    inner = rows @ image @ columns.T
    result = np.zeros((m, m // 2 + 1), np.complex64)
    order = np.fft.fftfreq(n, 1 / n).astype(int)
    result[order[:, None], np.arange(n // 2 + 1)] = inner
    return result
