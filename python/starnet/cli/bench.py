"""`starnet bench`: StarNet beside its peers, on the user's own image."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from starnet.errors import StarnetError

Images = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[IMAGE]",
        help="Image to work on, as for 'starnet segment', with --inference one a band; without one, pixels are made.",
        show_default=False,
    ),
]
Operations = Annotated[
    list[str] | None,
    typer.Option(
        "--op",
        metavar="OP",
        help="Operation to compare; may be repeated: median, rolling, percentiles, background, normalize, stack, "
        "tiles, fits, label, watershed, catalog, chain; with --inference: encoder, head, decoder, automatic, segment.",
        show_default="all",
    ),
]
Sizes = Annotated[
    list[int] | None,
    typer.Option(
        "--size",
        min=1,
        metavar="K",
        help="Window of the median filter and the rolling median, in pixels; may be repeated.",
        show_default="3 to 201",
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer windows, fewer rounds, one thread: under two minutes.")]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write all rounds, versions and the machine here.", show_default=False),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE.png", help="Draw a bar chart (needs matplotlib).", show_default=False),
]
Threads = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Threads of StarNet and of the peers that have threads: a number, or 'all'.",
        show_default="1, then all cores; all cores with --inference",
    ),
]
Inference = Annotated[
    bool,
    typer.Option("--inference", help="Networks: ONNX Runtime beside torch, and 'starnet segment' as a whole."),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME|FILE|FOLDER",
        help="With --inference: tiny as it comes with the package, vit_b, vit_l or vit_h with random weights, a file "
        "of weights, or the folder of a bundle; may be repeated.",
        show_default="tiny",
        rich_help_panel="Networks (--inference)",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="With --inference: 'cpu', 'cuda', 'cuda:1', 'tensorrt', or 'auto': a GPU where there is one.",
        show_default="auto",
        rich_help_panel="Networks (--inference)",
    ),
]


def bench(
    images: Images = None,
    *,
    inference: Inference = False,
    models: Models = None,
    device: Device = None,
    operations: Operations = None,
    sizes: Sizes = None,
    quick: Quick = False,
    json: JsonFile = None,
    plot: Plot = None,
    threads: Threads = None,
) -> None:
    """Compare StarNet with scipy, OpenCV, scikit-image, sep, photutils, ...: those that are installed.

    Results are compared before they are timed; a result that differs from that of a peer of the same definition is an
    error, exit code 1.
    """
    command = shlex.join(["starnet", *sys.argv[1:]])
    if inference:
        if sizes or plot is not None:
            raise StarnetError(f"{'--size' if sizes else '--plot'} is for filters: leave it out with --inference")
        _bench_networks(
            images or [], operations, models or ["tiny"], device or "auto", threads, json, command, quick=quick
        )
        return
    if models or device is not None:
        raise StarnetError(f"{'--model' if models else '--device'} is for networks: add --inference")
    if images and len(images) > 1:
        raise StarnetError(f"{len(images)} images: give one, or several bands of one field with --inference")
    counts = _thread_counts(threads, quick=quick)
    from starnet import bench as benchmark
    from starnet.bench.chart import check_plot
    from starnet.bench.report import write_json

    if plot is not None:
        check_plot()
    with _progress() as told:
        comparison = benchmark.compare(
            images[0] if images else None,
            operations=operations,
            sizes=sizes,
            quick=quick,
            threads=counts,
            command=command,
            progress=told,
        )
    benchmark.print_comparison(comparison)
    if json is not None:
        write_json(comparison, json)
    if plot is not None:
        benchmark.plot(comparison, plot)
    _fail_if(comparison.disagreements)


def _bench_networks(
    files: list[str],
    operations: list[str] | None,
    models: list[str],
    device: str,
    threads: str | None,
    json: Path | None,
    command: str,
    *,
    quick: bool,
) -> None:
    (count,) = _thread_counts(threads or "all", quick=quick)
    from starnet.bench.inference import infer
    from starnet.bench.inference_report import print_inference
    from starnet.bench.report import write_json

    with _progress() as told:
        found = infer(
            files, models=models, operations=operations, device=device, threads=count, quick=quick, command=command,
            progress=told,
        )  # fmt: skip
    print_inference(found)
    if json is not None:
        write_json(found, json)
    _fail_if(found.disagreements)


def _fail_if(disagreements: list[str]) -> None:
    for text in disagreements:
        print(f"starnet: error: {text}", file=sys.stderr)
    if disagreements:
        raise typer.Exit(1)


def _thread_counts(threads: str | None, *, quick: bool) -> list[int]:
    cores = os.cpu_count() or 1
    if threads is None:
        return [1] if quick or cores == 1 else [1, cores]
    if threads == "all":
        return [cores]
    if not threads.isdecimal() or not 1 <= int(threads) <= 1024:
        raise typer.BadParameter(f"'{threads}' is neither a number from 1 to 1024 nor 'all'.", param_hint="'--threads'")
    return [int(threads)]


@contextmanager
def _progress() -> Iterator[Callable[[str], None] | None]:
    """A line on a terminal that says what is being measured."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update
