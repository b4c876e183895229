"""What objects are formed from and measured on: maps, pixels, and the bits that objects inherit from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from starnet import _core
from starnet.flags import Flag
from starnet.models.base import Maps
from starnet.recipe import Preprocessed
from starnet.tiles import Box


@dataclass(frozen=True)
class Layers:
    """All that objects are formed from and measured on, for the pixels of a box.

    Attributes
    ----------
    box : Box
        Where it lies in the mosaic.
    detection, landscape : ndarray
        As in `starnet.models.Maps`.
    flux, sigma : ndarray of float32, shape (nband, ny, nx)
        Sky-subtracted pixels and their noise, in each band's own unit.
    flags : ndarray of uint8, shape (ny, nx)
        Bits of `Flag` that an object inherits from its pixels.
    """

    box: Box
    detection: npt.NDArray[np.float32]
    landscape: npt.NDArray[np.float32]
    flux: npt.NDArray[np.float32]
    sigma: npt.NDArray[np.float32]
    flags: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, preprocessed: Preprocessed, maps: Maps, shape: tuple[int, int], core: Box) -> Layers:
        """The layers of `core`, a box inside the window that was preprocessed, of a mosaic of this shape."""
        window = preprocessed.box
        here = core.slices_in(window)
        flags = _pixel_flags(preprocessed, shape)
        if maps.drawn is not None:
            flags[_touches_another(maps.drawn.labels)] |= np.uint8(Flag.BLENDED)
        return cls(
            core,
            maps.detection[here],
            maps.landscape[(slice(None), *here)],
            preprocessed.flux[(slice(None), *here)],
            preprocessed.sigma[(slice(None), *here)],
            flags[here],
        )

    def crop(self, box: Box) -> Layers:
        """The layers of a box inside this one; views."""
        here = box.slices_in(self.box)
        deep = (slice(None), *here)
        return Layers(
            box, self.detection[here], self.landscape[deep], self.flux[deep], self.sigma[deep], self.flags[here]
        )

    @property
    def planes(self) -> list[npt.NDArray[np.float32]]:
        """The float layers, one by one: detection, landscape, flux, sigma."""
        return [self.detection, *self.landscape, *self.flux, *self.sigma]

    @classmethod
    def from_planes(cls, box: Box, planes: npt.NDArray[np.float32], flags: npt.NDArray[np.uint8], bands: int) -> Layers:
        """The inverse of `planes`, stacked ``(n, ny, nx)``."""
        return cls(box, planes[0], planes[1 : -2 * bands], planes[-2 * bands : -bands], planes[-bands:], flags)


def _pixel_flags(preprocessed: Preprocessed, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Bits of the pixels of a window; exact one pixel inside the window's own border."""
    valid, box = preprocessed.valid, preprocessed.box
    covered = np.asarray(valid.any(axis=0))
    flags = np.zeros(covered.shape, np.uint8)
    flags[covered & ~valid.all(axis=0)] |= np.uint8(Flag.MASKED)
    if preprocessed.saturated is not None:
        flags[preprocessed.saturated] |= np.uint8(Flag.SATURATED)
    # A pixel is at the edge of the coverage if one of its eight neighbours has no data.
    edge = np.zeros(covered.shape, bool) if covered.all() else _core.dilate_square(~covered, 1)
    edge[0] |= box.y0 == 0
    edge[-1] |= box.y1 == shape[0]
    edge[:, 0] |= box.x0 == 0
    edge[:, -1] |= box.x1 == shape[1]
    flags[edge] |= np.uint8(Flag.EDGE)
    return flags


def _touches_another(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Pixels of an object that has one of another at a side or a corner."""
    touches = np.zeros(labels.shape, bool)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = slice(None, -dy or None), slice(max(0, -dx), -dx if dx > 0 else None)
        two = slice(dy, None), slice(max(0, dx), dx if dx < 0 else None)
        differ = (labels[one] != labels[two]) & (labels[one] > 0) & (labels[two] > 0)
        touches[one] |= differ
        touches[two] |= differ
    return touches
