"""Parameters of the recipes that ship: documented, checked, and named as in a recipe's YAML."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar

__all__ = ["RECIPES", "Config", "NoiseRecipe", "SeedRecipe"]


@dataclass(frozen=True)
class NoiseRecipe:
    """Sky removed with the sources masked, pixels in units of the local noise, asinh: the default.

    ``image = asinh(snr / asinh_softening)`` with ``snr = (data - level) / sigma``: linear near the sky, logarithmic in
    sources (Lupton, Gunn & Szalay 1999, AJ 118, 1406).

    Parameters
    ----------
    box_size : int
        Side in pixels of a box of the background mesh: several times the largest source, below the scale of the sky.
    filter_size : int
        Side, in boxes, of the median filter of the mesh; odd.
    exclude_percentile : float
        Boxes with more than this percentage of their pixels in sources or without data are filled from their
        neighbours.
    source_threshold : float
        A pixel belongs to a source where the mean over 3 x 3 pixels exceeds this, in units of the noise of one pixel.
        2 is 6 sigma of the mean where the noise is white, and still about 3 in strongly resampled images, whose noise
        hardly averages out over 3 pixels: lower values mask noise peaks there, and bias the sky.
    source_dilation : int
        Pixels by which sources are widened before the sky is measured.
    asinh_softening : float
        Noise units where the scale turns from linear to logarithmic.

    Raises
    ------
    ValueError
        If a parameter is of the wrong type or out of range.
    """

    name: ClassVar[str] = "noise"

    box_size: int = 64
    filter_size: int = 3
    exclude_percentile: float = 75.0
    source_threshold: float = 2.0
    source_dilation: int = 4
    asinh_softening: float = 1.0

    def __post_init__(self) -> None:
        _check_sky(self)
        _require(self.asinh_softening > 0, "asinh_softening", self.asinh_softening, "a positive number")


@dataclass(frozen=True)
class SeedRecipe:
    """The published chain, to the letter: rolling-median sky, inner-95 % clip, median filter, min-max to [0, 1].

    Bands become red, green and blue in the order in which they are given; the published one is F160W, F850LP, F606W.
    Percentiles and extrema are taken over the whole mosaic. A median filter of 10 pixels erases compact sources: for
    detection use `NoiseRecipe`.

    Parameters
    ----------
    box_size, filter_size, exclude_percentile, source_threshold, source_dilation
        Of the mesh that fluxes and their errors are measured with, as for `NoiseRecipe`.
    sky_window : int
        Side in pixels of the window of the rolling median. The publication does not state it.
    sky_step : int
        The median is taken every `sky_step` pixels and interpolated between; 1 is exact.
    clip : tuple of float
        Percentiles that the sky-subtracted pixels are clipped to.
    median_size : int
        Side in pixels of the median filter.

    Raises
    ------
    ValueError
        If a parameter is of the wrong type or out of range.
    """

    name: ClassVar[str] = "seed"

    box_size: int = 64
    filter_size: int = 3
    exclude_percentile: float = 75.0
    source_threshold: float = 2.0
    source_dilation: int = 4
    sky_window: int = 51
    sky_step: int = 1
    clip: tuple[float, float] = (2.5, 97.5)
    median_size: int = 10

    def __post_init__(self) -> None:
        _check_sky(self)
        _require(self.sky_window >= 1, "sky_window", self.sky_window, "a positive number of pixels")
        _require(self.sky_step >= 1, "sky_step", self.sky_step, "a positive number of pixels")
        _require(0 <= self.clip[0] < self.clip[1] <= 100, "clip", self.clip, "two ascending percentiles")
        _require(self.median_size >= 1, "median_size", self.median_size, "a positive number of pixels")


Config = NoiseRecipe | SeedRecipe
#: Recipes by name.
RECIPES: dict[str, type[NoiseRecipe] | type[SeedRecipe]] = {c.name: c for c in (NoiseRecipe, SeedRecipe)}


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise ValueError(f"{name} is {value!r}, must be {allowed}")


def _check_sky(config: Config) -> None:
    for field in fields(config):
        value = getattr(config, field.name)
        if field.type == "int":
            _require(isinstance(value, int) and not isinstance(value, bool), field.name, value, "a whole number")
        elif field.type == "float":
            _require(_is_number(value), field.name, value, "a number")
        else:
            pair = isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value))
            _require(pair, field.name, value, "two numbers")
    odd = config.filter_size >= 1 and config.filter_size % 2 == 1
    percentage = 0 <= config.exclude_percentile <= 100
    _require(config.box_size >= 2, "box_size", config.box_size, "at least 2 pixels")
    _require(odd, "filter_size", config.filter_size, "odd and positive")
    _require(percentage, "exclude_percentile", config.exclude_percentile, "between 0 and 100")
    _require(config.source_threshold > 0, "source_threshold", config.source_threshold, "a positive number")
    _require(config.source_dilation >= 0, "source_dilation", config.source_dilation, "zero or more pixels")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
