"""`starnet export`: a network as a model bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from starnet.cli import options
from starnet.cli.progress import progress
from starnet.errors import StarnetError

if TYPE_CHECKING:
    from starnet.export.exporting import Exported
    from starnet.export.parity import Agreement

Precision = Literal["fp32", "fp16", "int8"]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="tiny, vit_b, vit_l, vit_h, or a file of weights (.safetensors, .pth).",
        show_default=False,
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="BUNDLE", help="Folder to write.", show_default=False)]
Chosen = Annotated[
    Precision, typer.Option(help="Of weights and arithmetic; what goes in and comes out is float32 in all of them.")
]
Opset = Annotated[int, typer.Option(metavar="N", help="Version of ONNX's operators.")]
Tiles = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="Image of one band of a field, once for each: sky to compare on, and for int8 to calibrate with.",
        show_default="simulated sky alone",
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Weights of a model that is named.", show_default="what starnet fetch left"),
]
LeastIou = Annotated[
    float | None,
    typer.Option(
        "--int8-iou",
        metavar="IOU",
        help="Least mean IoU of an int8 bundle's objects with the network's; it is 0.99 for the others.",
        show_default="0.9",
    ),
]
WithWeights = Annotated[
    bool, typer.Option("--with-weights", help="Put the weights for torch beside the graphs, in 16 bits, as do these.")
]
Licence = Annotated[
    str | None,
    typer.Option(metavar="SPDX", help="Of the weights, as bundle.json will say.", show_default="as their file says"),
]
Training = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONFIG.yaml",
        help="What `starnet train` made the weights from, to be kept in the bundle; may be repeated, in their order.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the bundle that is there.")]


def export(
    model: Model,
    *,
    output: Output,
    precision: Chosen = "fp32",
    opset: Opset = 18,
    tiles: Tiles = None,
    checkpoint: Checkpoint = None,
    int8_iou: LeastIou = None,
    with_weights: WithWeights = False,
    licence: Licence = None,
    training: Training = None,
    force: Force = False,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> None:
    """Write a network as a model bundle of ONNX graphs, which `segment --model BUNDLE` runs without torch.

    The bundle is compared with the network on tiles of sky. If it does not find the same objects with the same fluxes,
    nothing is left of it.
    """
    if int8_iou is not None and precision != "int8":
        raise StarnetError(f"--int8-iou is for --precision int8, and this is {precision}: leave it out")
    from starnet.export import require_onnx

    require_onnx()
    from starnet.export.exporting import export as write
    from starnet.export.parity import GATES, Gate

    gate = None
    if int8_iou is not None:
        if not 0 < int8_iou <= 1:
            raise StarnetError(f"--int8-iou {int8_iou}: must be above 0, and 1 at most")
        gate = Gate(int8_iou, GATES["int8"].flux)
    with progress(quiet=quiet, unit="steps") as callback:
        made = write(
            model, output, precision=precision, opset=opset, tiles=tiles or (), checkpoint=checkpoint,
            with_weights=with_weights, licence=licence, training=training or (), gate=gate, force=force,
            threads=threads, progress=callback,
        )  # fmt: skip
    _print_summary(made)


def _print_summary(made: Exported) -> None:
    sizes = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in made.files.items() if name != "bundle.json")
    tiles = ", ".join(f"{count} of {origin}" for origin, count in made.parity.tiles.items())
    print(f"{made.folder}: {made.precision}, opset {made.opset}")
    print(f"  files    {sizes}")
    print(f"  tiles    {tiles}")
    if made.parity.objects is not None:
        print(f"  objects  {_said(made.parity.objects)}")
    print(f"  masks    {_said(made.parity.masks)}")
    print(f"  seconds  {', '.join(f'{stage} {time:.0f}' for stage, time in made.seconds.items())}")


def _said(found: Agreement) -> str:
    return (
        f"{found.count}: IoU {found.iou_mean:.5f} in the mean, {found.iou_worst:.3f} at worst; flux differs by "
        f"{found.flux:.1e} in the mean, {found.flux_worst:.1e} at worst"
    )
