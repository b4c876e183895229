"""`starnet compare`: segmentation programs on the same sky."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starnet.cli import options
from starnet.cli.progress import progress
from starnet.errors import StarnetError

if TYPE_CHECKING:
    from starnet.compare import Comparison

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[BANDS]...", help="Images of the mosaic whose squares the split names.", show_default=False
    ),
]
SplitFile = Annotated[
    Path | None,
    typer.Option(
        "--split",
        metavar="FILE.yaml",
        help="Which fields, by seed, or which squares of BANDS are to tune on and which to judge on.",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="Directory, made if missing.", show_default=False),
]
Truth = Annotated[
    str | None,
    typer.Option(metavar="MAP", help="True label map of BANDS, as for `starnet evaluate`.", show_default=False),
]
TruthTable = Annotated[
    Path | None,
    typer.Option("--table", metavar="FILE", help="Table of the true objects.", show_default="beside the truth, if any"),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="sep, photutils, source-extractor or noisechisel; may be repeated.",
        show_default="all that are installed",
    ),
]
Models = Annotated[
    list[str],
    typer.Option(
        "--model",
        metavar="NAME",
        help="Ours, as of `starnet segment`; may be repeated. The others are compared with the first.",
    ),
]
Grids = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.yaml",
        help="Values to try, by method and setting; grids.yaml of an earlier comparison shows how.",
        show_default="each method's own",
    ),
]
TuneFor = Annotated[str, typer.Option(metavar="FIGURE", help="What settings are chosen by, such as pq or ap50.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes that simulate.", show_default="all cores")]
Resamples = Annotated[int, typer.Option(min=1, help="Draws of the bootstrap.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the bootstrap, or of --make-split.")]
MakeSplit = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.yaml", help="Cut BANDS into squares, hand them out at random, write that and stop.",
        show_default=False,
    ),
]  # fmt: skip
Square = Annotated[int, typer.Option(min=16, metavar="PIXELS", help="Side of the squares of --make-split.")]
NoHtml = Annotated[bool, typer.Option("--no-html", help="Write no pages.")]


def compare(
    inputs: Inputs = None,
    *,
    split: SplitFile = None,
    output: Output = None,
    truth: Truth = None,
    table: TruthTable = None,
    method: Methods = None,
    model: Models = ["tiny", "classical"],  # noqa: B006  (typer copies it)
    grids: Grids = None,
    tune_for: TuneFor = "pq",
    workers: Workers = None,
    resamples: Resamples = 1000,
    seed: Seed = 1,
    make_split: MakeSplit = None,
    square: Square = 512,
    no_html: NoHtml = False,
    quiet: options.Quiet = False,
) -> None:
    """Run segmentation programs on the same sky, each tuned on one part of it and judged on another.

    Writes figures with intervals, differences from our model, times, settings, label maps and pages into DIR. What is
    done is not done again.
    """
    import os

    if make_split is not None:
        _make_split(inputs or [], make_split, square, seed)
        return
    if split is None:
        raise StarnetError("there is no split: name one with --split, or make one with --make-split")
    if output is None:
        raise StarnetError("nowhere to write to: name a directory with -o DIR")
    from starnet.compare import compare as run
    from starnet.compare.report import write_comparison
    from starnet.evaluate.plots import check_matplotlib

    if not no_html:
        check_matplotlib()
    with progress(quiet=quiet) as callback:
        comparison = run(
            split,
            output,
            inputs=inputs or [],
            truth=truth,
            table=table,
            methods=method,
            models=model,
            grids=None if grids is None else _read_grids(grids),
            criterion=tune_for,
            workers=workers or os.cpu_count() or 1,
            resamples=resamples,
            seed=seed,
            progress=callback,
        )
    outputs = write_comparison(comparison, output, html=not no_html)
    _print(comparison, outputs)


def _make_split(inputs: list[str], path: Path, square: int, seed: int) -> None:
    from starnet.mosaic import Mosaic
    from starnet.splits import AreaSplit, save_split

    if not inputs:
        raise StarnetError("--make-split cuts a mosaic into squares: give its images")
    if path.exists():
        raise StarnetError(f"{path} exists: a split is not to be changed once it is used; name another file")
    made = AreaSplit.draw(Mosaic.open(inputs, weights="none").shape, square=square, seed=seed)
    save_split(made, path)
    print(f"{path}: " + ", ".join(f"{len(boxes)} {part}" for part, boxes in made.parts.items()))


def _read_grids(path: Path) -> dict[str, dict[str, list[Any]]]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StarnetError(f"{path} cannot be read ({error.strerror}): give the values to try, as YAML") from error
    except yaml.YAMLError as error:
        raise StarnetError(f"{path} is not YAML: write values to try as `sep: {{threshold: [1, 2]}}`") from error
    if not isinstance(content, dict) or not all(isinstance(one, dict) for one in content.values()):
        raise StarnetError(f"{path} holds no grids: write values to try as `sep: {{threshold: [1, 2]}}`")
    return content


def _print(comparison: Comparison, outputs: dict[str, Path]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from starnet.compare.report import figure, rate, words
    from starnet.evaluate.metrics import NAMES

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # nothing to fold for
    summary = comparison.summary()
    shown = ("pq", "ap50", "mean_iou", "completeness", "purity")
    figures = Table("", *(NAMES[key] for key in shown), "Mpix/s of CPU", box=box.SIMPLE_HEAD, pad_edge=False)
    for one in summary["methods"]:
        cells = (figure(one[key], one["intervals"][key]) for key in shown)
        figures.add_row(one["name"], *cells, rate(one, comparison.pixels))
    first = summary["methods"][0]
    console.print(f"{first['n_truth']} true objects count, {first['n_ignored_truth']} do not", markup=False)
    console.print(figures)
    for entry in comparison.entries:
        if entry.tuned is not None:
            console.print(f"{entry.name}: {words(entry.settings)}", markup=False, soft_wrap=True)
    for note in comparison.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    for path in outputs.values():
        console.print(str(path), markup=False, soft_wrap=True)
