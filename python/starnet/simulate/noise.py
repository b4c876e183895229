"""The noise of a drizzled mosaic: any window of it, alone."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from starnet.simulate.presets import Band, Preset
from starnet.simulate.streams import stream
from starnet.tiles import Box

BLOCK = 64  # white noise is made in squares of this side: small, as whole ones are made at a window's edge
# Pointings are larger than their distance by this, and seen twice there.
_OVERLAP = 0.1
_MAPS_HELD = 12


class Noise:
    """The noise of every band of a field.

    A mosaic's noise is that of its detectors, spread by the drops and pixels of drizzle, whose autocorrelation is that
    of two boxes (Casertano et al. 2000, AJ 120, 2747, appendix A), and by any smoothing afterwards. It is made of white
    noise by a separable filter with that autocorrelation. Large apertures see the noise of the detectors, which is
    what depths and weight maps state; the scatter of single pixels is smaller.

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
        self._taps = [taps(band, preset.pixel_scale) for band in preset.bands]
        self._suppression = [float(t @ t) / float(t.sum()) ** 2 for t in self._taps]
        self._white_sigma = [white_sigma(band, preset.pixel_scale) for band in preset.bands]
        self._maps: OrderedDict[tuple[float, tuple[float, ...], Box], NDArray[np.float32]] = OrderedDict()

    @property
    def reference(self) -> list[float]:
        """True sigma of a pixel at each band's depth, in image units."""
        return [white * part for white, part in zip(self._white_sigma, self._suppression, strict=True)]

    def sigma(self, band: int, box: Box) -> NDArray[np.float32]:
        """True standard deviation of each pixel, in image units."""
        return np.float32(self._white_sigma[band] * self._suppression[band]) * self._relative(band, box)

    def weight(self, band: int, box: Box) -> NDArray[np.float32]:
        """Weight map as the observatory states it: the inverse variance that uncorrelated pixels would have."""
        stated = np.float32(1 / (self._white_sigma[band] * self.preset.bands[band].stated))
        return np.asarray(np.square(stated / self._relative(band, box)))

    def noise(self, band: int, box: Box) -> NDArray[np.float32]:
        """Correlated noise; the same pixels have the same bits in any window."""
        taps = self._taps[band].astype(np.float32)
        taps /= np.float32(np.sqrt(taps @ taps))
        white = self._white(band, Box(box.y0, box.y1 + taps.size - 1, box.x0, box.x1 + taps.size - 1))
        ny, nx = box.shape
        result = np.empty(box.shape, np.float32)
        for top in range(0, ny, BLOCK):  # strips that stay in the cache
            rows = min(BLOCK, ny - top)
            down = taps[0] * white[top : top + rows]
            for i in range(1, taps.size):
                down += taps[i] * white[top + i : top + i + rows]
            across = taps[0] * down[:, :nx]
            for i in range(1, taps.size):
                across += taps[i] * down[:, i : i + nx]
            result[top : top + rows] = across
        result *= self.sigma(band, box)
        return result

    def power(self, band: int, n: int) -> NDArray[np.float64]:
        """Power spectrum of the noise of unit variance per pixel.

        Returns
        -------
        ndarray of float64, (n, n // 2 + 1)
            On the frequencies of ``rfft2``; over the whole n x n plane its mean is 1.
        """
        taps = self._taps[band]
        k = np.fft.fftfreq(n)
        response = np.abs(np.exp(-2j * np.pi * k[:, None] * np.arange(taps.size)) @ taps) ** 2 / (taps @ taps)
        return np.asarray(response[:, None] * response[None, : n // 2 + 1])

    def exposure(self, band: int, box: Box) -> NDArray[np.float32]:
        """Exposure relative to that of the band's depth: pointings of a camera side by side, with depth steps."""
        camera = self.preset.bands[band]
        size = self.preset.pointing * 60 / self.preset.pixel_scale
        if size <= 0 or box.size == 0:
            return np.ones(box.shape, np.float32)
        # Bands of one camera were observed together.
        number = round(camera.detector * 1000) % 256
        angle, u0, v0 = stream(self.seed, "pointing", number).random(3) * (np.pi / 2, 1, 1)
        cos, sin = np.cos(angle) / size, np.sin(angle) / size
        y, x = np.arange(box.y0, box.y1)[:, None], np.arange(box.x0, box.x1)[None]
        u, v = u0 + (x * cos + y * sin), v0 + (y * cos - x * sin)
        iu, iv = np.floor(u), np.floor(v)
        twice_u, twice_v = u - iu < _OVERLAP, v - iv < _OVERLAP
        first_u, first_v = int(iu.min()) - 1, int(iv.min()) - 1
        rows, columns = range(first_u, int(iu.max()) + 1), range(first_v, int(iv.max()) + 1)
        depth = np.array([[_depth(self.seed, number, i, j, camera.steps) for j in columns] for i in rows], np.float32)
        ku, kv = (iu - first_u).astype(np.int32), (iv - first_v).astype(np.int32)
        total = np.asarray(depth[ku, kv], np.float32)
        for extra, di, dj in ((twice_u, 1, 0), (twice_v, 0, 1), (twice_u & twice_v, 1, 1)):
            total[extra] += depth[ku[extra] - di, kv[extra] - dj]
        return total

    def _relative(self, band: int, box: Box) -> NDArray[np.float32]:
        """Sigma relative to that of the band's depth; maps of the cameras are held for the last windows."""
        key = (self.preset.bands[band].detector, self.preset.bands[band].steps, box)
        if key not in self._maps:
            self._maps[key] = np.asarray(1 / np.sqrt(self.exposure(band, box)), np.float32)
            if len(self._maps) > _MAPS_HELD:
                self._maps.popitem(last=False)
        return self._maps[key]

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


@lru_cache(maxsize=4096)
def _depth(seed: int, number: int, i: int, j: int, steps: tuple[float, ...]) -> float:
    """Exposure of a pointing: one of the steps, some of it lost."""
    rng = stream(seed, "pointing", number, (i, j))
    return float(rng.choice(steps) * rng.uniform(0.85, 1.0))


def white_sigma(band: Band, pixel_scale: float) -> float:
    """Sigma per pixel, in image units, that the band's depth would need were the noise white."""
    flux = 10 ** (-0.4 * (band.depth - band.zero_point)) / 5
    return float(flux / np.sqrt(np.pi / 4 * (band.aperture / pixel_scale) ** 2))


@lru_cache(maxsize=64)
def taps(band: Band, pixel_scale: float) -> NDArray[np.float64]:
    """Filter, along one axis, that gives white noise the autocorrelation of the mosaic's.

    The filter of minimum phase, from the logarithm of the power spectrum (Kolmogorov's factorisation; Oppenheim &
    Schafer, Discrete-Time Signal Processing, 13.5): as short as the autocorrelation is.
    """
    n, alias = 256, 32
    k = np.fft.fftfreq(n * alias, 1 / (n * alias)) / n / pixel_scale  # cycles per arcsec
    power = (np.sinc(k * band.drop) * np.sinc(k * pixel_scale) * np.exp(-2 * (np.pi * k * band.smoothing) ** 2)) ** 2
    power = power.reshape(alias, n).sum(axis=0)
    cepstrum = np.fft.ifft(np.log(power / power.mean() + 1e-6)).real
    cepstrum[1 : n // 2] *= 2
    cepstrum[n // 2 + 1 :] = 0
    response = np.fft.ifft(np.exp(np.fft.fft(cepstrum) / 2)).real
    last = int(np.flatnonzero(np.abs(response) > 2e-3 * np.abs(response).max())[-1])
    result = response[: last + 1]
    result.setflags(write=False)
    return np.asarray(result)
