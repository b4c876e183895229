"""The figures of faint and bright, small and large, lonely and blended sources."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.evaluate.metrics import FOUND, Floats, Matches
from starnet.evaluate.tables import ObjectTable

#: Edges of the bins, lower ones included. Magnitudes have bins of 1.
_EDGES = {
    "area": [0, 5, 10, 20, 50, 100, 200, 500, 1000, np.inf],
    "snr": [-np.inf, 5, 10, 20, 50, 100, 200, np.inf],
    "overlap": [0, 0.01, 0.1, 0.3, 0.5, np.inf],
}
_MAGNITUDE = re.compile(r"mag(?!_?err)(_.+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Bin:
    """One bin of a quantity.

    Attributes
    ----------
    name : str
        For people: a class, or two limits.
    low, high : float or None
        Limits, the lower one included; None for classes.
    n_truth : int
        True objects in it that count.
    mean_iou : float or None
        Of them with their partners, 0 where there is none.
    completeness, completeness50 : float or None
        Parts of them with IoU >= 0.1 and >= 0.5.
    n_pred : int or None
        Predictions in it that are not ignored; None where the quantity is not known of predictions.
    purity : float or None
        Part of them that is a true object with IoU >= 0.1.
    """

    name: str
    low: float | None
    high: float | None
    n_truth: int
    mean_iou: float | None
    completeness: float | None
    completeness50: float | None
    n_pred: int | None
    purity: float | None


def bin_matches(matches: Matches, truth: ObjectTable | None, pred: ObjectTable | None) -> dict[str, list[Bin]]:
    """Bins by area, and by S/N, overlap, class and each magnitude that the table of true objects has."""
    found: dict[str, list[Bin]] = {}
    columns = {} if truth is None else truth.columns
    # The area that decides what counts is the table's; that of the map stands in.
    areas = columns.get("area", matches.overlaps.truth.area.astype(float))
    quantities: dict[str, NDArray[Any]] = {
        "area": areas,
        **{n: columns[n] for n in ("snr", "overlap", "class") if n in columns},
    }
    quantities |= {n: c for n, c in columns.items() if _MAGNITUDE.fullmatch(n)}
    for name, of_truth in quantities.items():
        of_pred = None if pred is None else pred.columns.get(name)
        if name == "area":
            of_pred = matches.overlaps.pred.area.astype(float)
        if name == "class":
            of_truth = of_truth.astype(str)
            of_pred = None if of_pred is None else of_pred.astype(str)
            found[name] = [
                _bin(matches, str(one), None, of_truth == one, None if of_pred is None else of_pred == one)
                for one in np.unique(of_truth)
            ]
        elif of_truth.dtype.kind == "f":
            of_pred = None if of_pred is None or of_pred.dtype.kind != "f" else of_pred
            edges = _EDGES.get(name) or _magnitudes(of_truth[matches.counts])
            found[name] = [
                _bin(
                    matches, _range(low, high), (low, high), _within(of_truth, low, high),
                    None if of_pred is None else _within(of_pred, low, high),
                )
                for low, high in pairwise(edges)
            ]  # fmt: skip
    return {name: [b for b in bins if b.n_truth or b.n_pred] for name, bins in found.items()}


def _bin(
    matches: Matches,
    name: str,
    limits: tuple[float, float] | None,
    truths: NDArray[np.bool_],
    preds: NDArray[np.bool_] | None,
) -> Bin:
    iou = matches.truth_iou[truths & matches.counts]
    purity = None
    if preds is not None:
        # As everywhere: of what lies on a "don't care", only what does not fit it is spurious.
        reached = matches.pred_iou >= FOUND
        judged = preds & ~(matches.ignorable & reached)
        purity = reached[judged]
    low, high = limits or (None, None)
    return Bin(
        name, _finite(low), _finite(high), len(iou),
        _mean(iou), _mean(iou >= FOUND), _mean(iou >= 0.5),
        None if purity is None else len(purity), None if purity is None else _mean(purity),
    )  # fmt: skip


def _magnitudes(values: Floats) -> list[float]:
    values = values[np.isfinite(values)]
    if not len(values):
        return []
    return [float(m) for m in range(int(np.floor(values.min())), int(np.floor(values.max())) + 2)]


def _within(values: Floats, low: float, high: float) -> NDArray[np.bool_]:
    return (values >= low) & (values < high)


def _range(low: float, high: float) -> str:
    if np.isinf(high):
        return f"{low:g} and more"
    return f"less than {high:g}" if np.isinf(low) else f"{low:g} to {high:g}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
