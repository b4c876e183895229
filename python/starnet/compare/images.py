"""The detection image that a user of SExtractor makes of several bands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.mosaic import Mosaic
from starnet.tiles import Box

Float32 = NDArray[np.float32]
#: Level and rms of the sky, of the pixels of a band and where it has none.
Background = Callable[[Float32, NDArray[np.bool_]], tuple[Float32, Float32]]


@dataclass(frozen=True)
class DetectionImage:
    """The mean of the bands without their sky, weighted by inverse variance.

    Attributes
    ----------
    mean : ndarray of float32, shape (ny, nx)
        0 where there are no data.
    weight : ndarray of float32, shape (ny, nx)
        Its inverse variance, from single pixels; 0 where there are no data.
    """

    mean: Float32
    weight: Float32

    @property
    def snr(self) -> Float32:
        """In units of the noise of a pixel."""
        image: Float32 = self.mean * np.sqrt(self.weight)
        return image

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Where there are no data."""
        mask: NDArray[np.bool_] = self.weight == 0
        return mask


def detection_image(mosaic: Mosaic, background: Background) -> DetectionImage:
    """Combine the bands of a mosaic, held whole in memory.

    The weight maps are scaled to the noise that the pixels show, as SExtractor does with ``MAP_WEIGHT``; a band
    without takes the rms of its background.

    Raises
    ------
    StarnetError
        If a band has no pixel with data.
    """
    box = Box(0, mosaic.shape[0], 0, mosaic.shape[1])
    pixels = mosaic.read(box)
    flux, weight = (np.zeros(mosaic.shape, np.float64) for _ in range(2))
    for i, band in enumerate(mosaic.bands):
        empty = ~pixels.valid[i]
        if empty.all():
            raise StarnetError(f"{band.path} has no pixel with data: leave the band out")
        data = np.where(empty, np.float32(0), pixels.data[i])
        level, rms = background(data, empty)
        variance = np.square(rms, dtype=np.float64)
        own = 1 / np.maximum(variance, np.finfo(np.float32).tiny)
        if pixels.ivar is not None and band.weight_source is not None:
            ivar = pixels.ivar[i].astype(np.float64)
            own = ivar / np.median((variance * ivar)[~empty])
        own[empty] = 0
        flux += own * (data - level)
        weight += own
    mean = np.divide(flux, weight, out=np.zeros_like(flux), where=weight > 0)
    return DetectionImage(mean.astype(np.float32), weight.astype(np.float32))
