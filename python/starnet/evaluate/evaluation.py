"""`evaluate`: predicted against true objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet import __version__
from starnet.evaluate.bins import Bin, bin_matches
from starnet.evaluate.blocks import Blocks, bootstrap, interval, intervals
from starnet.evaluate.labels import LabelSource, open_labels
from starnet.evaluate.matching import check_scipy
from starnet.evaluate.metrics import LEAST_AREA, LEAST_SNR, NAMES, THRESHOLDS, Floats, Matches, Tally, match
from starnet.evaluate.overlaps import Objects, Progress, find_overlaps
from starnet.evaluate.structure import Splitting, boundary_f, confusion, find_splitting
from starnet.evaluate.tables import ObjectTable, read_table

#: Side of the images over which the report that StarNet began with took its means.
IMAGE_SIDE = 682

Labels = str | Path | NDArray[Any] | LabelSource


@dataclass(frozen=True)
class Judgement:
    """One method, judged.

    Attributes
    ----------
    labels : LabelSource
        What it predicted.
    matches : Matches
        The assignment.
    tally : Tally
        Sums over the whole map.
    scores : dict
        The figures of `NAMES`; NaN where there is nothing to be judged.
    intervals : dict
        Their 95 % intervals, from the bootstrap; None where there are none.
    mean_iou_per_image : float
        Mean over images of 682 x 682 pixels of the mean IoU in each.
    boundary : dict
        ``f``, ``precision`` and ``recall`` of the outlines.
    splitting : Splitting
        Objects split and merged.
    bins : dict of list of Bin
        By quantity.
    confusion : dict or None
        Of classes.
    table : ObjectTable or None
        Of the predicted objects.
    """

    labels: LabelSource
    matches: Matches
    tally: Tally
    scores: dict[str, float]
    intervals: dict[str, list[float] | None]
    mean_iou_per_image: float
    boundary: dict[str, float | None]
    splitting: Splitting
    bins: dict[str, list[Bin]]
    confusion: dict[str, Any] | None
    table: ObjectTable | None

    @property
    def n_pred(self) -> int:
        """Number of predictions."""
        return len(self.matches.overlaps.pred)

    def summary(self) -> dict[str, Any]:
        """All of it as JSON knows it."""
        tally = self.tally
        counts = {"tp": tally.hits, "fp": tally.false_positives, "fn": tally.misses, "ignored": tally.ignored}
        n_truth = int(tally.truths)
        split = self.splitting
        return {
            **{name: _number(value) for name, value in self.scores.items()},
            "n_truth": n_truth,
            "n_pred": self.n_pred,
            "n_ignored_truth": len(self.matches.counts) - n_truth,
            "name": self.labels.name,
            "intervals": self.intervals,
            "thresholds": [
                {"iou": float(threshold), **{name: int(values[k]) for name, values in counts.items()}}
                for k, threshold in enumerate(THRESHOLDS)
            ],
            "mean_iou_per_image": _number(self.mean_iou_per_image),
            "boundary": self.boundary,
            "splitting": {
                "split": len(split.split),
                "merged": len(split.merged),
                "merging": len(split.merging),
                "split_fraction": len(split.split) / n_truth if n_truth else None,
                "merged_fraction": len(split.merged) / n_truth if n_truth else None,
            },
            "bins": {name: [dataclasses.asdict(one) for one in bins] for name, bins in self.bins.items()},
            "confusion": self.confusion,
        }


@dataclass(frozen=True)
class Evaluation:
    """A method judged by the truth, alone or beside another.

    Attributes
    ----------
    truth : LabelSource
        The true objects.
    table : ObjectTable or None
        Their table.
    pred : Judgement
        The method.
    against : Judgement or None
        The other one.
    differences : dict or None
        For each figure ``difference`` (the method less the other), its 95 % ``interval``, from the same draws of both,
        and the part of the draws in which the method is ``better``.
    settings : dict
        Of the bootstrap: ``block`` in pixels, number of ``blocks``, ``resamples``, ``seed``.
    notes : list of str
        What the user may want to know.
    """

    truth: LabelSource
    table: ObjectTable | None
    pred: Judgement
    against: Judgement | None
    differences: dict[str, dict[str, Any]] | None
    settings: dict[str, Any]
    notes: list[str]

    def summary(self) -> dict[str, Any]:
        """All of it as JSON knows it; the figures of the method at the top level."""
        return {
            **self.pred.summary(),
            "truth": self.truth.name,
            "table": None if self.table is None else self.table.name,
            "against": None if self.against is None else self.against.summary(),
            "differences": self.differences,
            "bootstrap": self.settings,
            "notes": self.notes,
            "starnet": __version__,
        }


def evaluate(
    pred: Labels,
    truth: Labels,
    *,
    table: str | Path | Table | None = None,
    against: Labels | None = None,
    pred_table: str | Path | Table | None = None,
    against_table: str | Path | Table | None = None,
    block: int | None = None,
    resamples: int = 1000,
    seed: int = 0,
    tolerance: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge predicted objects by true ones.

    All true objects and all predictions enter one assignment that maximises the summed IoU. At the threshold `t` a
    pair with IoU >= `t` is a true positive (TP) if its true object counts, and is ignored if not. False negatives (FN)
    are the counting objects less TP, false positives (FP) the predictions less TP and ignored ones.

    ======================  ================================================================
    ``ap50``, ``ap75``      TP / (TP + FP + FN) at IoU 0.50, 0.75
    ``ap``                  mean of that at 0.50, 0.55, ..., 0.95
    ``sq``                  mean IoU of the TP at 0.5
    ``rq``                  TP / (TP + FP / 2 + FN / 2) at 0.5
    ``pq``                  ``sq`` times ``rq``
    ``mean_iou``            mean IoU of the counting objects with their partners, 0 where none
    ``completeness``        TP / (TP + FN) at 0.1
    ``purity``              TP / (TP + FP) at 0.1
    ======================  ================================================================

    Where several assignments have the same largest sum, only the sum is defined by the maps; which of them is taken,
    always the same one, may decide whether a pair reaches a threshold.

    Parameters
    ----------
    pred, truth : str, Path or ndarray
        As for `starnet.evaluate.open_labels`.
    table : str, Path or Table, optional
        Table of the true objects, one row for each ``label``. Objects with ``snr`` below 5 or ``area`` below 5 do not
        count ("don't care"); without a table all count. ``class``, ``overlap`` and ``mag_*`` make bins. A simulated
        field brings its own.
    against : str, Path or ndarray, optional
        The predictions of another method, to be compared.
    pred_table, against_table : str, Path or Table, optional
        Tables of the predictions; a run directory brings its own. For purity in bins, and for classes.
    block : int, optional
        Side of the squares that the bootstrap draws, in pixels; a tenth of the map's by default.
    resamples, seed : int
        Draws of the bootstrap, and the seed of its random numbers.
    tolerance : int
        Of the boundary F-score, in pixels.
    progress : callable, optional
        Called with ``(stage, done, total)``.

    Raises
    ------
    StarnetError
        If an input cannot be used, the maps are of different shapes, or SciPy is missing.

    References
    ----------
    Kirillov et al. 2019, CVPR, "Panoptic Segmentation" (PQ, SQ, RQ; there, IoU > 0.5 makes a pair, no assignment).
    """
    if resamples < 1 or tolerance < 0 or (block is not None and block < 1):
        raise ValueError("resamples and block must be positive, tolerance not negative")
    check_scipy()
    truth_labels = open_labels(truth)
    table = table if table is not None else _beside(truth, "truth.fits")
    blocks = Blocks.of(truth_labels.shape) if block is None else Blocks(truth_labels.shape, block)
    methods = [(pred, pred_table)] if against is None else [(pred, pred_table), (against, against_table)]

    notes: list[str] = []
    truth_table: ObjectTable | None = None
    matched: list[tuple[LabelSource, Matches, ObjectTable | None]] = []
    for labels, own_table in methods:
        source = open_labels(labels)
        overlaps = find_overlaps(truth_labels, source, progress=progress)
        if table is not None and truth_table is None:
            truth_table = read_table(table, overlaps.truth.label, truth_labels.name)
            notes += _remarks(truth_table)
        own_table = own_table if own_table is not None else _beside(labels, "catalog.fits")
        pred_columns = None if own_table is None else read_table(own_table, overlaps.pred.label, source.name)
        matched.append((source, match(overlaps, counting(overlaps.truth, truth_table)), pred_columns))

    tallies = [blocks.tally(matches) for _, matches, _ in matched]
    draws = bootstrap(tallies, resamples=resamples, seed=seed)
    judged = [
        _judge(
            truth_labels, *one, truth_table, total, drawn, partial(boundary_f, tolerance=tolerance, progress=progress)
        )
        for one, total, drawn in zip(matched, (t.total() for t in tallies), draws, strict=True)
    ]
    return Evaluation(
        truth_labels,
        truth_table,
        judged[0],
        judged[1] if against is not None else None,
        _differences(judged, draws) if against is not None else None,
        {"block": blocks.side, "blocks": blocks.count, "resamples": resamples, "seed": seed},
        notes,
    )


