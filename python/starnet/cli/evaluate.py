"""`starnet evaluate`: predicted against true objects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starnet.cli import options
from starnet.cli.progress import progress

if TYPE_CHECKING:
    from rich.table import Table

    from starnet.evaluate import Evaluation

_MAPS = (
    "FITS label map of any program (FILE or FILE[HDU]), run directory, masks as COCO JSON (FILE.json or "
    "FILE.json[IMAGE]), PNG or TIFF"
)
Pred = Annotated[str, typer.Argument(metavar="PRED", help=f"Predicted objects: {_MAPS}.", show_default=False)]
Truth = Annotated[
    str,
    typer.Argument(metavar="TRUTH", help="True objects, in the same formats.", show_default=False),
]
TruthTable = Annotated[
    str | None,
    typer.Option(
        "--table",
        metavar="FILE",
        help="Table of the true objects, with the columns label, snr, area: those of S/N below 5 or fewer than 5 "
        "pixels do not count. Columns class, overlap and mag_BAND make bins.",
        show_default="all count",
    ),
]
PredTable = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Table of the predicted objects, with the column label or id: for purity in bins, and for classes.",
        show_default="the catalog of a run directory",
    ),
]
Against = Annotated[
    str | None,
    typer.Option(metavar="PRED", help="Predictions of another method, for paired differences.", show_default=False),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write everything here.", show_default=False)
]
Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write a page with plots and the worst cases.", show_default=False),
]
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--image",
        metavar="FILE",
        help="Image below the outlines of the page's cut-outs; may be repeated, up to three, the reddest first.",
        show_default=False,
    ),
]
Block = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="PIXELS",
        help="Side of the squares of sky that the bootstrap draws.",
        show_default="a tenth of the map's",
    ),
]
Resamples = Annotated[int, typer.Option(min=1, help="Draws of the bootstrap.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the bootstrap's random numbers.")]


def evaluate(
    pred: Pred,
    truth: Truth,
    *,
    table: TruthTable = None,
    pred_table: PredTable = None,
    against: Against = None,
    json_file: JsonFile = None,
    html: Html = None,
    image: Images = None,
    block: Block = None,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    quiet: options.Quiet = False,
) -> None:
    """Judge predicted objects by true ones: PQ, AP, mean IoU, completeness, purity, with 95 % intervals."""
    from starnet.evaluate import evaluate as judge
    from starnet.evaluate.report import check_report, write_json, write_report

    if html is not None:
        check_report(image or [], truth)
    with progress(quiet=quiet) as callback:
        evaluation = judge(
            pred,
            truth,
            table=table,
            against=against,
            pred_table=pred_table,
            block=block,
            resamples=resamples,
            seed=seed,
            progress=callback,
        )
    _print(evaluation)
    if json_file is not None:
        write_json(evaluation, json_file)
    if html is not None:
        write_report(evaluation, html, images=image or [])


def _print(evaluation: Evaluation) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # nothing to fold for
    summary = evaluation.summary()
    ignored = summary["n_ignored_truth"]
    console.print(
        f"{summary['n_truth']} true objects count{f', {ignored} do not' if ignored else ''}; "
        f"{summary['n_pred']} were predicted"
        + (f", {summary['against']['n_pred']} by the other method" if summary["against"] else ""),
        markup=False,
        soft_wrap=True,
    )
    console.print(_figures(summary))
    for name, bins in _shown_bins(summary["bins"]):
        console.print(_bins(name, bins))
    for note in evaluation.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)


def _figures(summary: dict[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    from starnet.evaluate.metrics import NAMES
    from starnet.evaluate.report import plain_figures

    other, differences = summary["against"], summary["differences"]
    columns = ["", "value", "95 % interval"]
    columns += ["against", "95 % interval", "difference", "95 % interval"] if other else []
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for key, name in NAMES.items():
        cells = [name]
        for one in (summary, other) if other else (summary,):
            cells += [_figure(one[key]), _interval(one["intervals"][key])]
        if differences:
            cells += [_figure(differences[key]["difference"], sign="+"), _interval(differences[key]["interval"], "+")]
        table.add_row(*cells)
    for name, value in plain_figures(summary).items():
        table.add_row(name, value, *(("", plain_figures(other)[name]) if other else ()))
    return table


def _shown_bins(bins: dict[str, list[dict[str, Any]]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """S/N if the table has it, else area; and one magnitude."""
    magnitude = next((name for name in bins if name.lower().startswith("mag")), None)
    names = ["snr" if "snr" in bins else "area", *([magnitude] if magnitude else [])]
    return [(name, bins[name]) for name in names if bins.get(name)]


def _bins(name: str, bins: list[dict[str, Any]]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(escape(name), box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("true", "mean IoU", "completeness", "IoU >= 0.5", "predicted", "purity"):
        table.add_column(column, justify="right")
    for one in bins:
        table.add_row(
            escape(one["name"]),
            str(one["n_truth"]),
            *(_figure(one[key]) for key in ("mean_iou", "completeness", "completeness50")),
            "" if one["n_pred"] is None else str(one["n_pred"]),
            "" if one["n_pred"] is None else _figure(one["purity"]),
        )
    return table


def _figure(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"


def _interval(limits: list[float] | None, sign: str = "") -> str:
    return "-" if limits is None else f"{limits[0]:{sign}.3f} to {limits[1]:{sign}.3f}"
