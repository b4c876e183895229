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
Model = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE|FOLDER",
        help="'tiny' is our own network, which comes with the package; 'classical' detects and deblends with sep; "
        "'vit_b', 'vit_l' and 'vit_h' are SAM's networks; or a network's own file (.safetensors, .pth), or the folder "
        "of a bundle.",
    ),
]
Mode = Annotated[
    options.Mode,
    typer.Option(
        help="'tiled' works tile by tile and can be resumed; 'direct' takes the whole image at once. Same result, but "
        "for SAM's ViTs, which scale what they see to 1024 pixels."
    ),
]
Tile = Annotated[int | None, typer.Option(min=1, help="Side of a tile, in pixels.", show_default="suits the model")]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="Preprocessing: 'noise', 'seed', or the recipe.yaml of an earlier run.", show_default="the model's own"
    ),
]
# These are passed on only where they are given: the defaults live in the models, and are here for the help alone.
MinArea = Annotated[int | None, typer.Option(min=1, help="Fewest pixels of a source.", show_default="8")]
KernelFwhm = Annotated[
    float | None,
    typer.Option(min=0, help="FWHM in pixels of the detection image's matched filter, a Gaussian.", show_default="2.5"),
]


def _classical(**settings: Any) -> Any:
    return typer.Option(rich_help_panel="Model 'classical'", **settings)


def _network(**settings: Any) -> Any:
    return typer.Option(rich_help_panel="Networks", **settings)


def _head(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Networks with an instance head (--prompts head)", **settings)


def _masks(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Networks with prompts", **settings)


Threshold = Annotated[
    float | None,
    _classical(
        min=0, help="Detection threshold on the matched-filtered image, in sigma of its noise.", show_default="3"
    ),
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
Prompts = Annotated[
    str | None,
    _network(
        metavar="NAME|TABLE",
        help="'head': the instance head's own objects; 'grid', 'peaks', 'centres': a mask for each of these points; or "
        "a table of positions (RA/Dec or x/y), boxes or clicks.",
        show_default="head if there is one, else peaks",
    ),
]
Checkpoint = Annotated[
    Path | None,
    _network(
        metavar="FILE|NAME",
        help="Weights of the model, as torch reads them.",
        show_default="those that come with the package, else what 'starnet fetch' left",
    ),
]
Device = Annotated[
    str,
    _network(
        help="'cpu', 'cuda', 'cuda:1', or 'auto': a GPU where there is one. Bundles take several: 'cuda:0,cuda:1'."
    ),
]
Embeddings = Annotated[
    Path | None,
    _network(metavar="FOLDER", help="Keep what the encoder made, for later runs on these pixels.", show_default="no"),
]
ForegroundThreshold = Annotated[
    float | None, _head(min=0, max=1, help="Probability that makes a pixel part of a source.", show_default="0.4")
]
CentreThreshold = Annotated[
    float | None, _head(min=0, max=1, help="Least height of a source's centre in a blend.", show_default="0.3")
]
Valley = Annotated[
    float | None,
    _head(
        min=0,
        max=1,
        help="Centres are of one source if the distance map between them stays above this part of the lower summit.",
        show_default="0.75",
    ),
]
Flips = Annotated[
    bool | None,
    _head(
        "--flips",
        help="Mean of the maps over eight flips and turns, for eight times the network's time.",
        show_default="no",
    ),
]
SeedDistance = Annotated[int | None, _head(min=1, help="Pixels that centres lie apart.", show_default="1")]
GridSpacing = Annotated[int | None, _masks(min=1, help="Pixels between the points of 'grid'.", show_default="16")]
PeakThreshold = Annotated[
    float | None, _masks(min=0, help="Detection threshold of 'peaks', in sigma.", show_default="3")
]
PeakBoxes = Annotated[
    bool | None, _masks("--peak-boxes", help="Bounding boxes of what is detected go with 'peaks'.", show_default="no")
]
MaxArea = Annotated[int | None, _masks(min=1, help="Most pixels of a mask.", show_default="no limit")]
PredIouThreshold = Annotated[
    float | None,
    _masks(
        min=0,
        max=1,
        help="Least IoU that the network expects of its own mask.",
        show_default="SAM's, 0.88; of tiny 0.55; 0 for a table",
    ),
]
StabilityThreshold = Annotated[
    float | None,
    _masks(
        min=0,
        max=1,
        help="Least IoU of the mask cut at two levels.",
        show_default="SAM's, 0.95; of tiny 0; 0 for a table",
    ),
]
StabilityOffset = Annotated[
    float | None, _masks(min=0, help="Those levels, above and below that of the mask.", show_default="1")
]
MaxOverlap = Annotated[
    float | None,
    _masks(min=0, max=1, help="IoU above which the worse of two masks is dropped.", show_default="0.7"),
]


def segment(
    inputs: options.Inputs,
    output: Output,
    *,
    model: Model = "tiny",
    mode: Mode = "tiled",
    tile: Tile = None,
    recipe: Recipe = None,
    instrument: options.Instrument = None,
    weights: options.Weights = None,
    threads: options.Threads = None,
    memory: options.Memory = None,
    min_area: MinArea = None,
    kernel_fwhm: KernelFwhm = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    threshold: Threshold = None,
    deblend_levels: DeblendLevels = None,
    deblend_contrast: DeblendContrast = None,
    prompts: Prompts = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    embeddings: Embeddings = None,
    foreground_threshold: ForegroundThreshold = None,
    centre_threshold: CentreThreshold = None,
    seed_distance: SeedDistance = None,
    valley: Valley = None,
    flips: Flips = None,
    grid_spacing: GridSpacing = None,
    peak_threshold: PeakThreshold = None,
    peak_boxes: PeakBoxes = None,
    pred_iou_threshold: PredIouThreshold = None,
    stability_threshold: StabilityThreshold = None,
    stability_offset: StabilityOffset = None,
    max_overlap: MaxOverlap = None,
    max_area: MaxArea = None,
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
        foreground_threshold=foreground_threshold,
        centre_threshold=centre_threshold,
        seed_distance=seed_distance,
        valley=valley,
        flips=flips,
        grid_spacing=grid_spacing,
        peak_threshold=peak_threshold,
        peak_boxes=peak_boxes,
        pred_iou_threshold=pred_iou_threshold,
        stability_threshold=stability_threshold,
        stability_offset=stability_offset,
        max_overlap=max_overlap,
        max_area=max_area,
    )
    with progress(quiet=quiet) as callback:
        result = pipeline.segment(
            inputs,
            output,
            model=model,
            checkpoint=checkpoint,
            prompts=prompts,
            mode=mode,
            tile=tile,
            recipe=recipe,
            instrument=instrument,
            weights=options.chosen_weights(weights),
            device=device,
            embeddings=embeddings,
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