def counting(truth: Objects, table: ObjectTable | None) -> NDArray[np.bool_]:
    """Which true objects count: all but those that the table gives an S/N or an area that is too small."""
    counts = np.ones(len(truth), bool)
    for name, least in (("snr", LEAST_SNR), ("area", LEAST_AREA)):
        column = None if table is None else table.numbers(name)
        if column is not None:
            counts &= ~(column < least)
    return counts


def _judge(
    truth: LabelSource,
    labels: LabelSource,
    matches: Matches,
    table: ObjectTable | None,
    truth_table: ObjectTable | None,
    tally: Tally,
    draws: dict[str, Floats],
    boundary: Callable[..., dict[str, float | None]],
) -> Judgement:
    images = Blocks(truth.shape, IMAGE_SIDE).tally(matches)
    some = images.truths > 0
    return Judgement(
        labels,
        matches,
        tally,
        {name: float(value) for name, value in tally.scores().items()},
        intervals(draws),
        float((images.iou[some] / images.truths[some]).mean()) if some.any() else float("nan"),
        boundary(truth, labels, matches),
        find_splitting(matches),
        bin_matches(matches, truth_table, table),
        confusion(
            matches,
            _classes(truth, matches.overlaps.truth, truth_table),
            _classes(labels, matches.overlaps.pred, table),
        ),
        table,
    )


