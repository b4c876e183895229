"""The figures as plots."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from starnet.errors import StarnetError
from starnet.evaluate.bins import Bin
from starnet.evaluate.evaluation import Judgement
from starnet.evaluate.metrics import NAMES, PRECISION, Floats
from starnet.masks.runs import Ints

# Okabe & Ito's colours, which the colour-blind tell apart: the method, the other ones.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_LINES = {"completeness": ("-", "o"), "mean_iou": ("--", "s"), "purity": (":", "^")}
# What these are parts of.
_COUNTED = {"completeness": "n_truth", "purity": "n_pred"}
TITLES = {"snr": "S/N", "area": "area [pixels]", "overlap": "part of the source that others hide"}


def check_matplotlib() -> None:
    """Say how to install what plots need.

    Raises
    ------
    StarnetError
        If matplotlib is not installed.
    """
    try:
        for name in ("matplotlib", "matplotlib.figure"):
            import_module(name)
    except ImportError as error:
        raise StarnetError(
            "the page's plots need matplotlib, which is not installed: pip install 'starnet[evaluate]'"
        ) from error


def draw_figures(methods: Sequence[Judgement], names: Sequence[str]) -> str:
    """All figures with their intervals, the precision at each IoU, and how often each IoU occurs; as a data URL."""
    figure = new_figure(12, 3.6)
    bars, curve, histogram = figure.subplots(1, 3)
    for i, (method, name) in enumerate(zip(methods, names, strict=True)):
        y = np.arange(len(NAMES)) + (i - (len(methods) - 1) / 2) * 0.3
        values = np.array([method.scores[key] for key in NAMES])
        limits = np.array([method.intervals[key] or (np.nan, np.nan) for key in NAMES])
        bars.hlines(y, limits[:, 0], limits[:, 1], color=COLOURS[i], linewidth=2)
        bars.plot(values, y, "o", color=COLOURS[i], markersize=5, label=name)
        total = method.tally
        hits = total.hits[1:]
        whole = np.maximum(hits + total.false_positives[1:] + total.misses[1:], 1)
        curve.plot(PRECISION, hits / whole, "o-", color=COLOURS[i], markersize=4)
        iou = method.matches.truth_iou[method.matches.counts]
        histogram.hist(iou, np.arange(21) / 20, color=COLOURS[i], histtype="step" if i else "bar", linewidth=2)
    bars.set_yticks(range(len(NAMES)), list(NAMES.values()))
    bars.invert_yaxis()
    bars.set(xlim=(0, 1.02), xlabel="value and 95 % interval")
    curve.set(ylim=(0, 1.02), xlabel="least IoU", ylabel="TP / (TP + FP + FN)")
    histogram.set(xlabel="IoU with the partner, 0 where none", ylabel="true objects that count")
    if len(methods) > 1:
        figure.legend(*bars.get_legend_handles_labels(), loc="outside upper left", ncols=2, frameon=False, fontsize=8)
    return figure_url(figure)


def draw_bins(methods: Sequence[Judgement]) -> str | None:
    """Completeness, mean IoU and purity against each quantity that is a number; None if there are none."""
    quantities = [name for name in methods[0].bins if name != "class" and any(one.bins[name] for one in methods)]
    if not quantities:
        return None
    columns = min(3, len(quantities))
    rows = -(-len(quantities) // columns)
    figure = new_figure(4 * columns, 3.4 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, name in zip(axes, quantities, strict=False):
        # The bins of two methods differ where only one has predictions.
        found: dict[tuple[float | None, float | None], Bin] = {
            (one.low, one.high): one for method in methods for one in method.bins[name]
        }
        limits = sorted(found, key=lambda pair: -np.inf if pair[0] is None else pair[0])
        for i, method in enumerate(methods):
            bins = {(one.low, one.high): one for one in method.bins[name]}
            for key, (line, marker) in _LINES.items():
                values = [getattr(bins.get(pair), key, None) for pair in limits]
                y = np.array([np.nan if v is None else v for v in values])
                if np.isfinite(y).any():
                    if key in _COUNTED:
                        trials = np.array([getattr(bins.get(pair), _COUNTED[key], None) or 0 for pair in limits])
                        axis.vlines(range(len(y)), *wilson(y, trials), color=COLOURS[i], linewidth=1)
                    axis.plot(y, line, marker=marker, color=COLOURS[i], markersize=4, label=None if i else key)
        axis.set_xticks(
            range(len(limits)), [_tick(found[pair]) for pair in limits], fontsize=7, rotation=30, ha="right"
        )
        axis.set(ylim=(-0.02, 1.04), xlabel=TITLES.get(name, name))
    for axis in axes[len(quantities) :]:
        axis.set_visible(False)
    lines = [
        import_module("matplotlib.lines").Line2D([], [], color="0.3", linestyle=line, marker=marker, markersize=4)
        for line, marker in _LINES.values()
    ]
    figure.legend(lines, [NAMES[key] for key in _LINES], loc="outside upper left", ncols=3, frameon=False, fontsize=8)
    return figure_url(figure)


def _tick(one: Bin) -> str:
    if one.high is None:
        return f"≥ {one.low:g}"
    return f"< {one.high:g}" if one.low is None else f"{one.low:g}-{one.high:g}"


def wilson(part: Floats, trials: Ints) -> tuple[Floats, Floats]:
    """68 % interval of a part of some trials (Wilson 1927, J. Am. Stat. Assoc. 22, 209)."""
    n = np.where(trials > 0, trials, np.nan)
    middle, half = part + 1 / (2 * n), np.sqrt(part * (1 - part) / n + 1 / (4 * n * n))
    return (middle - half) / (1 + 1 / n), (middle + half) / (1 + 1 / n)


def new_figure(width: float, height: float) -> Any:
    """A figure of so many inches, without any window system."""
    return import_module("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")


def figure_url(figure: Any) -> str:
    """A figure as the address of an image in a page."""
    for axis in figure.axes:
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    content = io.BytesIO()
    # Without the version in the file the same figures make the same bytes.
    figure.savefig(content, format="png", dpi=130, metadata={"Software": None})
    return data_url(content.getvalue())


def data_url(png: bytes) -> str:
    """A PNG as the address of an image in a page."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
