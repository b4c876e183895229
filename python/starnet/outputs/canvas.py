"""A picture of a whole mosaic, painted box by box: binned where the mosaic is large, enlarged where it is small."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from starnet.outputs.png import Origin, to_bytes, write_png
from starnet.tiles import Box, TileGrid

# Brightness runs from black to white over these values of asinh(signal / noise), the same for every image and every
# part of it: 1.2 sigma, so that the sky is nearly black, to 900 sigma, so that of a deep Hubble image only stars
# become white.
_BLACK, _WHITE = 1.0, 7.5
# Lifts the faint sources, which asinh alone leaves dim beside the bright ones.
_GAMMA = 0.65

# Pixels on a side of the boxes that are read: 12 MB of three bands.
_BOX = 1024
# Pictures of small images are enlarged to about this many pixels on a side, eight times at most.
_READABLE = 1400

_Number = TypeVar("_Number", bound=np.generic)


def composite(bands: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours of one to three bands, with a fixed stretch.

    Parameters
    ----------
    bands : ndarray
        ``(nband, ny, nx)``, asinh of noise units, 0 is sky, the reddest band first. One band is shown grey; of two, the
        second is blue and their mean green.

    Returns
    -------
    ndarray
        uint8 ``(ny, nx, 3)``.

    References
    ----------
    After Lupton et al. 2004, PASP 116, 133: asinh keeps both faint and bright sources. Here each band is stretched by
    itself, because bands in noise units differ in depth, which would saturate the colours of a common intensity.
    """
    if bands.ndim != 3 or not 1 <= len(bands) <= 3:
        raise ValueError(f"a picture takes one to three bands (nband, ny, nx), not {bands.shape}")
    levels = np.clip((np.nan_to_num(bands) - np.float32(_BLACK)) / np.float32(_WHITE - _BLACK), 0, 1) ** np.float32(
        _GAMMA
    )
    if len(levels) == 1:
        levels = levels.repeat(3, axis=0)
    elif len(levels) == 2:
        levels = np.stack([levels[0], levels.mean(axis=0), levels[1]])
    return to_bytes(levels)


class Canvas:
    """The pixels of a picture, of at most `max_side` a side.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)`` of the mosaic.
    max_side : int
        A larger mosaic is binned by the smallest integer that makes it fit.
    """

    def __init__(self, shape: tuple[int, int], max_side: int) -> None:
        if min(shape) < 1 or max_side < 1:
            raise ValueError(f"shape {shape} and max_side {max_side} must be positive")
        self.shape = shape
        self.binning = -(-max(shape) // max_side)
        self.zoom = max(1, min(8, _READABLE // max(shape), max_side // max(shape)))
        height, width = (-(-side // self.binning) * self.zoom for side in shape)
        self.pixels = np.zeros((height, width, 3), np.uint8)

    def boxes(self, progress: Callable[[int, int], None] | None = None) -> Iterator[Box]:
        """Yield the boxes of the mosaic to read in turn; each holds whole bins."""
        grid = TileGrid(self.shape, core=-(-_BOX // self.binning) * self.binning)
        for tile in grid:
            yield tile.core
            if progress is not None:
                progress(tile.index + 1, len(grid))

    def part(self, box: Box) -> NDArray[np.uint8]:
        """View the pixels that show `box`, uint8 ``(height, width, 3)``."""
        y0, x0 = box.y0 // self.binning, box.x0 // self.binning
        y1, x1 = -(-box.y1 // self.binning), -(-box.x1 // self.binning)
        return self.pixels[y0 * self.zoom : y1 * self.zoom, x0 * self.zoom : x1 * self.zoom]

    def paint(self, box: Box, bands: NDArray[np.float32]) -> None:
        """Show `bands`, ``(nband, ny, nx)`` as `composite` takes them, in `box`: the mean of each bin."""
        if self.binning > 1:
            bands = self._bin(np.nan_to_num(bands), np.add)
            # Bins at the far borders are smaller.
            heights, widths = (np.minimum(self.binning, n - np.arange(0, n, self.binning)) for n in box.shape)
            bands /= np.outer(heights, widths).astype(np.float32)
        self.part(box)[...] = self._enlarge(composite(bands))

    def labels(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Give labels ``(ny, nx)`` the scale of the picture: the highest of each bin, so that no object is lost."""
        return self._enlarge(self._bin(labels, np.maximum))

    def save(self, path: str | Path, *, origin: Origin) -> None:
        """Write the picture as PNG."""
        write_png(path, self.pixels, origin=origin)

    def _bin(self, values: NDArray[_Number], combine: np.ufunc) -> NDArray[_Number]:
        """Combine the pixels of each bin of the last two axes; bins at the far borders may be smaller."""
        for axis in (-2, -1):  # whole rows first: they lie together in memory
            values = np.moveaxis(values, axis, 0)
            binned = values[:: self.binning].copy(order="K")
            for i in range(1, self.binning):
                pixels = values[i :: self.binning]
                combine(binned[: len(pixels)], pixels, out=binned[: len(pixels)])
            values = np.moveaxis(binned, 0, axis)
        return values

    def _enlarge(self, values: NDArray[_Number]) -> NDArray[_Number]:
        """Repeat pixels of the first two axes."""
        return values if self.zoom == 1 else values.repeat(self.zoom, axis=0).repeat(self.zoom, axis=1)