def _differences(judged: list[Judgement], draws: list[dict[str, Floats]]) -> dict[str, dict[str, Any]]:
    found = {}
    for name in NAMES:
        drawn = draws[0][name] - draws[1][name]
        finite = drawn[np.isfinite(drawn)]
        found[name] = {
            "difference": _number(judged[0].scores[name] - judged[1].scores[name]),
            "interval": interval(drawn),
            "better": float(np.mean((finite > 0) + 0.5 * (finite == 0))) if len(finite) else None,
        }
    return found


def _classes(source: LabelSource, objects: Objects, table: ObjectTable | None) -> NDArray[Any] | None:
    if table is not None and "class" in table.columns:
        return table.columns["class"].astype(str)
    if source.classes is None:
        return None
    return np.array([source.classes[label] for label in objects.label.tolist()], dtype=str)


def _beside(labels: Labels, name: str) -> Path | None:
    """A table in the directory that the user named instead of a map."""
    if isinstance(labels, str | Path) and (path := Path(labels) / name).is_file():
        return path
    return None


def _remarks(table: ObjectTable) -> list[str]:
    notes = [
        f"{table.name} has no column {name}: no source is ignored for it"
        for name in ("snr", "area")
        if name not in table.columns
    ]
    if table.elsewhere:
        notes.append(
            f"{table.name} has {table.elsewhere} rows of labels that are nowhere in the map: they are left out"
        )
    return notes


def _number(value: float) -> float | None:
    """NaN is no number in JSON."""
    return float(value) if np.isfinite(value) else None
