"""A small sky for engines: round sources on noise, two bands, a WCS; some blended, some at the border."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

SHAPE = (170, 210)


def sources() -> np.ndarray:
    """``x, y, flux at the peak``, in pixels; float64, (n, 3)."""
    rng = np.random.default_rng(11)
    scattered = np.column_stack([rng.uniform(0, SHAPE[1] - 1, 40), rng.uniform(0, SHAPE[0] - 1, 40)])
    pairs = np.array([[60.0, 60.0], [67.0, 62.0], [120.0, 100.0], [128.0, 100.0], [124.0, 107.0], [0.0, 90.0]])
    xy = np.concatenate([scattered, pairs])
    return np.column_stack([xy, rng.uniform(15, 80, len(xy))])


def write_sky(folder: Path) -> list[Path]:
    """The bands, as files."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = sum(peak * np.exp(-((x - sx) ** 2 + (y - sy) ** 2) / (2 * 1.8**2)) for sx, sy, peak in sources())
    header = fits.Header(
        {
            "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 53.1, "CRVAL2": -27.8, "CRPIX1": 100.5,
            "CRPIX2": 80.5, "CDELT1": -2e-5, "CDELT2": 2e-5, "CUNIT1": "deg", "CUNIT2": "deg",
        }
    )  # fmt: skip
    paths = []
    for k, band in enumerate(("F160W", "F606W")):
        noise = np.random.default_rng(k).normal(size=SHAPE)
        paths.append(folder / f"{band}.fits")
        image = (light * (1 - 0.3 * k) + noise).astype(np.float32)
        fits.PrimaryHDU(image, header.copy()).writeto(paths[-1])
    return paths
