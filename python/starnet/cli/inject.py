"""`starnet inject`: simulated sources into the user's mosaic, and out of it again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from starnet.cli import options
from starnet.cli.progress import progress
from starnet.cli.report import print_json, print_outputs
from starnet.cli.segment import (
    CentreThreshold,
    DeblendContrast,
    DeblendLevels,
    Flips,
    ForegroundThreshold,
    KernelFwhm,
    MinArea,
    Mode,
    Model,
    Recipe,
    Threshold,
    Tile,
    Valley,
)
from starnet.errors import StarnetError

if TYPE_CHECKING:
    from rich.table import Table

Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Directory, made if missing.", show_default=False)
]
Passes = Annotated[int, typer.Option(min=1, help="Images that are made, with other sources in each.")]
Density = Annotated[float, typer.Option(min=0.001, help="Sources in a million pixels, in each pass.")]
MagRange = Annotated[
    str | None,
    typer.Option(
        metavar="BRIGHT:FAINT",
        help="AB magnitudes of the sources in the reference band.",
        show_default="around the magnitude of 5 sigma",
    ),
]
Magnitudes = Annotated[
    Literal["flat", "counts"],
    typer.Option(help="'flat': as many sources at each magnitude; 'counts': as many as the preset's sky has."),
]
ReferenceBand = Annotated[
    str | None, typer.Option("--band", help="Band whose magnitudes are counted.", show_default="the first")
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME|FILE.yaml",
        help="Survey whose sources and optics are painted; 'starnet simulate --list' names them.",
        show_default="the one with these bands and the most similar pixels",
    ),
]
PixelScale = Annotated[
    float | None, typer.Option(min=1e-4, metavar="ARCSEC", help="Side of a pixel.", show_default="from the WCS")
]
ZeroPoint = Annotated[
    list[str] | None,
    typer.Option(
        metavar="BAND=MAG", help="AB magnitude of one image unit; may be repeated.", show_default="from the headers"
    ),
]
Psf = Annotated[
    list[str] | None,
    typer.Option(
        metavar="BAND=FILE.fits",
        help="Image of a band's point-spread function at the mosaic's pixel scale; may be repeated.",
        show_default="the preset's optics",
    ),
]
Gain = Annotated[
    list[str] | None,
    typer.Option(
        metavar="BAND=ELECTRONS",
        help="Photo-electrons of one image unit: sources then bring the noise of their photons; may be repeated.",
        show_default="no such noise",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed paints the same sources.")]
Resamples = Annotated[int, typer.Option(min=1, help="Draws of the bootstrap.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the images with the injected sources.")]


def inject(
    inputs: options.Inputs,
    output: Output,
    *,
    passes: Passes = 20,
    density: Density = 50.0,
    mag_range: MagRange = None,
    magnitudes: Magnitudes = "flat",
    band: ReferenceBand = None,
    preset: PresetName = None,
    pixel_scale: PixelScale = None,
    zero_point: ZeroPoint = None,
    psf: Psf = None,
    gain: Gain = None,
    seed: Seed = 1,
    resamples: Resamples = 200,
    keep: Keep = False,
    model: Model = "tiny",
    mode: Mode = "tiled",
    tile: Tile = None,
    recipe: Recipe = None,
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
    foreground_threshold: ForegroundThreshold = None,
    centre_threshold: CentreThreshold = None,
    valley: Valley = None,
    flips: Flips = None,
) -> None:
    """Paint simulated sources into a mosaic, segment it, and say which are found and how well they are measured.

    Writes a table of the sources, the figures and a page with plots into DIR. A call that was stopped goes on with the
    same command; with more --passes the finished ones are kept.
    """
    from starnet.inject import inject as paint

    parameters = options.given(
        threshold=threshold,
        min_area=min_area,
        kernel_fwhm=kernel_fwhm,
        deblend_levels=deblend_levels,
        deblend_contrast=deblend_contrast,
        foreground_threshold=foreground_threshold,
        centre_threshold=centre_threshold,
        valley=valley,
        flips=flips,
    )
    with progress(quiet=quiet) as callback:
        result = paint(
            inputs,
            output,
            passes=passes,
            density=density,
            mag_range=_range(mag_range),
            magnitudes=magnitudes,
            band=band,
            preset=preset,
            pixel_scale=pixel_scale,
            zero_points=_numbers("--zero-point", zero_point),
            psf=_by_band("--psf", psf),
            gain=_numbers("--gain", gain),
            seed=seed,
            resamples=resamples,
            keep=keep,
            overwrite=overwrite,
            instrument=instrument,
            weights=options.chosen_weights(weights),
            progress=callback,
            model=model,
            mode=mode,
            tile=tile,
            recipe=recipe,
            threads=threads,
            memory=memory,
            **parameters,
        )
    if json:
        print_json(result)
        return
    _print(result.summary)
    print_outputs(result.outputs, result.seconds, result.peak_memory)


def _range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?):(-?\d+(?:\.\d+)?)", text.strip())
    if match is None:
        raise StarnetError(f"--mag-range {text} is no range: write the brighter magnitude first, as in 22:29.5")
    return float(match[1]), float(match[2])


def _by_band(option: str, texts: list[str] | None) -> dict[str, str]:
    found = {}
    for text in texts or ():
        band, _, value = text.partition("=")
        if not value:
            raise StarnetError(f"{option} {text} names no band: write BAND={text}")
        found[band] = value
    return found


def _numbers(option: str, texts: list[str] | None) -> dict[str, float]:
    found = {}
    for band, value in _by_band(option, texts).items():
        try:
            found[band] = float(value)
        except ValueError:
            raise StarnetError(f"{option} {band}={value}: write a number after the band") from None
    return found


def _print(summary: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from starnet.inject.report import figures

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # nothing to fold for
    table = Table("", "value", box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    for name, value in figures(summary).items():
        table.add_row(name, value)
    console.print(table)
    console.print(_bins(f"true {summary['band']}", summary["bins"]["mag"]))
    for note in summary["notes"]:
        console.print(f"note: {note}", markup=False, soft_wrap=True)


def _bins(name: str, bins: list[dict[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    from starnet.inject.report import bin_rows

    head, rows = bin_rows(bins)
    table = Table(name, *head, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    return table
