"""From masks that overlap to objects that do not, on runs of pixels alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from starnet.masks.drawn import Masks, areas_of
from starnet.masks.runs import Ints, Runs, ranges, shared_pixels, slabs

#: Of two masks that cover most of the smaller one, this is the ratio of their areas above which they are two readings
#: of one object, and below which one object lies on another.
_ONE_OBJECT = 0.25
_MOST = 0.5
#: IoU, where both could draw, at which masks of two windows are one object.
_AGREE = 0.5
#: How many of the best masks are compared with each other first; then as many again, and so on.
_FIRST = 32

#: Whether two masks say the same: shared pixels, area of one, of the other.
Rule = Callable[[Ints, Ints, Ints], NDArray[np.bool_]]


def resolve(masks: Masks, shape: tuple[int, int], *, max_overlap: float = 0.7) -> Masks:
    """Disjoint objects; they do not depend on the order of the masks.

    1. A mask that its window cut off is joined with those of other windows that agree with it, IoU over 0.5, where
       both could draw. Of those that say the same in one window, only the best is.
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

    def same(shared: Ints, a: Ints, b: Ints) -> NDArray[np.bool_]:
        smaller, larger = np.minimum(a, b), np.maximum(a, b)
        alike = shared > max_overlap * (a + b - shared)
        return alike | (shared > _MOST * smaller) & (smaller >= _ONE_OBJECT * larger)

    masks = _joined(_best_first(masks), shape, same)
    masks = masks.select(_distinct(masks.along(shape[1]), masks.area, shape[1], same))
    runs = _painted(masks, shape[1])
    found = replace(masks, runs=runs, area=areas_of(runs, len(masks)))
    found = found.select(found.area > 0)
    y, x = found.runs[found.first[:-1], :2].T
    return found.select(np.lexsort((x, y)))


def suppress(masks: Masks, max_overlap: float = 0.7) -> Masks:
    """Drops masks whose bounding boxes overlap that of a better one, as SAM's automatic mask generator does.

    Parameters
    ----------
    masks : Masks
        In any order.
    max_overlap : float
        IoU of boxes; ``box_nms_thresh`` of ``SamAutomaticMaskGenerator``, whose boxes lack their last row and column.

    Returns
    -------
    kept : Masks
        The best first.
    """
    masks = _best_first(masks)
    if not len(masks):
        return masks
    first, last = masks.first[:-1], masks.first[1:] - 1
    y, x0, x1, _ = masks.runs.astype(np.int64).T
    top, bottom = y[first], y[last] + 1
    left, right = np.minimum.reduceat(x0, first), np.maximum.reduceat(x1, first)
    number, row = ranges(top, bottom)
    nx = int(right.max())
    order = np.argsort(row * nx + left[number], kind="stable")
    number, row = number[order], row[order]
    boxes = Runs(number + 1, row * nx + left[number], row * nx + right[number])
    areas = (bottom - top) * (right - left)
    return masks.select(_distinct(boxes, areas, nx, lambda both, a, b: both > max_overlap * (a + b - both)))


def _best_first(masks: Masks) -> Masks:
    """In an order that has no ties but between masks that are the same."""
    y, x0 = masks.runs[masks.first[:-1], :2].T
    keys = (masks.ids, masks.kind, *masks.windows.T[::-1], x0, y, -masks.area, -masks.stability, -masks.predicted_iou)
    return masks.select(np.lexsort(keys))


def _joined(masks: Masks, shape: tuple[int, int], same: Rule) -> Masks:
    """Step 1; the best come first, before and after."""
    nx = shape[1]
    cut = _is_cut(masks, shape)
    if not cut.any():
        return masks
    kept = np.ones(len(masks), bool)
    kept[cut] = _distinct(*_apart(masks.select(cut), nx), nx, same)
    masks, cut = masks.select(kept), cut[kept]
    runs = masks.along(nx)
    i, j, shared = shared_pixels(runs[cut[runs.label - 1]], runs, nx)
    i, j = i - 1, j - 1
    of_two = (masks.windows[i] != masks.windows[j]).any(axis=1)
    i, j, shared = i[of_two], j[of_two], shared[of_two]
    union = _pixels_inside(masks, i, masks.windows[j]) + _pixels_inside(masks, j, masks.windows[i]) - shared
    agree = shared > _AGREE * union
    return _best_first(_united(masks, i[agree], j[agree], nx)) if agree.any() else masks


def _apart(masks: Masks, nx: int) -> tuple[Runs, Ints]:
    """Runs and areas of masks whose windows lie one below the other, so that only those of one window meet."""
    windows, which = np.unique(masks.windows, axis=0, return_inverse=True)
    heights = windows[:, 1] - windows[:, 0]
    down = (np.cumsum(heights, dtype=np.int64) - heights - windows[:, 0])[which]
    runs = masks.along(nx)
    by = down[runs.label - 1] * nx
    order = np.argsort(runs.start + by, kind="stable")
    return Runs(runs.label, runs.start + by, runs.stop + by)[order], masks.area


