"""The options that several commands share, each described once."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import typer

_UNITS = {"": 1, "B": 1} | {
    f"{prefix}{suffix}": base**power
    for power, prefix in enumerate("KMGT", 1)
    for suffix, base in (("B", 1000), ("IB", 1024))
}


def parse_memory(text: str) -> int:
    """Bytes of an amount such as ``4GiB`` or ``500MB``."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", text.strip())
    if match is None or match[2].upper() not in _UNITS or float(match[1]) == 0:
        raise typer.BadParameter(f"'{text}' is no amount of memory; write it as 4GiB, 500MB or a number of bytes.")
    return int(float(match[1]) * _UNITS[match[2].upper()])


Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUTS",
        help="Images of one field on one pixel grid, one band each: FITS (plain or compressed), TIFF, PNG or JPEG. "
        "FILE[EXT] names one HDU, NAME=FILE its filter.",
        show_default=False,
    ),
]
Instrument = Annotated[
    str | None,
    typer.Option(help="Instrument whose bands, zero points and flag bits to assume.", show_default="from the headers"),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND=FILE[HDU]",
        help="Weight map of a band, once for each, in their order; KIND is weight, ivar, err or var, 'none' is a band "
        "without. A single 'none' leaves all weight maps out.",
        show_default="looked for in the file and beside it",
    ),
]
Recipe = Annotated[str, typer.Option(help="Preprocessing: 'noise', 'seed', or the recipe.yaml of an earlier run.")]
Tile = Annotated[int, typer.Option(min=1, help="Side of a tile, in pixels.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads, for everything together.", show_default="all cores")]
Memory = Annotated[
    int | None,
    typer.Option(
        parser=parse_memory,
        metavar="SIZE",
        help="Memory to stay under: 4GiB, 500MB or a number of bytes.",
        show_default="no limit",
    ),
]


def chosen_weights(weights: list[str] | None) -> list[str | None] | str | None:
    """What ``--weights`` means to `starnet.mosaic.Mosaic.open`."""
    if not weights or weights == ["none"]:
        return "none" if weights else None
    return [None if one == "none" else one for one in weights]


def given(**parameters: Any) -> dict[str, Any]:
    """Parameters of a model that were given; the others are the model's to choose."""
    return {name: value for name, value in parameters.items() if value is not None}


Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is in the output directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of the summary.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Mode = Literal["tiled", "direct"]
