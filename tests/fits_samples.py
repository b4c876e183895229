"""Small FITS files for tests: written where the test wants them, in the shapes that surveys use."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

TAN = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 53.16,
    "CRVAL2": -27.78,
    "CRPIX1": 20.5,
    "CRPIX2": 15.5,
    "CD1_1": -0.06 / 3600,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 0.06 / 3600,
}


def sky(shape: tuple[int, ...] = (30, 40), seed: int = 1, dtype: str = "f4") -> np.ndarray:
    """Noise, as an image."""
    return (100 * np.random.default_rng(seed).normal(size=shape)).astype(dtype)


def image_hdu(data: np.ndarray | None, name: str = "", ver: int = 1, **cards: Any) -> fits.ImageHDU:
    """Image extension with these header cards."""
    hdu = fits.ImageHDU(data, name=name or None, ver=ver)
    hdu.header.update(cards)
    return hdu


def write(path: Path, *hdus: Any, **cards: Any) -> Path:
    """Write a file: one array as the primary image, or extensions behind a primary header with these cards."""
    if len(hdus) == 1 and isinstance(hdus[0], np.ndarray):
        primary, extensions = fits.PrimaryHDU(hdus[0]), []
    else:
        primary, extensions = fits.PrimaryHDU(), list(hdus)
    primary.header.update(cards)
    fits.HDUList([primary, *extensions]).writeto(path, overwrite=True)
    return path
