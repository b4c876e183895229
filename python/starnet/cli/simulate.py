"""`starnet simulate`: a survey field with exact truth."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starnet.cli import options
from starnet.cli.progress import progress
from starnet.cli.report import print_json, print_outputs
from starnet.errors import StarnetError

if TYPE_CHECKING:
    from starnet.simulate import Preset


def _size(text: str) -> tuple[int, int]:
    """``(ny, nx)`` of ``2048`` or ``4096x2048`` (width x height)."""
    match = re.fullmatch(r"([1-9]\d*)(?:[xX]([1-9]\d*))?", text.strip())
    if match is None:
        raise StarnetError(f"--size {text} is no size: write 2048, or 4096x2048 for width x height")
    return int(match[2] or match[1]), int(match[1])


Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="Directory for the field, made if missing.", show_default=False),
]
PresetName = Annotated[
    str, typer.Option("--preset", metavar="NAME|FILE.yaml", help="Survey to imitate; --list names them.")
]
Size = Annotated[str, typer.Option(metavar="N|NXxNY", help="Side, or width x height, in pixels.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed makes the same bytes.")]
Bands = Annotated[
    str | None,
    typer.Option(metavar="BAND,...", help="Bands to make, by their names.", show_default="all of the preset"),
]
Psf = Annotated[
    list[str] | None,
    typer.Option(
        metavar="BAND=FILE.fits",
        help="Image of a band's point-spread function at the mosaic's pixel scale; may be repeated.",
        show_default=False,
    ),
]
Stamps = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="A GalSim RealGalaxyCatalog: real galaxies in the place of some of the analytic ones.",
        show_default=False,
    ),
]
Clean = Annotated[
    bool, typer.Option("--clean", help="Sources and noise alone: flat sky, no gaps, saturation or other artefacts.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="all cores")]
List = Annotated[bool, typer.Option("--list", help="List the presets and stop.")]
Show = Annotated[bool, typer.Option("--show", help="Print the preset as YAML, to be changed and given back, and stop.")]


def simulate(
    output: Output = None,
    *,
    preset: PresetName = "candels-deep",
    size: Size = "2048",
    seed: Seed = 1,
    bands: Bands = None,
    psf: Psf = None,
    stamps: Stamps = None,
    clean: Clean = False,
    workers: Workers = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    list_: List = False,
    show: Show = False,
) -> None:
    """Simulate a field of a survey, with exact truth.

    Writes images and weight maps of every band, a label map, a table and overlapping full masks (COCO) into DIR.
    """
    import os

    from starnet import simulate as sky

    if list_:
        _print_presets()
        return
    chosen = _chosen(preset, bands, psf)
    if clean:
        chosen = sky.without_artefacts(chosen)
    if show:
        print(sky.to_yaml(chosen), end="")
        return
    if output is None:
        raise StarnetError("nowhere to write to: name a directory with -o DIR")
    field = sky.Field(chosen, _size(size), seed, stamps)
    with progress(quiet=quiet) as callback:
        workers = workers or os.cpu_count() or 1
        result = sky.write(field, output, workers=workers, overwrite=overwrite, progress=callback)
    if json:
        print_json(result)
    else:
        print_outputs(result.outputs, result.seconds, result.peak_memory, pixels=field.whole.size)


def _chosen(name: str, bands: str | None, psf: list[str] | None) -> Preset:
    """The preset, with what the command line changes of it."""
    from starnet.simulate import load_preset

    chosen = load_preset(name)
    if bands is not None:
        chosen = chosen.select(tuple(word.strip() for word in bands.split(",")))
    for text in psf or ():
        band, _, path = text.partition("=")
        if not path:
            raise StarnetError(f"--psf {text} names no band: write BAND={text}")
        chosen.select((band,))
        if not Path(path).is_file():
            raise StarnetError(f"{path}, the point-spread function of {band}, is not there: name a FITS file")
        chosen = dataclasses.replace(
            chosen,
            bands=tuple(
                dataclasses.replace(one, psf=str(Path(path).resolve())) if one.name == band else one
                for one in chosen.bands
            ),
        )
    return chosen


def _print_presets() -> None:
    from rich.console import Console
    from rich.table import Table

    from starnet.simulate import PRESETS

    table = Table("Preset", "Survey", "Bands", "Pixel", box=None)
    for preset in PRESETS.values():
        table.add_row(
            preset.name, preset.title, " ".join(band.name for band in preset.bands), f'{preset.pixel_scale:g}"'
        )
    Console().print(table)
