"""Runs: pixels of one label, side by side in a row. What label maps and overlapping masks have in common."""

from __future__ import annotations

from collections.abc import Iterator
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

    def __getitem__(self, which: slice | NDArray[np.bool_] | NDArray[np.integer]) -> Runs:
        return Runs(self.label[which], self.start[which], self.stop[which])


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


def shared_pixels(a: Runs, b: Runs, nx: int) -> tuple[Ints, Ints, Ints]:
    """Pairs of labels of `a` and of `b` that share pixels, ascending, and how many.

    However many runs lie upon each other, not more than some millions of meetings are held at once.

    Parameters
    ----------
    a, b : Runs
        Of maps `nx` wide.
    nx : int
        See there.
    """
    base = int(b.label.max(initial=0)) + 1
    begun_in_a = np.searchsorted(b.start, a.stop) - np.searchsorted(b.start, a.start)
    begun_in_b = np.searchsorted(a.start, b.stop) - np.searchsorted(a.start, b.start, "right")
    keys, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for low, high in slabs([(a.start, begun_in_a), (b.start, begun_in_b)], nx):
        one, two = (runs[slice(*np.searchsorted(runs.start, (low, high)))] for runs in (a, b))
        i, j, pixels = meet(one, two)
        key, count = _summed(one.label[i] * base + two.label[j], pixels)
        keys.append(key)
        counts.append(count)
    key, count = _summed(np.concatenate(keys), np.concatenate(counts))
    return *np.divmod(key, base), count


def slabs(costs: list[tuple[Ints, Ints]], nx: int, room: int = 2**21) -> Iterator[tuple[int, int]]:
    """Cuts maps between rows, so that what lies in each piece costs about as much as there is room for.

    Parameters
    ----------
    costs : list of pair of ndarray of int64
        ``(start, cost)`` of runs.
    nx : int
        Width of the maps.
    room : int
        What one piece may cost, unless it is one row.

    Yields
    ------
    low, high : int
        First pixel, and the one after the last, counted along the rows.
    """
    start, cost = (np.concatenate(parts) for parts in zip(*costs, strict=True))
    if not len(start):
        return
    order = np.argsort(start)
    piece = np.cumsum(cost[order]) // room
    first = np.unique(start[order][np.flatnonzero(np.diff(piece, prepend=-1))] // nx)
    for low, high in zip(first, [*first[1:], start.max() // nx + 1], strict=True):
        yield int(low) * nx, int(high) * nx


def _summed(key: Ints, count: Ints) -> tuple[Ints, Ints]:
    """Each key once, ascending, with the sum of its counts."""
    order = np.argsort(key)
    key = key[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    return key[first], np.add.reduceat(count[order], first) if len(first) else count
