"""The image that is worked on: the user's, or one that is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from starnet.errors import StarnetError
from starnet.mosaic import Mosaic
from starnet.tiles import Box

SEED = 2026
SIDE = 2048
#: Larger images are cropped to their middle: peers hold several copies of them.
LARGEST = 4096
SMALLEST = 96

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """Pixels in the types that images have.

    Attributes
    ----------
    bands : ndarray of float32, shape (3, ny, nx)
        Three bands; `image` is the first.
    description : str
        Where the pixels come from.
    folder : Path
        For the files that cases make.
    """

    bands: Float32
    description: str
    folder: Path

    @property
    def image(self) -> Float32:
        """The first band."""
        return np.asarray(self.bands[0])

    def integers(self, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """The image with its inner 99.8 % stretched over all values of an integer type, as pictures have it."""
        low, high = np.percentile(self.image, [0.1, 99.9])
        top = np.iinfo(np.dtype(dtype)).max
        stretched = np.clip((self.image - low) / max(high - low, 1e-30) * top + 0.5, 0, top)
        return np.asarray(stretched.astype(dtype))


def made(folder: Path, side: int = SIDE) -> Scene:
    """Sky with a gradient, noise of sigma 1 and Gaussian sources whose counts are a power law of their flux."""
    rng = np.random.default_rng(SEED)
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    sky = np.stack([100 + 5 * x + 3 * y, 80 + 2 * x * y, 60 - 4 * y])
    bands = (sky + rng.standard_normal((3, side, side), dtype=np.float32)).astype(np.float32)
    n = side * side // 1000
    centres = rng.uniform(0, side, (n, 2))
    widths = rng.uniform(1.2, 4.0, n)
    fluxes = np.minimum(60 * rng.pareto(1.2, n) + 60, 2e5)
    colours = rng.uniform(0.4, 1.6, (n, 3))
    for (cy, cx), width, flux, colour in zip(centres, widths, fluxes, colours, strict=True):
        reach = int(5 * width) + 1
        y0, x0 = max(int(cy) - reach, 0), max(int(cx) - reach, 0)
        part = bands[:, y0 : int(cy) + reach + 1, x0 : int(cx) + reach + 1]
        along_y = np.exp(-0.5 * ((np.arange(part.shape[1]) + y0 - cy) / width) ** 2)
        along_x = np.exp(-0.5 * ((np.arange(part.shape[2]) + x0 - cx) / width) ** 2)
        stamp = np.outer(along_y, along_x) * (flux / (2 * np.pi * width**2))
        part += (colour[:, None, None] * stamp).astype(np.float32)
    return Scene(bands, f"made: {side} x {side} px, noise, gradient and {n} sources, seed {SEED}", folder)


def opened(path: str, folder: Path) -> Scene:
    """The user's image: its first three bands, or its only one three times."""
    mosaic = Mosaic.open([path])
    ny, nx = mosaic.shape
    if min(ny, nx) < SMALLEST:
        raise StarnetError(f"{path} has {nx} x {ny} pixels: a comparison needs at least {SMALLEST} x {SMALLEST}")
    h, w = min(ny, LARGEST), min(nx, LARGEST)
    y0, x0 = (ny - h) // 2, (nx - w) // 2
    pixels = mosaic.read(Box(y0, y0 + h, x0, x0 + w))
    bands = pixels.data[:3] if len(pixels.data) >= 3 else np.repeat(pixels.data[:1], 3, axis=0)
    notes = [f"{path}: {w} x {h} px" + ("" if (h, w) == (ny, nx) else f", the middle of {nx} x {ny}")]
    if len(pixels.data) < 3:
        notes.append("one band, used three times")
    bands = np.ascontiguousarray(bands)
    missing = ~np.isfinite(bands)
    if missing.any():
        # Peers differ in what they do with NaN: nobody is to be timed on it.
        for band, hole in zip(bands, missing, strict=True):
            if hole.all():
                raise StarnetError(f"{path} has a band without any pixel: name another one as FILE[HDU]")
            band[hole] = np.median(band[~hole])
        notes.append(f"{int(missing.sum())} pixels without data set to the median")
    if np.ptp(bands[0]) == 0:
        raise StarnetError(f"{path} is constant: name another image")
    return Scene(bands, "; ".join(notes), folder)
