"""`starnet preprocess`: the images as a model sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starnet.cli import options
from starnet.cli.progress import progress
from starnet.cli.report import print_json, print_outputs

Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Directory for the images.", show_default=False)
]
Tiles = Annotated[bool, typer.Option("--tiles", help="Write 8-bit RGB tiles of --tile pixels, too.")]


def preprocess(
    inputs: options.Inputs,
    output: Output,
    *,
    recipe: options.Recipe = "noise",
    tiles: Tiles = False,
    tile: options.Tile = 682,
    instrument: options.Instrument = None,
    weights: options.Weights = None,
    threads: options.Threads = None,
    memory: options.Memory = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit a recipe to a mosaic and write the preprocessed images and the fitted recipe into DIR."""
    from starnet import pipeline

    with progress(quiet=quiet) as callback:
        result = pipeline.preprocess(
            inputs,
            output,
            recipe=recipe,
            instrument=instrument,
            weights=options.chosen_weights(weights),
            tile=tile,
            tiles=tiles,
            threads=threads,
            memory=memory,
            overwrite=overwrite,
            progress=callback,
        )
    if json:
        print_json(result)
    else:
        print_outputs(result.outputs, result.seconds, result.peak_memory)
