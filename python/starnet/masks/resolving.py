"""From masks that overlap to objects that do not, on runs of pixels alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from starnet.masks.drawn import Masks, areas_of, in_order
from starnet.masks.runs import Ints, Runs, meet, ranges

#: Of two masks that cover most of the smaller one, this is the ratio of their areas above which they are two readings
#: of one object, and below which one object lies on another.
_ONE_OBJECT = 0.25
_MOST = 0.5
#: IoU, where both could draw, at which masks of two tiles are one object.
_AGREE = 0.5


def resolve(masks: Masks, shape: tuple[int, int], *, max_overlap: float = 0.7) -> Masks:
    """Disjoint objects; they do not depend on the order of the masks.

    1. A mask that its tile's window cut off is joined with those of other windows that agree with it, IoU over 0.5,
       where both could draw.
    2. Of masks that say the same, the one with the highest predicted IoU stays (then the most stable, the largest).
       They say the same where their IoU exceeds `max_overlap`, or where half of the smaller lies in the larger and its
       area is a quarter of the larger's or more.
    3. A pixel belongs to the smallest mask that holds it: what lies on a large galaxy keeps its pixels, the galaxy has
       the rest, and may be in pieces. Of equals it is the better one's, as above.

    Parameters
    ----------
    masks : Masks
        Of all tiles, in any order.
    shape : tuple of int
        ``(ny, nx)`` of the mosaic.
    max_overlap : float
        See above.

    Returns
    -------
    objects : Masks
        Numbered by their first pixels, y before x.
    """
    nx = shape[1]
    masks = _canonical(masks)
    masks = _canonical(_joined(masks, shape))
    masks = masks.select(_distinct(masks, nx, max_overlap))
    runs = _painted(masks, nx)
    area = areas_of(runs, len(masks))
    found = replace(masks, runs=runs, area=area).select(area > 0)
    _, first = np.unique(found.runs[:, 3], return_index=True)
    y, x = found.runs[first, :2].T
    return found.select(np.lexsort((x, y)))


def _canonical(masks: Masks) -> Masks:
    """The best first, in an order that has no ties but between masks that are the same."""
    _, first = np.unique(masks.runs[:, 3], return_index=True)
    y, x0 = masks.runs[first, :2].T
    keys = (masks.ids, masks.kind, *masks.windows.T[::-1], x0, y, -masks.area, -masks.stability, -masks.predicted_iou)
    return masks.select(np.lexsort(keys))


def _pairs(masks: Masks, nx: int) -> tuple[Ints, Ints, Ints]:
    """Masks i < j, from 0, that share pixels, and how many."""
    runs = masks.along(nx)
    first, second, pixels = meet(runs, runs)
    i, j = runs.label[first] - 1, runs.label[second] - 1
    once = i < j
    key, where = np.unique(i[once] * len(masks) + j[once], return_inverse=True)
    shared = np.bincount(where, weights=pixels[once], minlength=len(key)).astype(np.int64)
    return *np.divmod(key, max(len(masks), 1)), shared


def _joined(masks: Masks, shape: tuple[int, int]) -> Masks:
    """Step 1."""
    cut = _is_cut(masks, shape)
    i, j, shared = _pairs(masks, shape[1])
    of_two = (cut[i] | cut[j]) & (masks.windows[i] != masks.windows[j]).any(axis=1)
    i, j, shared = i[of_two], j[of_two], shared[of_two]
    union = _pixels_inside(masks, i, masks.windows[j]) + _pixels_inside(masks, j, masks.windows[i]) - shared
    agree = shared > _AGREE * union
    if not agree.any():
        return masks
    # Every mask takes the number of the best one that it is connected with.
    best = np.arange(len(masks))
    while True:
        before = best.copy()
        for a, b in ((i, j), (j, i)):
            np.minimum.at(best, a[agree], best[b[agree]])
        if np.array_equal(best, before):
            break
    runs = masks.runs.copy()
    runs[:, 3] = best[runs[:, 3] - 1] + 1
    runs = _merged(runs, shape[1])
    windows = masks.windows.copy()
    for column, function in enumerate((np.minimum, np.maximum, np.minimum, np.maximum)):
        function.at(windows[:, column], best, masks.windows[:, column])
    together = replace(masks, runs=runs, area=areas_of(runs, len(masks)), windows=windows)
    return together.select(best == np.arange(len(masks)))


def _is_cut(masks: Masks, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether masks reach the border of their windows where the mosaic goes on."""
    y, x0, x1, number = masks.runs.T
    top, bottom, left, right = masks.windows[number - 1].T
    at_border = (y == top) & (top > 0) | (y == bottom - 1) & (bottom < shape[0])
    at_border |= (x0 == left) & (left > 0) | (x1 == right) & (right < shape[1])
    return np.bincount(number[at_border] - 1, minlength=len(masks)) > 0


