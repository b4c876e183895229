"""Runs: pixels of one label, side by side in a row. What label maps and overlapping masks have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """Runs of labelled pixels, ascending in `start`; runs of different labels may overlap, those of one label do not.

    Attributes
    ----------
    label : ndarray of int64
        Positive labels.
    start, stop : ndarray of int64
        First pixel and the one after the last, counted along the rows of the whole map: ``y * nx + x``. No run goes on
        into the next row.
    """

    label: Ints
    start: Ints
    stop: Ints

    def __len__(self) -> int:
        return len(self.label)


def find_runs(labels: NDArray[np.int64], y0: int = 0) -> Runs:
    """Runs of a label map, or of the rows of one that begin with row `y0`.

    Parameters
    ----------
    labels : ndarray of int64
        ``(ny, nx)``; 0 is sky.
    y0 : int
        Row of the map that is the first one here.
    """
    nx = labels.shape[1]
    flat = labels.ravel()
    first = np.empty(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=first[1:])
    first[::nx] = True
    start = np.flatnonzero(first)
    label = flat[start]
    stop = np.append(start[1:], flat.size)
    some = label > 0
    return Runs(label[some], start[some] + y0 * nx, stop[some] + y0 * nx)


def meet(a: Runs, b: Runs) -> tuple[Ints, Ints, Ints]:
    """Pairs of runs that share pixels.

    Returns
    -------
    i, j : ndarray of int64
        Indices into `a` and `b`.
    pixels : ndarray of int64
        How many they share.
    """
    # Of two runs that meet, either the second begins within the first, or the first after the second began.
    pieces = (
        ranges(np.searchsorted(b.start, a.start, "left"), np.searchsorted(b.start, a.stop, "left")),
        ranges(np.searchsorted(a.start, b.start, "right"), np.searchsorted(a.start, b.stop, "left"))[::-1],
    )
    i, j = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return i, j, np.minimum(a.stop[i], b.stop[j]) - np.maximum(a.start[i], b.start[j])


def ranges(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """``(k, value)`` for every value of the half-open ranges ``first[k]`` to ``last[k]``."""
    counts = np.maximum(last - first, 0)
    k = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return k, np.arange(len(k)) - before[k] + first[k]
