"""`starnet info`: what StarNet makes of images, or the versions that a bug report wants."""

from __future__ import annotations

import json
import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starnet.cli import options

if TYPE_CHECKING:
    from starnet.io.planes import Plane
    from starnet.mosaic import Band, Mosaic

Images = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUTS",
        help="As for 'starnet segment'; without any, versions and cores are listed.",
        show_default=False,
    ),
]
JsonInfo = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of tables.")]


def info(inputs: Images = None, *, instrument: options.Instrument = None, json_: JsonInfo = False) -> None:
    """Show what StarNet makes of images: bands, weights, units, zero points, WCS, instrument."""
    if not inputs:
        facts = _environment()
        show = _print_environment
    else:
        from starnet.mosaic import Mosaic

        facts = _mosaic(Mosaic.open(inputs, instrument=instrument))
        show = _print_mosaic
    if json_:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        show(facts)


def _environment() -> dict[str, Any]:
    from importlib.metadata import requires, version

    base = [re.split(r"[^\w.-]", line)[0] for line in requires("starnet") or () if "extra ==" not in line]
    versions = {"starnet": version("starnet"), "python": platform.python_version()}
    return {
        "versions": versions | {name: version(name) for name in base},
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }


def _mosaic(mosaic: Mosaic) -> dict[str, Any]:
    ny, nx = mosaic.shape
    centre = None if mosaic.wcs is None else mosaic.wcs.pixel_to_world_values((nx - 1) / 2, (ny - 1) / 2)
    return {
        "shape": [ny, nx],
        "pixel_scale": mosaic.pixel_scale,
        "centre": None if centre is None else [float(angle) for angle in centre],
        "instrument": None if mosaic.instrument is None else mosaic.instrument.name,
        "bands": [_band(band) for band in mosaic.bands],
        "notes": mosaic.notes,
    }


def _band(band: Band) -> dict[str, Any]:
    weight, flags = band.weight_source, band.flags
    return {
        "filter": band.name,
        "file": str(band.path),
        "hdu": band.hdu,
        "type": _storage(band.science),
        "weight": None if weight is None else {"kind": weight.kind, "file": str(weight.path), "hdu": weight.hdu},
        "flags": None if flags is None else {"file": str(flags.plane.path), "hdu": flags.plane.hdu},
        "unit": None if band.unit is None else band.unit.to_string(),
        "zero_point": band.zero_point,
        "zero_point_source": band.zero_point_source,
        "saturation": band.saturation,
    }


def _storage(plane: Plane) -> str:
    """How the pixels are stored."""
    import numpy as np

    from starnet.io.planes import CompressedPlane, PackedPlane, RawPlane

    if isinstance(plane, RawPlane):
        return np.dtype(plane.dtype).name
    return {CompressedPlane: "tile-compressed", PackedPlane: "packed"}.get(type(plane), "picture")


def _print_environment(facts: dict[str, Any]) -> None:
    rows = facts["versions"] | {"system": facts["system"], "cores": facts["cores"]}
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")


def _print_mosaic(facts: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    ny, nx = facts["shape"]
    scale, centre = facts["pixel_scale"], facts["centre"]
    size = f"{nx} x {ny} pixels" + ("" if scale is None else f' of {scale:.4g}"')
    where = "no WCS" if centre is None else "centre at {:.6f}, {:+.6f} deg".format(*centre)
    instrument = facts["instrument"] or "no instrument known"
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # nothing to fold for
    console.print(f"{size}, {where}, {instrument}", markup=False, soft_wrap=True)

    table = Table(
        "Filter", "Image", "Type", "Weight", "Flags", "Unit", "AB zero point", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for band in facts["bands"]:
        weight, flags, zero_point = band["weight"], band["flags"], band["zero_point"]
        cells = (
            band["filter"],
            f"{Path(band['file']).name}[{band['hdu']}]",
            band["type"],
            "none" if weight is None else f"{weight['kind']}: {_companion(weight, band)}",
            "none" if flags is None else _companion(flags, band),
            band["unit"] or "unknown",
            "unknown" if zero_point is None else f"{zero_point:.3f} ({band['zero_point_source']})",
        )
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    console.print(table)
    for note in facts["notes"]:
        console.print(f"note: {note}", markup=False, soft_wrap=True)


def _companion(plane: dict[str, str], band: dict[str, Any]) -> str:
    """Where a weight map or quality plane lies; the file only where it is another one."""
    return ("" if plane["file"] == band["file"] else Path(plane["file"]).name) + f"[{plane['hdu']}]"
