"""What an evaluation leaves behind: a JSON file, and a page with plots and the worst cases."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from starnet import __version__, atomic
from starnet.errors import StarnetError
from starnet.evaluate.cutouts import PRED, TRUTH, Painter, worst_cases
from starnet.evaluate.evaluation import Evaluation, Labels
from starnet.evaluate.labels import open_labels
from starnet.evaluate.metrics import NAMES
from starnet.evaluate.page import plot, table, write_page
from starnet.evaluate.plots import COLOURS, check_matplotlib, data_url, draw_bins, draw_figures
from starnet.mosaic import Mosaic

#: Most bands of a cut-out.
_BANDS = 3

_STYLE = f"""
.cases {{ display: flex; flex-wrap: wrap; gap: .8em; }}
.cases figure {{ margin: 0; width: 200px; }}
.cases img {{ width: 192px; image-rendering: pixelated; background: #282828; }}
figcaption {{ font-size: .78em; line-height: 1.25; }}
.truth {{ color: rgb{TRUTH}; }} .pred {{ color: rgb{PRED}; }} .key {{ background: #282828; padding: 0 .4em; }}
.a {{ color: {COLOURS[0]}; }} .b {{ color: {COLOURS[1]}; }}
"""
_DEFINITIONS = """
All true objects and all predictions enter one assignment that maximises the summed IoU. At a threshold, a pair of at
least that IoU is a true positive (TP) if its true object counts, and is ignored if it does not; other predictions are
false positives (FP), other true objects that count false negatives (FN). AP is TP / (TP + FP + FN), at IoU 0.50 and
0.75, and its mean over 0.50, 0.55, ..., 0.95. SQ is the mean IoU of the TP at 0.5, RQ is TP / (TP + FP / 2 + FN / 2),
PQ their product. The mean IoU is that of all true objects that count, 0 where they have no partner. Completeness,
TP / (TP + FN), and purity, TP / (TP + FP), are those at IoU 0.1. A true object is split if two predictions or more lie
in it with more than half of their pixels; true objects are merged if a prediction holds more than half of the pixels of
two or more of them. Intervals are those of a bootstrap over squares of the sky.
"""


def write_json(evaluation: Evaluation, path: str | Path) -> None:
    """Write all figures as JSON."""
    atomic.write_json(path, evaluation.summary())


def check_report(images: Sequence[str], truth: Labels) -> None:
    """Say what is wrong with the request for a page, before minutes are spent.

    Raises
    ------
    StarnetError
        If matplotlib is missing, or the images are not on the grid of the map.
    """
    check_matplotlib()
    if not images:
        return
    if len(images) > _BANDS:
        raise StarnetError(f"{len(images)} images were given for the cut-outs: give three at most")
    (ny, nx), (ty, tx) = Mosaic.open(images, weights="none").shape, open_labels(truth).shape
    if (ny, nx) != (ty, tx):
        raise StarnetError(
            f"{images[0]} has {nx} x {ny} pixels and the true map {tx} x {ty}: give an image on the map's pixel grid"
        )


def write_report(evaluation: Evaluation, path: str | Path, *, images: Sequence[str] = (), cases: int = 12) -> None:
    """Write a page, in one file, that shows the figures, their dependence on all quantities, and the worst cases.

    Parameters
    ----------
    evaluation : Evaluation
        From `evaluate`.
    path : str or Path
        The file to make or to replace.
    images : sequence of str
        As for `Mosaic.open`, for the cut-outs: one, or three as red, green and blue.
    cases : int
        Most cut-outs of each kind.

    Raises
    ------
    StarnetError
        If matplotlib is missing, an image cannot be used, or the file cannot be written.
    """
    check_report(images, evaluation.truth)
    methods = [evaluation.pred] + ([evaluation.against] if evaluation.against else [])
    names = [method.labels.name for method in methods]
    summary = evaluation.summary()
    body = [
        f"<h1>{escape(names[0])}</h1>",
        f"<p>judged by {escape(evaluation.truth.name)}"
        + (f", table {escape(evaluation.table.name)}" if evaluation.table else "")
        + (f", beside <span class=b>{escape(names[1])}</span>" if len(names) > 1 else "")
        + f". {summary['n_truth']} true objects count, {summary['n_ignored_truth']} do not; "
        f"{summary['n_pred']} were predicted.</p>",
        *(f"<p>Note: {escape(note)}.</p>" for note in evaluation.notes),
        "<h2>Figures</h2>",
        _figures(summary),
        plot(draw_figures(methods, names)),
    ]
    if (url := draw_bins(methods)) is not None:
        body += ["<h2>By brightness, size and crowding</h2>", plot(url), "<p>Bars are 68 % intervals.</p>"]
    for one, name in zip((summary, summary["against"]), names, strict=False):
        body += [f"<details><summary>Numbers of {escape(name)}</summary>", *_bins(one["bins"]), "</details>"]
        if one["confusion"] is not None:
            body += [f"<h2>Classes of {escape(name)}</h2>", _confusion(one["confusion"])]
    painter = Painter(evaluation, images)
    for method, name in zip(methods, names, strict=True):
        body += [
            f"<h2>Worst cases of {escape(name)}</h2>",
            "<p>Outlines: <span class=key><span class=truth>true</span>, <span class=pred>predicted</span>, "
            "<span style='color:white'>both</span></span>; those of neighbours are darker.</p>",
        ]
        for title, found in worst_cases(evaluation, method, cases).items():
            body += [f"<h3>{escape(title)}</h3>", "<div class=cases>"]
            body += [
                f"<figure><img src='{data_url(painter.paint(case, method))}' alt=''>"
                f"<figcaption>{escape(case.caption)}</figcaption></figure>"
                for case in found
            ]
            body.append("</div>")
    settings = evaluation.settings
    body += [
        "<h2>Definitions</h2>",
        f"<p>{_DEFINITIONS}</p>",
        f"<p>{settings['resamples']} draws of {settings['blocks']} squares of {settings['block']} pixels, seed "
        f"{settings['seed']}. StarNet {escape(__version__)}.</p>",
    ]
    write_page(path, names[0], body, _STYLE)


def _figures(summary: dict[str, Any]) -> str:
    other, differences = summary["against"], summary["differences"]
    head = ["", "value", "95 % interval"]
    head += ["against", "95 % interval", "difference", "95 % interval", "better in"] if other else []
    rows = []
    for name, title in NAMES.items():
        row = [title]
        for one in (summary, other) if other else (summary,):
            row += [_number(one[name]), _interval(one["intervals"][name])]
        if differences:
            one = differences[name]
            better = "-" if one["better"] is None else f"{100 * one['better']:.0f} %"
            row += [_number(one["difference"], "+"), _interval(one["interval"], "+"), better]
        rows.append(row)
    for name, value in plain_figures(summary).items():
        rows.append([name, value, "", *((plain_figures(other)[name], "", "", "", "") if other else ())])
    return table(head, rows)


def plain_figures(summary: dict[str, Any]) -> dict[str, str]:
    """What has no interval, of the summary of one method, as text."""
    split = summary["splitting"]
    return {
        "mean IoU per 682-px image": _number(summary["mean_iou_per_image"]),
        "boundary F": _number(summary["boundary"]["f"]),
        "split": str(split["split"]),
        "merged": str(split["merged"]),
    }


def _bins(bins: dict[str, list[dict[str, Any]]]) -> list[str]:
    keys = ("mean_iou", "completeness", "completeness50")
    return [
        table(
            [name, "true", "mean IoU", "completeness", "IoU ≥ 0.5", "predicted", "purity"],
            [
                [one["name"], str(one["n_truth"]), *(_number(one[key]) for key in keys)]
                + (["", ""] if one["n_pred"] is None else [str(one["n_pred"]), _number(one["purity"])])
                for one in found
            ],
        )
        for name, found in bins.items()
        if found
    ]


def _confusion(confusion: dict[str, Any]) -> str:
    classes = confusion["classes"]
    rows = [[name, *map(str, row)] for name, row in zip(classes, confusion["matrix"], strict=True)]
    return table(["true, and predicted as", *classes], rows)


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"


def _interval(limits: list[float] | None, sign: str = "") -> str:
    return "-" if limits is None else f"{limits[0]:{sign}.3f} to {limits[1]:{sign}.3f}"
