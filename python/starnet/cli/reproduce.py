"""`starnet report`: the report that StarNet began with, done again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starnet.cli import options
from starnet.cli.progress import progress

if TYPE_CHECKING:
    from starnet.reproduce import Reproduction

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[BANDS]...",
        help="Images of a mosaic whose truth is known; simulated ones if left out.",
        show_default=False,
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Directory, made if missing.")]
Model = Annotated[str, typer.Option(metavar="NAME|FILE", help="Network: vit_b, vit_l, vit_h, tiny, or a file of ours.")]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|random",
        help="Its weights before training, or 'random' for none.",
        show_default="where `starnet fetch` puts them",
    ),
]
Truth = Annotated[
    str | None,
    typer.Option(metavar="MAP", help="True label map of BANDS, as for `starnet evaluate`.", show_default=False),
]
TruthTable = Annotated[
    str | None,
    typer.Option("--table", metavar="FILE", help="Table of its objects.", show_default="beside the truth, if any"),
]
Images = Annotated[
    tuple[int, int, int], typer.Option(metavar="TRAIN VALIDATION TEST", help="How many images for each.")
]
Epochs = Annotated[int, typer.Option(help="Times that training sees each image.")]
Prompts = Annotated[str, typer.Option(help="What asks for masks, as for `starnet segment`.")]
PredIou = Annotated[
    float | None,
    typer.Option(
        "--pred-iou-threshold",
        min=0,
        max=1,
        help="Least IoU that the network must expect of a mask.",
        show_default="SAM's, 0.88; of tiny 0.55",
    ),
]
Stability = Annotated[
    float | None,
    typer.Option(
        "--stability-threshold", min=0, max=1, help="Least stability of a mask.", show_default="SAM's, 0.95; of tiny 0"
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(help="Preprocessing.", show_default="that of the weights; 'seed' for Meta's and for random ones"),
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="What computes.")]
Seed = Annotated[int, typer.Option(min=0, help="Of training, and of random weights.")]


def report(
    inputs: Inputs = None,
    *,
    output: Output = Path("report"),
    model: Model = "vit_b",
    checkpoint: Checkpoint = None,
    truth: Truth = None,
    table: TruthTable = None,
    images: Images = (10, 2, 3),
    tile: options.Tile = 682,
    epochs: Epochs = 3,
    prompts: Prompts = "grid",
    pred_iou_threshold: PredIou = None,
    stability_threshold: Stability = None,
    recipe: Recipe = None,
    device: Device = "auto",
    seed: Seed = 1,
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Do the report again that StarNet began with: SAM on a whole mosaic, on tiles, and fine-tuned on few images.

    Writes report.html, report.json and comparison.png into DIR. What is done is not done again.
    """
    from starnet.reproduce import Plan, reproduce

    plan = Plan(
        model=model,
        checkpoint=checkpoint,
        images=images,
        tile=tile,
        epochs=epochs,
        prompts=prompts,
        pred_iou_threshold=pred_iou_threshold,
        stability_threshold=stability_threshold,
        recipe=recipe,
        inputs=tuple(inputs or ()),
        truth=truth,
        table=table,
        device=device,
        seed=seed,
    )
    with progress(quiet=quiet) as callback:
        made = reproduce(plan, output, threads=threads, overwrite=overwrite, progress=callback)
    _print(made)


def _print(made: Reproduction) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from starnet.reproduce.page import mean_iou_rows
    from starnet.reproduce.plan import PARTS

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # nothing to fold for
    figures = Table("mean IoU", *PARTS, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in mean_iou_rows(made.summaries):
        figures.add_row(*row)
    console.print(figures)
    for line in (f"began with {made.start.words}", *map(str, made.claims), made.conclusion):
        console.print(line, markup=False, soft_wrap=True)
    for path in made.outputs.values():
        console.print(str(path), markup=False, soft_wrap=True)
