"""The published chain: rolling-median sky, clip to inner percentiles, median filter, min-max to [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from starnet.errors import StarnetError
from starnet.filters import StreamingPercentiles, median_filter, percentiles, rolling_median
from starnet.recipe.parameters import SeedRecipe
from starnet.recipe.sky import Progress, one_strip, strips
from starnet.tiles import Box

if TYPE_CHECKING:
    from starnet.mosaic import Mosaic, Pixels

__all__ = ["SeedScale", "fit_scales", "halo", "process"]

Float32 = npt.NDArray[np.float32]

# Percentage of a normal distribution below its mean minus one standard deviation.
_ONE_SIGMA_BELOW = 15.865525393145708
# Percentages of the filtered pixels that make a scale.
_RANGE = (0, _ONE_SIGMA_BELOW, 50, 100)


@dataclass(frozen=True)
class SeedScale:
    """What the chain takes from all pixels of one band, in the unit of the image.

    Attributes
    ----------
    low, high : float
        Values of the clipping percentiles of the sky-subtracted pixels.
    minimum, maximum : float
        Extrema of the filtered pixels, which become 0 and 1.
    level, sigma : float
        Median of the filtered pixels, and how far the 15.87th percentile lies below it: their sky and noise.
    """

    low: float
    high: float
    minimum: float
    maximum: float
    level: float
    sigma: float


def halo(config: SeedRecipe) -> int:
    """Pixels around a box that the chain has to see."""
    return _sky_halo(config) + config.median_size // 2


def fit_scales(
    mosaic: Mosaic, config: SeedRecipe, *, threads: int | None = None, progress: Progress | None = None
) -> tuple[SeedScale, ...]:
    """Fit percentiles and extrema of every band exactly, in two times two streaming passes.

    Raises
    ------
    StarnetError
        If most pixels of a band are equal after the filters.
    """
    if one_strip(mosaic):
        return _fit_at_once(mosaic, config, threads, progress)

    def sky_subtracted(i: int, pixels: Pixels) -> Float32:
        return _without_sky(config, i, pixels, threads)

    clips = _percentiles(mosaic, config.clip, _sky_halo(config), sky_subtracted, "seed, clip", threads, progress)
    limits = [(float(np.float32(low)), float(np.float32(high))) for low, high in clips]

    def filtered(i: int, pixels: Pixels) -> Float32:
        values = _filtered(config, limits[i], i, pixels, threads)
        values[~pixels.valid[i]] = np.nan
        return values

    extrema = _percentiles(mosaic, _RANGE, halo(config), filtered, "seed, range", threads, progress)
    return _scales(mosaic, limits, extrema)


def _fit_at_once(
    mosaic: Mosaic, config: SeedRecipe, threads: int | None, progress: Progress | None
) -> tuple[SeedScale, ...]:
    """The same of a mosaic that is no larger than a strip: what the passes share, the rolling median, is made once."""
    whole = Box(0, mosaic.shape[0], 0, mosaic.shape[1])
    limits, extrema, images = [], [], []
    for _ in strips(mosaic, mosaic.shape[0], "seed, clip", progress):
        pixels = mosaic.read(whole)
        for i in range(len(mosaic.bands)):
            images.append(_without_sky(config, i, pixels, threads))
            low, high = percentiles(images[i], config.clip, threads=threads)
            limits.append((float(np.float32(low)), float(np.float32(high))))
    for _ in strips(mosaic, mosaic.shape[0], "seed, range", progress):
        for i, image in enumerate(images):
            filtered = _clip_and_filter(config, limits[i], image, threads)
            filtered[~pixels.valid[i]] = np.nan
            extrema.append(percentiles(filtered, _RANGE, threads=threads))
    return _scales(mosaic, limits, extrema)


def _scales(
    mosaic: Mosaic, limits: Sequence[tuple[float, float]], extrema: Sequence[npt.NDArray[np.float64]]
) -> tuple[SeedScale, ...]:
    scales = []
    for band, (low, high), values in zip(mosaic.bands, limits, extrema, strict=True):
        minimum, below, level, maximum = map(float, values)
        if not level > below:
            raise StarnetError(
                f"band {band.name}: the filters of the recipe 'seed' leave most pixels equal, so that there is no "
                "noise to measure; use the recipe 'noise'"
            )
        scales.append(SeedScale(low, high, minimum, maximum, level, level - below))
    return tuple(scales)


def process(
    config: SeedRecipe, scales: Sequence[SeedScale], pixels: Pixels, core: Box, *, threads: int | None = None
) -> Float32:
    """Filtered pixels of a box, before they are scaled to [0, 1].

    Parameters
    ----------
    config : SeedRecipe
        Parameters.
    scales : sequence of SeedScale
        One a band.
    pixels : Pixels
        The box and `halo` pixels around it, as far as they lie inside the mosaic.
    core : Box
        The box.
    threads : int, optional
        Threads of the kernels.

    Returns
    -------
    ndarray of float32, shape (nband, ny, nx)
        In the unit of the image; NaN where no valid pixel is near.
    """
    inside = core.slices_in(pixels.box)
    result = np.empty((len(scales), *core.shape), dtype=np.float32)
    for i, scale in enumerate(scales):
        result[i] = _filtered(config, (scale.low, scale.high), i, pixels, threads)[inside]
    return result


def _sky_halo(config: SeedRecipe) -> int:
    # Between nodes the sky also depends on the next one, a step away.
    return config.sky_window // 2 + (config.sky_step if config.sky_step > 1 else 0)


def _without_sky(config: SeedRecipe, i: int, pixels: Pixels, threads: int | None) -> Float32:
    """Band `i` less its rolling median; NaN where a pixel is not valid."""
    data, valid = pixels.data[i], pixels.valid[i]
    if not valid.all():
        data = np.where(valid, data, np.float32(np.nan))
    sky = rolling_median(
        data,
        config.sky_window,
        step=config.sky_step,
        anchor=(-pixels.box.y0, -pixels.box.x0),
        threads=threads,
    )
    np.subtract(data, sky, out=sky)
    return sky


def _filtered(config: SeedRecipe, limits: tuple[float, float], i: int, pixels: Pixels, threads: int | None) -> Float32:
    return _clip_and_filter(config, limits, _without_sky(config, i, pixels, threads), threads)


def _clip_and_filter(config: SeedRecipe, limits: tuple[float, float], image: Float32, threads: int | None) -> Float32:
    """Median filter of an image that is clipped in place."""
    np.clip(image, np.float32(limits[0]), np.float32(limits[1]), out=image)
    return median_filter(image, config.median_size, threads=threads)


def _percentiles(
    mosaic: Mosaic,
    q: Sequence[float],
    around: int,
    values: Callable[[int, Pixels], Float32],
    stage: str,
    threads: int | None,
    progress: Progress | None,
) -> list[npt.NDArray[np.float64]]:
    """Percentiles of each band over a mosaic, of values that depend on `around` pixels."""
    statistics = [StreamingPercentiles(q) for _ in mosaic.bands]
    while not all(band.done for band in statistics):
        # Strips several times as high as what is read twice.
        for strip in strips(mosaic, 4 * around + 64, stage, progress):
            window = strip.pad(around).clip(mosaic.shape)
            pixels = mosaic.read(window)
            for i, band in enumerate(statistics):
                band.add(values(i, pixels)[strip.slices_in(window)], threads=threads)
        for band in statistics:
            band.next_pass()
    return [np.asarray(band.result(), dtype=np.float64) for band in statistics]
