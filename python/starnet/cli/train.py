"""`starnet train`: a network from a YAML file."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starnet.cli import options

if TYPE_CHECKING:
    from starnet.train.callbacks import Report

Config = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG.yaml", help="The training, as those of configs/train; docs/train.md.", show_default=False
    ),
]
Output = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="RUN", help="Folder of the training."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key of the file, as in optimiser.rate=1e-4; may be repeated."
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint, if there is one.")]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to train.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Steps of the optimiser.", show_default="the file's")]


def train(
    config: Config,
    *,
    output: Output = Path("training"),
    settings: Set = None,
    steps: Steps = None,
    resume: Resume = False,
    device: Device = "auto",
    threads: options.Threads = None,
    memory: options.Memory = None,
    quiet: options.Quiet = False,
) -> None:
    """Train or fine-tune a network: weights, configuration, model card, figures."""
    from starnet.networks import require_torch
    from starnet.train.config import TrainConfig

    chosen = TrainConfig.load(config, [*(settings or []), *([f"steps={steps}"] if steps else [])])
    require_torch()
    from starnet.train.training import train as start

    with _progress(quiet=quiet) as report:
        result = start(
            chosen,
            output,
            resume=resume,
            device=device,
            threads=threads,
            memory=memory,
            report=report,
            command=shlex.join(["starnet", *sys.argv[1:]]),
        )
    print(f"{result.steps} steps in {result.seconds:.0f} s; the best weights are those after step {result.best_step}")
    for name, value in result.figures.items():
        print(f"  {name:<14}{value:.4f}")
    print(f"  {'weights':<14}{result.weights}")


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Report | None]:
    """A bar on a terminal; elsewhere a line a validation."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("step"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("")
            yield lambda step, steps, figures: bar.update(task, completed=step, total=steps, description=_line(figures))
    else:
        last = ""

        def report(step: int, steps: int, figures: dict[str, float]) -> None:
            nonlocal last
            line = _line({name: value for name, value in figures.items() if name.startswith("validation_")})
            if line != last:
                last = line
                print(f"step {step} of {steps}: {line}", file=sys.stderr, flush=True)

        yield report


def _line(figures: dict[str, float]) -> str:
    names = {"train_loss": "loss", "validation_loss": "validated", "validation_pq": "PQ", "validation_point_iou": "IoU"}
    return ", ".join(f"{name} {figures[key]:.3f}" for key, name in names.items() if key in figures)
