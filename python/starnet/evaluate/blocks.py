"""Confidence intervals: the sky is resampled in squares, so that what depends on its surroundings stays together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from starnet.evaluate.metrics import NAMES, Floats, Matches, Tally, tally
from starnet.evaluate.overlaps import Objects
from starnet.masks.runs import Ints

#: Squares along a side of the map, if their size is not given, and the least size.
_ALONG, _LEAST = 10, 32
#: Squares, over all draws, that are in memory at once.
_DRAWN = 1 << 22
#: Percentiles of a 95 % interval.
_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Blocks:
    """Squares of a map; an object belongs to the one with the middle of its bounding box.

    Attributes
    ----------
    shape : tuple of int
        ``(ny, nx)`` of the map.
    side : int
        Of a square, in pixels.
    """

    shape: tuple[int, int]
    side: int

    @classmethod
    def of(cls, shape: tuple[int, int]) -> Blocks:
        """About a hundred squares, but not too small ones."""
        return cls(shape, max(_LEAST, math.ceil(math.sqrt(shape[0] * shape[1]) / _ALONG)))

    @property
    def count(self) -> int:
        """Number of squares, incomplete ones at the borders included."""
        return -(-self.shape[0] // self.side) * self._columns

    @property
    def _columns(self) -> int:
        return -(-self.shape[1] // self.side)

    def index(self, objects: Objects) -> Ints:
        """The square of each object."""
        y, x = (np.floor(centre).astype(np.int64) // self.side for centre in objects.centre)
        return y * self._columns + x

    def tally(self, matches: Matches) -> Tally:
        """Sums over each square."""
        both = self.index(matches.overlaps.truth), self.index(matches.overlaps.pred)
        return tally(matches, *both, parts=self.count)


def bootstrap(tallies: list[Tally], *, resamples: int, seed: int) -> list[dict[str, Floats]]:
    """Figures of images made of squares drawn at random, with replacement, from those with any object.

    Parameters
    ----------
    tallies : list of Tally
        Of one method or of several, over the same squares; all see the same draws, so that their differences are
        paired.
    resamples : int
        Number of draws.
    seed : int
        Of the random numbers.

    Returns
    -------
    list of dict
        For each method, `resamples` values of each figure.

    References
    ----------
    Efron & Tibshirani 1993, An Introduction to the Bootstrap; blocks: Kuensch 1989, Ann. Stat. 17, 1217.
    """
    some = np.flatnonzero(sum(one.truths + one.preds for one in tallies))
    if not len(some):
        return [{name: np.full(resamples, np.nan) for name in NAMES} for _ in tallies]
    filled = [one.part(some) for one in tallies]
    rng = np.random.default_rng(seed)
    at_once = max(1, _DRAWN // len(some))
    drawn: list[list[dict[str, Floats]]] = []
    for first in range(0, resamples, at_once):
        count = min(at_once, resamples - first)
        weights = rng.multinomial(len(some), np.full(len(some), 1 / len(some)), count).astype(np.float64)
        drawn.append([one.weighted(weights).scores() for one in filled])
    return [
        {name: np.concatenate([scores[k][name] for scores in drawn]) for name in NAMES} for k in range(len(tallies))
    ]


def interval(values: Floats) -> list[float] | None:
    """95 % interval of resampled values; None where there are none."""
    values = values[np.isfinite(values)]
    return [float(v) for v in np.percentile(values, _INTERVAL)] if len(values) else None


def intervals(values: dict[str, Floats]) -> dict[str, Any]:
    """95 % intervals of all figures."""
    return {name: interval(values[name]) for name in NAMES}
