"""`starnet segment`: FITS bands in, segmentation map and catalog out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from starnet.cli import options
from starnet.cli.progress import progress
from starnet.cli.report import print_json, print_run

Output = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="RUN", help="Run directory, made if missing.", show_default=False),
]
Model = Annotated[str, typer.Option(help="Segmentation model: 'classical' detects and deblends with sep.")]
Mode = Annotated[
    options.Mode,
    typer.Option(help="'tiled' works tile by tile and can be resumed; 'direct' holds the whole image. Same result."),
]


def _classical(**settings: Any) -> Any:
    return typer.Option(rich_help_panel="Model 'classical'", **settings)


# These are passed on only where they are given: the defaults live in the model, and are here for the help alone.
Threshold = Annotated[
    float | None,
    _classical(
        min=0, help="Detection threshold on the matched-filtered image, in sigma of its noise.", show_default="3"
    ),
]
MinArea = Annotated[int | None, _classical(min=1, help="Fewest pixels of a source.", show_default="8")]
KernelFwhm = Annotated[
    float | None, _classical(min=0, help="FWHM of the matched filter's Gaussian, in pixels.", show_default="2.5")
]
DeblendLevels = Annotated[
    int | None,
    _classical(min=1, help="Levels between threshold and peak at which blends are looked for.", show_default="64"),
]
DeblendContrast = Annotated[
    float | None,
    _classical(
        min=0,
        max=1,
        help="Least part of a blend's flux that is split off as a source; 1 splits nothing.",
        show_default="0.0005",
    ),
]


def segment(
    inputs: options.Inputs,
    output: Output,
    *,
    model: Model = "classical",
    mode: Mode = "tiled",
    tile: options.Tile = 682,
    recipe: options.Recipe = "noise",
    instrument: options.Instrument = None,
    weights: options.Weights = None,
    threads: options.Threads = None,
    memory: options.Memory = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    threshold: Threshold = None,
    min_area: MinArea = None,
    kernel_fwhm: KernelFwhm = None,
    deblend_levels: DeblendLevels = None,
    deblend_contrast: DeblendContrast = None,
) -> None:
    """Detect and measure the sources of a mosaic.

    Writes a segmentation map with WCS and a flux catalog into RUN. A run that was stopped goes on with the same
    command.
    """
    from starnet import pipeline

    parameters = options.given(
        threshold=threshold,
        min_area=min_area,
        kernel_fwhm=kernel_fwhm,
        deblend_levels=deblend_levels,
        deblend_contrast=deblend_contrast,
    )
    with progress(quiet=quiet) as callback:
        result = pipeline.segment(
            inputs,
            output,
            model=model,
            mode=mode,
            tile=tile,
            recipe=recipe,
            instrument=instrument,
            weights=options.chosen_weights(weights),
            threads=threads,
            memory=memory,
            overwrite=overwrite,
            progress=callback,
            **parameters,
        )
    if json:
        print_json(result)
    else:
        print_run(result)
