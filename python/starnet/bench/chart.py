"""The comparison as a bar chart."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starnet.atomic import replacing
from starnet.bench.cases import OURS
from starnet.bench.comparison import Comparison
from starnet.bench.race import Entry, Result
from starnet.errors import StarnetError

# Okabe & Ito's colours, which the colour-blind tell apart, and greys.
_COLOURS = {
    OURS: "#d55e00",
    "scipy": "#0072b2",
    "OpenCV": "#009e73",
    "scikit-image": "#cc79a7",
    "numpy": "#56b4e9",
    "numba": "#e69f00",
    "sep": "#f0e442",
    "photutils": "#000000",
    "astroscrappy": "#999999",
    "astropy": "#7f5539",
    "bottleneck": "#b8b8ff",
    "fitsio": "#5c5c8a",
}
_BAR, _GAP = 0.16, 0.22  # inches


def check_plot() -> None:
    """Say what is missing for a chart, before minutes are spent.

    Raises
    ------
    StarnetError
        If matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise StarnetError("--plot needs matplotlib, which is not installed: pip install 'starnet[bench]'")


def plot(comparison: Comparison, path: Path) -> None:
    """Draw the rates of all contenders, on the fewest threads that were measured."""
    check_plot()
    figure_type: Any = import_module("matplotlib.figure").Figure
    fewest = min(result.threads for result in comparison.results)
    results = [result for result in comparison.results if result.threads == fewest]
    panels = [panel for panel in _panels(results) if panel]
    heights = [sum(_GAP + _BAR * len(_bars(result)) for result in panel) for panel in panels]
    figure = figure_type(figsize=(7.5 * len(panels), max(heights) + 1.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    seen: dict[str, Any] = {}
    for axis, panel in zip(axes, panels, strict=True):
        seen |= _draw(axis, panel, max(heights))
    machine = comparison.machine
    figure.suptitle(
        f"{machine['cpu']}, {machine['simd']}, {fewest} thread{'s' if fewest > 1 else ''}; "
        f"StarNet {comparison.versions['starnet']}, {comparison.date[:10]}",
        fontsize=9,
    )
    figure.legend(seen.values(), seen.keys(), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def _panels(results: list[Result]) -> list[list[Result]]:
    """Medians of floats, medians of integers, all the rest."""
    panels: list[list[Result]] = [[], [], []]
    for result in results:
        median = result.case.operation in ("median", "rolling")
        panels[(result.case.pixels.dtype.kind != "f") if median else 2].append(result)
    return panels


def _bars(result: Result) -> list[Entry]:
    peers = [entry for entry in result.peers if entry.agreement != "a bound"]
    return [result.ours, *sorted(peers, key=lambda entry: -entry.rate)]


def _draw(axis: Any, panel: list[Result], height: float) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    ticks, names, y = [], [], 0.0
    for result in panel:
        start = y
        for entry in _bars(result):
            colour = _COLOURS[entry.library]
            hatch = None if entry.ranked or entry.library == OURS else "////"
            drawn = axis.barh(y, entry.rate, 0.9 * _BAR, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
            axis.annotate(
                f" {entry.rate:.3g}" if entry.rate < 100 else f" {entry.rate:.0f}",
                (entry.rate, y),
                va="center",
                fontsize=6,
            )
            seen.setdefault(entry.library, drawn)
            y += _BAR
        ticks.append((start + y - _BAR) / 2)
        names.append(result.case.name)
        y += _GAP
    axis.set_yticks(ticks, names, fontsize=7)
    axis.set_ylim(height, -_GAP)
    axis.set_xscale("log")
    axis.margins(x=0.12)
    axis.set_xlabel("Mpix/s (hatched: another definition)", fontsize=8)
    axis.tick_params(axis="x", labelsize=7)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    return seen
