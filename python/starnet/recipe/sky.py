"""Background and noise of every band of a mosaic, sources masked, in two streaming passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from starnet import _core
from starnet.errors import StarnetError
from starnet.filters.background import Background, BackgroundBuilder
from starnet.tiles import Box

if TYPE_CHECKING:
    from starnet.mosaic import Mosaic

__all__ = ["Progress", "Sky", "fit_sky", "noise_units", "one_strip", "strips"]

Float32 = npt.NDArray[np.float32]
Progress = Callable[[str, int, int], None]
"""Called with (stage, steps done, steps in all)."""

# Pixels of all bands that a strip holds at most, unless one row of boxes holds more: 32 MiB of float32.
_STRIP_PIXELS = 2**23


@dataclass(frozen=True, eq=False)
class Sky:
    """Background and noise of one band.

    Parameters
    ----------
    background : Background
        Measured with the sources masked.
    noise_factor : float or None
        The noise of a pixel is ``noise_factor / sqrt(ivar)``; None where the band has no weight map: then it is the
        background's rms. The factor is the scatter of ``(data - level) * sqrt(ivar)`` in sky pixels: 1 if the weight
        map states the scatter of single pixels, below 1 where resampling has correlated them.
    """

    background: Background
    noise_factor: float | None

    def sigma(
        self, box: Box, ivar: Float32 | None, *, out: Float32 | None = None, threads: int | None = None
    ) -> Float32:
        """1-sigma noise of the pixels of a box, ``(ny, nx)`` float32, in the unit of the image; inf where unknown."""
        if self.noise_factor is not None:
            return _core.noise_from_weight(self._weight(ivar), self.noise_factor, out, threads)
        sigma = self.background.rms(box, out=out, threads=threads)
        noisy = self.background.rms_mesh > 0
        if not noisy.all():
            # Boxes of equal pixels: the spline swings about 0 there, and what it gives is no noise.
            by, bx = self.background.box_shape
            sigma[~noisy[np.arange(box.y0, box.y1) // by][:, np.arange(box.x0, box.x1) // bx]] = np.inf
        sigma[sigma <= 0] = np.inf
        return sigma

    def noise_units(
        self,
        box: Box,
        data: Float32,
        ivar: Float32 | None,
        valid: npt.NDArray[np.bool_],
        out: tuple[Float32, Float32, Float32, Float32],
        *,
        softening: float,
        threads: int | None = None,
    ) -> None:
        """Sky-subtracted pixels, their noise, their ratio and its asinh, in one pass over the pixels of a box.

        Parameters
        ----------
        box : Box
            The box.
        data, ivar : ndarray of float32, shape (ny, nx)
            Its pixels, and their weights if there is a weight map.
        valid : ndarray of bool, shape (ny, nx)
            Which pixels are valid; those without known noise are taken out.
        out : tuple of four ndarray of float32, shape (ny, nx)
            What to fill: flux, NaN where not valid; sigma, infinite there; snr and image, 0 there.
        softening : float
            ``image = asinh(snr / softening)``.
        threads : int, optional
            Threads of the kernels.
        """
        flux, sigma, snr, image = out
        self.background.level(box, out=flux, threads=threads)
        if self.noise_factor is None:
            weight, factor = None, 1.0
            self.sigma(box, None, out=sigma, threads=threads)
        else:
            weight, factor = self._weight(ivar), self.noise_factor
        _core.noise_units(data, flux, sigma, snr, image, valid, softening, weight, factor, threads)

    @staticmethod
    def _weight(ivar: Float32 | None) -> Float32:
        if ivar is None:
            raise ValueError("the noise was fitted with a weight map, but there is none now")
        return ivar


def fit_sky(
    mosaic: Mosaic,
    *,
    box_size: int = 64,
    filter_size: int = 3,
    exclude_percentile: float = 75.0,
    source_threshold: float = 2.0,
    source_dilation: int = 4,
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[Sky, ...]:
    """Measure background and noise of every band, sources masked, in two passes over the mosaic.

    The first pass clips sources only by sigma. The second masks, in all bands, the pixels where the mean over 3 x 3
    pixels of the first pass' signal-to-noise ratio of any band exceeds a threshold, and their neighbours, and measures
    again.

    Parameters
    ----------
    mosaic : Mosaic
        Read in strips of whole rows of boxes, one at a time.
    box_size, filter_size, exclude_percentile
        As for `BackgroundBuilder`.
    source_threshold : float
        In units of the noise of one pixel.
    source_dilation : int
        Pixels by which sources are widened.
    threads : int, optional
        Threads of the kernels.
    progress : callable, optional
        Called with (stage, strips done, strips in all).

    Returns
    -------
    tuple of Sky
        One per band.

    Raises
    ------
    StarnetError
        If a band has no valid pixel, or is constant.
    """

    def new_fits() -> list[_BandFit]:
        def builder() -> BackgroundBuilder:
            return BackgroundBuilder(
                mosaic.shape, box_size, exclude_percentile=exclude_percentile, filter_size=filter_size, threads=threads
            )

        return [_BandFit(band.name, builder(), builder() if band.has_weight else None) for band in mosaic.bands]

    clipped = new_fits()
    box_shape = clipped[0].level.box_shape
    for strip in strips(mosaic, box_shape[0], "sky, sources clipped", progress):
        pixels = mosaic.read(strip)
        for i, fit in enumerate(clipped):
            masked = ~pixels.valid[i]
            boxes = fit.level.add_rows(strip.y0, pixels.data[i], masked)
            if fit.noise is not None and pixels.ivar is not None:
                # There is no smooth level yet: each box loses its own.
                own = _replicate(boxes, box_shape, strip.shape)
                snr = noise_units(pixels.data[i], own, _core.noise_from_weight(pixels.ivar[i], 1.0, threads=threads))
                fit.noise.add_rows(strip.y0, snr, masked)
    first = [fit.finish(1.0) for fit in clipped]

    unsourced = new_fits()
    for strip in strips(mosaic, box_shape[0], "sky, sources masked", progress):
        window = strip.pad(source_dilation + 1).clip(mosaic.shape)
        core = strip.slices_in(window)
        pixels = mosaic.read(window)
        found = np.zeros(window.shape, dtype=bool)
        snrs = []
        for i, sky in enumerate(first):
            level = sky.background.level(window, threads=threads)
            sigma = sky.sigma(window, None if pixels.ivar is None else pixels.ivar[i], threads=threads)
            snr = noise_units(pixels.data[i], level, sigma)
            snr[~pixels.valid[i]] = np.nan
            _core.mark_sources(snr, source_threshold, found, threads)
            snrs.append(snr)
        sources = _core.dilate_square(found, source_dilation, threads=threads)[core]
        for i, fit in enumerate(unsourced):
            masked = ~pixels.valid[i][core] | sources
            fit.level.add_rows(strip.y0, pixels.data[i][core], masked)
            if fit.noise is not None:
                fit.noise.add_rows(strip.y0, snrs[i][core], masked)
    return tuple(fit.finish(sky.noise_factor) for fit, sky in zip(unsourced, first, strict=True))


def one_strip(mosaic: Mosaic) -> bool:
    """Whether a mosaic is no larger than what is read at once anyway."""
    return len(mosaic.bands) * mosaic.shape[0] * mosaic.shape[1] <= _STRIP_PIXELS


def strips(mosaic: Mosaic, multiple: int, stage: str, progress: Progress | None) -> Iterator[Box]:
    """Strips over the width of a mosaic, a multiple of `multiple` rows high, in order; reports those that are done."""
    ny, nx = mosaic.shape
    height = multiple * max(1, _STRIP_PIXELS // (len(mosaic.bands) * nx * multiple))
    total = -(-ny // height)
    for done in range(total):
        if progress is not None:
            progress(stage, done, total)
        yield Box(done * height, min(ny, (done + 1) * height), 0, nx)
    if progress is not None:
        progress(stage, total, total)


def noise_units(data: Float32, level: Float32, sigma: Float32) -> Float32:
    """``(data - level) / sigma`` in one new float32 array; 0 where `sigma` is infinite, NaN where `data` is."""
    with np.errstate(invalid="ignore", over="ignore"):
        snr = np.subtract(data, level)
        snr /= sigma
    return snr


def _replicate(boxes: npt.NDArray[np.float64], box_shape: tuple[int, int], shape: tuple[int, int]) -> Float32:
    """One value per box to an image of this shape."""
    columns = boxes.astype(np.float32).repeat(box_shape[1], axis=1)[:, : shape[1]]
    return columns.repeat(box_shape[0], axis=0)[: shape[0]]


@dataclass(frozen=True, eq=False)
class _BandFit:
    """One pass over one band: its level, and the scatter of its noise units where there is a weight map."""

    name: str
    level: BackgroundBuilder
    noise: BackgroundBuilder | None

    def finish(self, factor: float | None) -> Sky:
        """The sky; `factor` is the noise factor that the noise units were made with."""
        try:
            background = self.level.finish()
        except ValueError as error:
            raise StarnetError(
                f"band {self.name} has no valid pixel; leave it out, or check its data, weight map and flags"
            ) from error
        scatter = 1.0 if self.noise is None else self.noise.median_rms()
        if not scatter > 0 or background.rms_mesh.max() == 0:
            raise StarnetError(
                f"band {self.name} is constant, or nearly so: there is no noise to measure; is it the science image?"
            )
        return Sky(background, None if self.noise is None or factor is None else factor * scatter)
