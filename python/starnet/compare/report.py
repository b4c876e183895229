"""What a comparison leaves behind: a JSON file, the grids, and a page with a page for each method."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from starnet.atomic import replacing, write_json
from starnet.compare.comparison import Comparison, Entry
from starnet.evaluate.metrics import NAMES
from starnet.evaluate.page import plot, table, write_page
from starnet.evaluate.plots import COLOURS, TITLES, check_matplotlib, figure_url, new_figure
from starnet.evaluate.report import write_report

_CURVES = {
    "snr": ("completeness", "mean_iou"),
    "area": ("completeness", "mean_iou", "purity"),
    "overlap": ("completeness", "mean_iou"),
}


def write_comparison(comparison: Comparison, directory: Path, *, html: bool = True) -> dict[str, Path]:
    """Write ``comparison.json``, ``grids.yaml``, and ``comparison.html`` with a page beside it for each tuned method.

    Returns
    -------
    dict
        Paths by kind.
    """
    summary = comparison.summary()
    outputs = {"json": directory / "comparison.json", "grids": directory / "grids.yaml"}
    write_json(outputs["json"], summary)
    with replacing(outputs["grids"]) as partial:
        text = yaml.safe_dump(summary["grids"], sort_keys=False, default_flow_style=None)
        partial.write_text(text, encoding="utf-8")
    if html:
        check_matplotlib()
        outputs["html"] = directory / "comparison.html"
        for entry in comparison.entries:
            if entry.tuned is not None:
                write_report(entry.evaluation, directory / f"{entry.name}.html", images=comparison.images)
        write_page(outputs["html"], "Comparison", _body(comparison, summary))
    return outputs


def _body(comparison: Comparison, summary: dict[str, Any]) -> list[str]:
    methods = summary["methods"]
    first = methods[0]
    test = comparison.split.parts["test"]
    return [
        "<h1>Comparison of segmentation methods</h1>",
        f"<p>Tuned for {escape(NAMES[comparison.criterion])} on {len(comparison.split.parts['tune'])} fields, judged "
        f"on {len(test)} others of {comparison.pixels / 1e6:.2f} Mpix together: {first['n_truth']} true objects count, "
        f"{first['n_ignored_truth']} do not. Brackets are 95 % intervals.</p>",
        *(f"<p>Note: {escape(note)}.</p>" for note in comparison.notes),
        "<h2>Figures</h2>",
        table(
            ["", *NAMES.values(), "predicted"],
            [[m["name"], *(figure(m[key], m["intervals"][key]) for key in NAMES), str(m["n_pred"])] for m in methods],
            {e.name: f"{e.name}.html" for e in comparison.entries if e.tuned is not None},
        ),
        f"<h2>Less those of {escape(first['name'])}</h2>",
        "<p>Intervals are of paired differences: both methods see the same draws of the sky.</p>",
        table(
            ["", *NAMES.values()],
            [
                [m["name"], *(_difference(m["differences"][key]) for key in NAMES)]
                for m in methods
                if m["differences"] is not None
            ],
        ),
        "<h2>By brightness, size and crowding</h2>",
        plot(_curves(comparison.entries)),
        "<h2>Time</h2>",
        "<p>From images on disk to a label map, one thread; our models make a catalog and a picture too.</p>",
        table(
            ["", "wall [s]", "CPU [s]", "Mpix/s of CPU"],
            [
                [m["name"], f"{m['seconds']:.2f}", f"{m['cpu_seconds']:.2f}", rate(m, comparison.pixels)]
                for m in methods
            ],
        ),
        "<h2>Settings</h2>",
        table(
            ["", "version", "settings", "grid"],
            [
                [e.name, e.method.version, words(e.settings), words(e.method.grid) if e.tuned else "as shipped"]
                for e in comparison.entries
            ],
        ),
    ]


def figure(value: float | None, limits: list[float] | None) -> str:
    """A figure with its interval."""
    text = "-" if value is None else f"{value:.3f}"
    return text if limits is None else f"{text} [{limits[0]:.3f}, {limits[1]:.3f}]"


def rate(method: dict[str, Any], pixels: int) -> str:
    """Megapixels a second of CPU."""
    return f"{pixels / 1e6 / method['cpu_seconds']:.2f}" if method["cpu_seconds"] else "-"


def words(settings: Any) -> str:
    """Settings in a line."""
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def _difference(one: dict[str, Any]) -> str:
    if one["difference"] is None or one["interval"] is None:
        return "-"
    return f"{one['difference']:+.3f} [{one['interval'][0]:+.3f}, {one['interval'][1]:+.3f}]"


def _curves(entries: list[Entry]) -> str:
    """Tuned methods against brightness, S/N, size and crowding; as a data URL."""
    tuned = [entry for entry in entries if entry.tuned is not None]
    bins = tuned[0].evaluation.pred.bins
    curves = {name: keys for name, keys in _CURVES.items() if bins.get(name)}
    if magnitude := next((name for name in bins if name.startswith("mag") and bins[name]), None):
        curves = {magnitude: ("completeness", "mean_iou"), **curves}
    panels = [(name, key) for name, keys in curves.items() for key in keys]
    rows = -(-len(panels) // 3)
    chart = new_figure(13, 3.5 * rows)
    axes = chart.subplots(rows, 3, squeeze=False).ravel()
    for axis, (name, key) in zip(axes, panels, strict=False):
        shown = [one for one in bins[name] if one.n_truth]
        for entry, colour in zip(tuned, COLOURS, strict=False):
            own = {one.name: getattr(one, key) for one in entry.evaluation.pred.bins[name]}
            values = [own.get(one.name) for one in shown]
            y = np.array([np.nan if value is None else value for value in values])
            axis.plot(y, "o-", color=colour, markersize=4, label=entry.name)
        axis.set_xticks(range(len(shown)), [one.name for one in shown], fontsize=7, rotation=30, ha="right")
        axis.set(ylim=(-0.02, 1.04), xlabel=TITLES.get(name, name), ylabel=NAMES[key])
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    chart.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=len(tuned), frameon=False)
    return figure_url(chart)
