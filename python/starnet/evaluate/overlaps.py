"""The sparse overlap matrix of two label maps, from one pass over both in strips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.evaluate.labels import LabelSource, strips
from starnet.masks.runs import Ints, Runs, meet

Progress = Callable[[str, int, int], None]

#: Rows of a table that wait before they are added up: less often costs memory, more often time.
_WAITING = 1 << 20


@dataclass(frozen=True)
class Objects:
    """The objects of a map, ascending in `label`.

    Attributes
    ----------
    label, area : ndarray of int64
        Number and pixels of each.
    y0, y1, x0, x1 : ndarray of int64
        Bounding boxes, half-open.
    """

    label: Ints
    area: Ints
    y0: Ints
    y1: Ints
    x0: Ints
    x1: Ints

    def __len__(self) -> int:
        return len(self.label)

    @property
    def centre(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``(y, x)`` of the middle of the bounding boxes, 0 is the middle of the first pixel."""
        return (self.y0 + self.y1 - 1) / 2, (self.x0 + self.x1 - 1) / 2


@dataclass(frozen=True)
class Overlaps:
    """Two sets of objects, and the pairs of them that share pixels.

    Attributes
    ----------
    truth, pred : Objects
        True and predicted objects.
    t, p : ndarray of int64
        Indices into `truth` and `pred` of each pair, ascending in ``(t, p)``.
    pixels : ndarray of int64
        What a pair shares, at least 1.
    """

    truth: Objects
    pred: Objects
    t: Ints
    p: Ints
    pixels: Ints

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair: the double nearest to the ratio of the two numbers of pixels."""
        return self.pixels / (self.truth.area[self.t] + self.pred.area[self.p] - self.pixels)


def find_overlaps(truth: LabelSource, pred: LabelSource, *, progress: Progress | None = None) -> Overlaps:
    """Overlaps of all true with all predicted objects.

    Memory is that of a strip, of the objects and of the pairs that overlap, whatever the size of the maps.

    Raises
    ------
    StarnetError
        If the two are of different shapes.
    """
    if truth.shape != pred.shape:
        (ty, tx), (py, px) = truth.shape, pred.shape
        raise StarnetError(
            f"{pred.name} has {px} x {py} pixels and {truth.name} has {tx} x {ty}: give two maps of one pixel grid"
        )
    nx = truth.shape[1]
    pairs, objects = _Sums(np.add), (_objects(), _objects())
    for y0, y1 in strips(truth.shape):
        runs = truth.runs(y0, y1), pred.runs(y0, y1)
        for one, found in zip(objects, runs, strict=True):
            _add_objects(one, found, nx)
        i, j, pixels = meet(*runs)
        # Labels have 32 bits at most: a pair of them is one number.
        pairs.add(runs[0].label[i] << 32 | runs[1].label[j], pixels)
        if progress is not None:
            progress("overlaps", y1 * nx, truth.shape[0] * nx)
    key, (pixels,) = pairs.total()
    true, predicted = (_as_objects(one) for one in objects)
    t, p = np.searchsorted(true.label, key >> 32), np.searchsorted(predicted.label, key & 0xFFFFFFFF)
    return Overlaps(true, predicted, t, p, pixels)


class _Sums:
    """Columns that are combined where their keys are equal."""

    def __init__(self, *combine: np.ufunc) -> None:
        self._combine = combine
        self._tables: list[tuple[Ints, ...]] = []
        self._waiting = 0
        self._settled = 0

    def add(self, key: Ints, *columns: Ints) -> None:
        """Add rows; most of a strip's have the same keys, so that they are combined at once."""
        table = self._combined(key, *columns)
        self._tables.append(table)
        self._waiting += len(table[0])
        if self._waiting > max(_WAITING, self._settled):
            self.total()

    def total(self) -> tuple[Ints, list[Ints]]:
        """Keys, ascending, and the columns."""
        if self._tables:
            self._tables = [self._combined(*(np.concatenate(column) for column in zip(*self._tables, strict=True)))]
            self._settled, self._waiting = len(self._tables[0][0]), 0
            return self._tables[0][0], list(self._tables[0][1:])
        return np.empty(0, np.int64), [np.empty(0, np.int64) for _ in self._combine]

    def _combined(self, key: Ints, *columns: Ints) -> tuple[Ints, ...]:
        if not len(key):
            return key, *columns
        order = np.argsort(key)
        key = key[order]
        first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
        return key[first], *(f.reduceat(c[order], first) for f, c in zip(self._combine, columns, strict=True))


def _objects() -> _Sums:
    return _Sums(np.add, np.minimum, np.maximum, np.minimum, np.maximum)


def _add_objects(objects: _Sums, runs: Runs, nx: int) -> None:
    y, x = np.divmod(runs.start, nx)
    length = runs.stop - runs.start
    objects.add(runs.label, length, y, y + 1, x, x + length)


def _as_objects(objects: _Sums) -> Objects:
    label, columns = objects.total()
    return Objects(label, *columns)