def _pixels_inside(masks: Masks, which: Ints, windows: NDArray[np.int32]) -> Ints:
    """How many pixels of each of some masks lie in a window."""
    ends = np.searchsorted(masks.runs[:, 3], np.arange(1, len(masks) + 2))
    pair, run = ranges(ends[which], ends[which + 1])
    y, x0, x1, _ = masks.runs[run].astype(np.int64).T
    top, bottom, left, right = windows[pair].T
    pixels = np.maximum(np.minimum(x1, right) - np.maximum(x0, left), 0) * ((y >= top) & (y < bottom))
    return np.bincount(pair, weights=pixels, minlength=len(which)).astype(np.int64)


def _distinct(masks: Masks, nx: int, max_overlap: float) -> NDArray[np.bool_]:
    """Step 2; masks come with the best first."""
    i, j, shared = _pairs(masks, nx)
    a, b = masks.area[i], masks.area[j]
    smaller, larger = np.minimum(a, b), np.maximum(a, b)
    same = shared > max_overlap * (a + b - shared)
    same |= (shared > _MOST * smaller) & (smaller >= _ONE_OBJECT * larger)
    kept = np.ones(len(masks), bool)
    # In the order of the better of the two: whether it stays is known by then.
    for better, worse in zip(i[same].tolist(), j[same].tolist(), strict=True):
        if kept[better]:
            kept[worse] = False
    return kept


def _painted(masks: Masks, nx: int) -> NDArray[np.int32]:
    """Step 3: runs in which every pixel occurs once."""
    runs = masks.along(nx)
    # Between neighbouring ends of runs nothing changes: such a stretch belongs to one mask as a whole.
    ends = np.unique(np.concatenate([runs.start, runs.stop]))
    run, stretch = ranges(np.searchsorted(ends, runs.start), np.searchsorted(ends, runs.stop))
    row = runs.label[run] - 1
    order = np.lexsort((row, masks.area[row], stretch))
    stretch, row = stretch[order], row[order]
    front = np.flatnonzero(np.diff(stretch, prepend=-1))
    stretch, number = stretch[front], row[front] + 1
    return _merged(_by_rows(Runs(number, ends[stretch], ends[stretch + 1]), nx), nx)


def _merged(runs: NDArray[np.int32], nx: int) -> NDArray[np.int32]:
    """Runs of each mask made into as few as they can be; ascending in ``(number, y, x0)``."""
    runs = in_order(runs)
    y, x0, x1, number = runs.astype(np.int64).T
    # Along all masks, one after the other, so that a running maximum does not go from one to the next.
    line = (number * (int(y.max(initial=0)) + 1) + y) * (nx + 1)
    reach = np.maximum.accumulate(line + x1)
    first = np.flatnonzero(np.append(True, line[1:] + x0[1:] > reach[:-1])[: len(runs)])
    last = np.append(first[1:], len(runs)) - 1 if len(first) else first
    merged = runs[first]
    merged[:, 2] = reach[last] - line[first]
    return merged


def _by_rows(runs: Runs, nx: int) -> NDArray[np.int32]:
    y, x0 = np.divmod(runs.start, nx)
    return np.column_stack([y, x0, x0 + runs.stop - runs.start, runs.label]).astype(np.int32)