def _united(masks: Masks, i: Ints, j: Ints, nx: int) -> Masks:
    """Masks that are linked by pairs made one each, with the figures of the best of them."""
    best = np.arange(len(masks))
    while True:
        before = best.copy()
        for a, b in ((i, j), (j, i)):
            np.minimum.at(best, a, best[b])
        if np.array_equal(best, before):
            break
    runs = masks.runs.copy()
    runs[:, 3] = best[runs[:, 3] - 1] + 1
    runs = _merged(runs, nx)
    windows = masks.windows.copy()
    for column, function in enumerate((np.minimum, np.maximum, np.minimum, np.maximum)):
        function.at(windows[:, column], best, masks.windows[:, column])
    leads = np.flatnonzero(best == np.arange(len(masks)))
    runs[:, 3] = np.searchsorted(leads, runs[:, 3] - 1) + 1
    leading = replace(masks, windows=windows).select(leads)
    return replace(leading, runs=runs, area=areas_of(runs, len(leads)))


def _is_cut(masks: Masks, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether masks reach the border of their windows where the mosaic goes on."""
    y, x0, x1, number = masks.runs.T
    top, bottom, left, right = masks.windows[number - 1].T
    at_border = (y == top) & (top > 0) | (y == bottom - 1) & (bottom < shape[0])
    at_border |= (x0 == left) & (left > 0) | (x1 == right) & (right < shape[1])
    return np.bincount(number[at_border] - 1, minlength=len(masks)) > 0


def _pixels_inside(masks: Masks, which: Ints, windows: NDArray[np.int32]) -> Ints:
    """How many pixels of each of some masks lie in a window."""
    pair, run = ranges(masks.first[which], masks.first[which + 1])
    y, x0, x1, _ = masks.runs[run].astype(np.int64).T
    top, bottom, left, right = windows[pair].T
    pixels = np.maximum(np.minimum(x1, right) - np.maximum(x0, left), 0) * ((y >= top) & (y < bottom))
    return np.bincount(pair, weights=pixels, minlength=len(which)).astype(np.int64)


def _distinct(runs: Runs, area: Ints, nx: int, same: Rule) -> NDArray[np.bool_]:
    """Step 2: whether none of those before it that stay says the same; the best come first."""
    kept = np.zeros(len(area), bool)
    low, high = 0, min(_FIRST, len(area))
    while low < len(area):
        # Those that say what one of the best said are gone before they are compared with each other: a thousand
        # readings of one background cost no more than a thousand comparisons.
        kept[low:high] = True
        recent = (runs.label > low) & (runs.label <= high)
        i, j, shared = shared_pixels(runs[~recent & kept[runs.label - 1]], runs[recent], nx)
        kept[j[same(shared, area[i - 1], area[j - 1])] - 1] = False
        rest = runs[recent & kept[runs.label - 1]]
        i, j, shared = shared_pixels(rest, rest, nx)
        alike = (i < j) & same(shared, area[i - 1], area[j - 1])
        # In the order of the better of the two: whether it stays is known by then.
        for better, worse in zip((i[alike] - 1).tolist(), (j[alike] - 1).tolist(), strict=True):
            if kept[better]:
                kept[worse] = False
        low, high = high, min(2 * high, len(area))
    return kept


def _painted(masks: Masks, nx: int) -> NDArray[np.int32]:
    """Step 3: runs in which every pixel occurs once."""
    runs = masks.along(nx)
    order = np.argsort(masks.area, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    number, start, stop = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    ends = np.sort(np.concatenate([runs.start, runs.stop]))
    ends = ends[np.diff(ends, prepend=-1) > 0]
    first, last = np.searchsorted(ends, runs.start), np.searchsorted(ends, runs.stop)
    for low, high in slabs([(runs.start, last - first)], nx):
        here = slice(*np.searchsorted(runs.start, (low, high)))
        # Between neighbouring ends of runs nothing changes: such a stretch belongs to one mask as a whole.
        run, stretch = ranges(first[here], last[here])
        key = np.sort(stretch * len(masks) + place[runs.label[here][run] - 1])
        stretch, which = np.divmod(key, len(masks))
        front = np.flatnonzero(np.diff(stretch, prepend=-1))
        number.append(order[which[front]] + 1)
        start.append(ends[stretch[front]])
        stop.append(ends[stretch[front] + 1])
    y, x0 = np.divmod(np.concatenate(start), nx)
    return _merged(
        np.column_stack([y, x0, x0 + np.concatenate(stop) - np.concatenate(start), np.concatenate(number)]), nx
    )


def _merged(runs: NDArray[np.integer], nx: int) -> NDArray[np.int32]:
    """Runs of each mask made into as few as they can be; ascending in ``(number, y, x0)``."""
    y, x0, x1, number = runs.astype(np.int64).T
    # Along all masks, one after the other, so that a running maximum does not go from one to the next.
    line = (number * (int(y.max(initial=0)) + 1) + y) * (nx + 1)
    order = np.argsort(line + x0, kind="stable")
    line, reach = line[order], np.maximum.accumulate((line + x1)[order])
    first = np.flatnonzero(np.append(True, line[1:] + x0[order][1:] > reach[:-1])[: len(runs)])
    last = np.append(first[1:], len(runs)) - 1 if len(first) else first
    merged = runs[order[first]].astype(np.int32)
    merged[:, 2] = reach[last] - line[first]
    return merged
