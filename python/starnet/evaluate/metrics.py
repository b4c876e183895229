"""The figures: panoptic quality, average precision, mean IoU, completeness and purity."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from starnet.evaluate.matching import assign
from starnet.evaluate.overlaps import Overlaps
from starnet.masks.runs import Ints

Floats = NDArray[np.float64]

#: Least IoU at which a source counts as found, whatever its outline: for completeness and purity.
FOUND = 0.1
#: IoU of average precision, 0.50 to 0.95. Quotients, so that the IoU 11/20 reaches 0.55.
PRECISION = np.arange(10, 20) / 20
THRESHOLDS = np.append(FOUND, PRECISION)
_AT_50, _AT_75 = 1, 6
#: Sources of less S/N or fewer pixels are neither rewarded nor punished.
LEAST_SNR, LEAST_AREA = 5, 5

#: The figures, and what people call them.
NAMES = {
    "pq": "PQ",
    "sq": "SQ",
    "rq": "RQ",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap": "AP .5:.95",
    "mean_iou": "mean IoU",
    "completeness": "completeness",
    "purity": "purity",
}


@dataclass(frozen=True)
class Matches:
    """Which prediction was assigned to which true object.

    Attributes
    ----------
    overlaps : Overlaps
        The objects, and all pairs of them that overlap.
    counts : ndarray of bool
        For each true object, whether it counts; the others are "don't care".
    pred_of_truth, truth_of_pred : ndarray of int64
        Index of the assigned partner; -1 where there is none.
    truth_iou, pred_iou : ndarray of float64
        IoU with that partner; 0 where there is none.
    """

    overlaps: Overlaps
    counts: NDArray[np.bool_]
    pred_of_truth: Ints
    truth_of_pred: Ints
    truth_iou: Floats
    pred_iou: Floats

    @property
    def ignorable(self) -> NDArray[np.bool_]:
        """For each prediction, whether its partner is a "don't care"."""
        # Index -1 is the one that is appended.
        ignorable: NDArray[np.bool_] = ~np.append(self.counts, True)[self.truth_of_pred]
        return ignorable


def match(overlaps: Overlaps, counts: NDArray[np.bool_]) -> Matches:
    """Assign predictions to true objects: all of them, those that do not count too, in one assignment."""
    iou = overlaps.iou
    chosen = assign(overlaps.t, overlaps.p, iou)
    t, p = overlaps.t[chosen], overlaps.p[chosen]
    pred_of_truth, truth_of_pred = np.full(len(overlaps.truth), -1), np.full(len(overlaps.pred), -1)
    truth_iou, pred_iou = np.zeros(len(overlaps.truth)), np.zeros(len(overlaps.pred))
    pred_of_truth[t], truth_of_pred[p] = p, t
    truth_iou[t] = pred_iou[p] = iou[chosen]
    return Matches(overlaps, counts, pred_of_truth, truth_of_pred, truth_iou, pred_iou)


@dataclass(frozen=True)
class Tally:
    """Sums from which all figures follow; over parts of the image, along the leading axis, or over all of it.

    Attributes
    ----------
    truths : ndarray
        True objects that count.
    preds : ndarray
        Predictions.
    iou : ndarray
        Sum of the IoU of the true objects that count with their partners.
    good_iou : ndarray
        The same, of those with IoU >= 0.5.
    hits, ignored : ndarray, last axis as `THRESHOLDS`
        Pairs of at least this IoU whose true object counts, or does not.
    """

    truths: Floats
    preds: Floats
    iou: Floats
    good_iou: Floats
    hits: Floats
    ignored: Floats

    def part(self, which: Ints) -> Tally:
        """Sums over some of the parts."""
        return Tally(*(getattr(self, field.name)[which] for field in fields(self)))

    def weighted(self, weights: Floats) -> Tally:
        """Sums over the parts, each taken as often as `weights`, ``(..., parts)``, says."""
        return Tally(*(weights @ getattr(self, field.name) for field in fields(self)))

    def total(self) -> Tally:
        """Sums over all parts."""
        return self.weighted(np.ones(len(self.truths)))

    @property
    def false_positives(self) -> Floats:
        """Predictions that are neither hits nor ignored, by threshold."""
        return self.preds[..., None] - self.hits - self.ignored

    @property
    def misses(self) -> Floats:
        """True objects that count and are no hits, by threshold."""
        return self.truths[..., None] - self.hits

    def scores(self) -> dict[str, Floats]:
        """The figures, named as in `NAMES`; NaN where there is nothing to be judged, 0 / 0.

        Where no pair reaches IoU 0.5, SQ is 0.
        """
        at = self.hits, self.false_positives, self.misses
        precision = _ratio(self.hits, at[0] + at[1] + at[2])
        (tp, fp, fn), (found, spurious, missed) = ([values[..., k] for values in at] for k in (_AT_50, 0))
        rq = _ratio(tp, tp + fp / 2 + fn / 2)
        sq = np.where(tp > 0, self.good_iou / np.maximum(tp, 1), np.where(np.isnan(rq), np.nan, 0.0))
        return {
            "pq": sq * rq,
            "sq": sq,
            "rq": rq,
            "ap50": precision[..., _AT_50],
            "ap75": precision[..., _AT_75],
            "ap": precision[..., 1:].mean(axis=-1),
            "mean_iou": _ratio(self.iou, self.truths),
            "completeness": _ratio(found, found + missed),
            "purity": _ratio(found, found + spurious),
        }


def tally(matches: Matches, truth_part: Ints | None = None, pred_part: Ints | None = None, parts: int = 1) -> Tally:
    """Add up matches, over each of the parts of an image.

    Parameters
    ----------
    matches : Matches
        The assignment.
    truth_part, pred_part : ndarray of int64, optional
        Part of each true object and each prediction, from 0; a prediction that is assigned belongs to the part of its
        true object, so that no pair lies across.
    parts : int
        Number of parts.
    """
    of_truth = np.zeros(len(matches.counts), np.int64) if truth_part is None else truth_part
    of_pred = np.zeros(len(matches.truth_of_pred), np.int64) if pred_part is None else pred_part.copy()
    assigned = matches.truth_of_pred >= 0
    of_pred[assigned] = of_truth[matches.truth_of_pred[assigned]]

    def add_up(part: Ints, values: NDArray[np.generic]) -> Floats:
        return np.bincount(part, values, parts).astype(np.float64)

    counts, iou = matches.counts, matches.truth_iou
    reached = [iou >= threshold for threshold in THRESHOLDS]
    return Tally(
        add_up(of_truth, counts),
        add_up(of_pred, np.ones(len(of_pred))),
        add_up(of_truth, iou * counts),
        add_up(of_truth, iou * (counts & reached[_AT_50])),
        np.stack([add_up(of_truth, counts & hit) for hit in reached], axis=-1),
        np.stack([add_up(of_truth, ~counts & hit) for hit in reached], axis=-1),
    )


def _ratio(part: Floats, whole: Floats) -> Floats:
    ratio: Floats = np.divide(
        part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=np.asarray(whole) > 0
    )
    return ratio
