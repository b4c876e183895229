"""The noise of a drizzled mosaic: any window of it, alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from starnet.simulate.presets import Preset
from starnet.simulate.streams import stream
from starnet.tiles import Box

BLOCK = 64  # white noise is made in squares of this side: small, as whole ones are made at a window's edge


class Noise:
    """The noise of every band of a field.

    Parameters
    ----------
    preset : Preset
        The survey.
    seed : int
        Of the field.
    """

    def __init__(self, preset: Preset, seed: int) -> None:
        self.preset = preset
        self.seed = seed
        self._taps = [np.array([0.2, 0.6, 0.2], np.float32) for _ in preset.bands]
        self._white_sigma = []
        for band in preset.bands:
            flux = 10 ** (-0.4 * (band.depth - band.zero_point)) / 5
            pixels = np.pi / 4 * (band.aperture / preset.pixel_scale) ** 2
            self._white_sigma.append(flux / np.sqrt(pixels))

    def sigma(self, band: int, box: Box) -> NDArray[np.float32]:
        """True standard deviation of each pixel, in image units."""
        return np.full(box.shape, self._white_sigma[band] * self._suppression(band), np.float32)

    def weight(self, band: int, box: Box) -> NDArray[np.float32]:
        """Weight map as the observatory states it: inverse variance that the pixels would have were they uncorrelated."""
        return np.full(box.shape, self._white_sigma[band] ** -2, np.float32)

    def noise(self, band: int, box: Box) -> NDArray[np.float32]:
        """Correlated noise; the same pixels have the same bits in any window."""
        taps = self._taps[band]
        reach = taps.size // 2
        white = self._white(band, box.pad(reach))
        rows = sum(taps[i] * white[i : i + box.shape[0]] for i in range(taps.size))
        smooth = sum(taps[i] * rows[:, i : i + box.shape[1]] for i in range(taps.size))
        unit = np.float32(1 / (taps @ taps))
        return np.asarray(smooth * unit * self.sigma(band, box), np.float32)

    def power(self, band: int, n: int) -> NDArray[np.float64]:
        """Power spectrum of the noise of unit variance per pixel.

        Returns
        -------
        ndarray of float64, (n, n // 2 + 1)
            On the frequencies of ``rfft2``; over the whole n x n plane its mean is 1.
        """
        taps = self._taps[band].astype(float)
        response = np.abs(np.fft.fft(taps, n)) ** 2 / (taps @ taps)
        return np.asarray(response[:, None] * response[None, : n // 2 + 1])

    def _suppression(self, band: int) -> float:
        taps = self._taps[band].astype(float)
        return float(taps @ taps) / float(taps.sum()) ** 2

    def _white(self, band: int, box: Box) -> NDArray[np.float32]:
        """Uncorrelated normal deviates."""
        out = np.empty(box.shape, np.float32)
        for iy in range(box.y0 // BLOCK, -(-box.y1 // BLOCK)):
            for ix in range(box.x0 // BLOCK, -(-box.x1 // BLOCK)):
                block = Box(iy * BLOCK, (iy + 1) * BLOCK, ix * BLOCK, (ix + 1) * BLOCK)
                part = block.intersect(box)
                values = stream(self.seed, "noise", band, (iy, ix)).standard_normal((BLOCK, BLOCK), dtype=np.float32)
                out[part.slices_in(box)] = values[part.slices_in(block)]
        return out
