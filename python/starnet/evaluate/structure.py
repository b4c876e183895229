"""What the one-to-one figures do not show: objects split and merged, outlines, classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.evaluate.labels import LabelSource, strips
from starnet.evaluate.metrics import FOUND, Matches
from starnet.evaluate.overlaps import Progress
from starnet.masks.runs import Ints
from starnet.outputs.overlay import outlines
from starnet.tiles import Box


@dataclass(frozen=True)
class Splitting:
    """Objects that were split or merged.

    Attributes
    ----------
    split : ndarray of int64
        Indices of the true objects that count in which two predictions or more lie, each with more than half of its
        pixels.
    merged : ndarray of int64
        Indices of the true objects that count, more than half of whose pixels are in a prediction that holds another
        one so.
    merging : ndarray of int64
        Indices of these predictions.
    """

    split: Ints
    merged: Ints
    merging: Ints


def find_splitting(matches: Matches) -> Splitting:
    """True objects that were split, and those that were merged."""
    o, counts = matches.overlaps, matches.counts
    pred_inside = 2 * o.pixels > o.pred.area[o.p]
    truth_inside = (2 * o.pixels > o.truth.area[o.t]) & counts[o.t]
    parts = np.bincount(o.t[pred_inside], minlength=len(o.truth))
    held = np.bincount(o.p[truth_inside], minlength=len(o.pred))
    merged = np.unique(o.t[truth_inside & (held[o.p] > 1)])
    return Splitting(np.flatnonzero((parts > 1) & counts), merged, np.flatnonzero(held > 1))


def boundary_f(
    truth: LabelSource, pred: LabelSource, matches: Matches, *, tolerance: int = 1, progress: Progress | None = None
) -> dict[str, float | None]:
    """Boundary F-score: how much of the outlines of one map lies on those of the other.

    An outline is the pixels of an object that share a side with a pixel of another object or of the sky.

    Parameters
    ----------
    truth, pred : LabelSource
        The maps; of masks that overlap, the smallest is on top.
    matches : Matches
        Says what is ignored: outlines of true objects that do not count, and of predictions that stand for such ones
        (IoU >= 0.1), need no counterpart, but may be one.
    tolerance : int
        How far apart they may be, in pixels, along rows, columns or both.
    progress : callable, optional
        Called with ``("outlines", pixels done, pixels)``.

    Returns
    -------
    dict
        ``precision`` of the predicted outline pixels, ``recall`` of the true ones, ``f``, their harmonic mean.

    References
    ----------
    Martin, Fowlkes & Malik 2004, IEEE TPAMI 26, 530; Csurka et al. 2013, BMVC.
    """
    ny, nx = truth.shape
    judged = matches.counts, ~(matches.ignorable & (matches.pred_iou >= FOUND))
    objects = matches.overlaps.truth, matches.overlaps.pred
    on, all_of = np.zeros(2), np.zeros(2)
    for y0, y1 in strips(truth.shape):
        box = Box(y0, y1, 0, nx).pad(tolerance + 1).clip(truth.shape)
        labels = truth.read(box), pred.read(box)
        marked = [outlines(one) for one in labels]
        rows = slice(y0 - box.y0, y1 - box.y0)
        for side in (0, 1):
            mine, near = marked[side][rows], _widened(marked[1 - side], tolerance)[rows]
            index = np.searchsorted(objects[side].label, labels[side][rows][mine])
            asked = judged[side][index]
            on[side] += np.count_nonzero(near[mine] & asked)
            all_of[side] += np.count_nonzero(asked)
        if progress is not None:
            progress("outlines", y1 * nx, ny * nx)
    recall, precision = (float(a / b) if b else None for a, b in zip(on, all_of, strict=True))
    if recall is None or precision is None:
        f = None
    else:
        f = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"f": f, "precision": precision, "recall": recall}


def _widened(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Pixels within a square of ``2 * pixels + 1`` around those of a mask."""
    for _ in range(pixels):
        for axis in (0, 1):
            wide = mask.copy()
            before, after = [slice(None)] * 2, [slice(None)] * 2
            before[axis], after[axis] = slice(None, -1), slice(1, None)
            wide[tuple(before)] |= mask[tuple(after)]
            wide[tuple(after)] |= mask[tuple(before)]
            mask = wide
    return mask


def confusion(matches: Matches, truth: NDArray[Any] | None, pred: NDArray[Any] | None) -> dict[str, Any] | None:
    """Confusion matrix of classes, over the pairs of IoU >= 0.5 whose true object counts.

    Parameters
    ----------
    matches : Matches
        The assignment.
    truth, pred : ndarray of text or None
        Class of each object.

    Returns
    -------
    dict or None
        ``classes`` and ``matrix``: a row for each true, a column for each predicted class. None where a side has none.
    """
    if truth is None or pred is None:
        return None
    t = np.flatnonzero(matches.counts & (matches.truth_iou >= 0.5))
    pairs = truth[t].astype(str), pred[matches.pred_of_truth[t]].astype(str)
    classes, codes = np.unique(np.concatenate(pairs), return_inverse=True)
    n = len(classes)
    matrix = np.bincount(codes[: len(t)] * n + codes[len(t) :], minlength=n * n).reshape(n, n)
    return {"classes": classes.tolist(), "matrix": matrix.tolist()}
