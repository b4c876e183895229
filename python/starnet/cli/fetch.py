"""`starnet fetch`: published weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from starnet.cli import options
from starnet.cli.progress import progress
from starnet.errors import StarnetError

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...", help="Weights to download, such as sam-vit-b; --list names them.", show_default=False
    ),
]
List = Annotated[bool, typer.Option("--list", help="List the weights and which of them are there, and stop.")]
Folder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where to put the files, made if missing.",
        show_default="$STARNET_CACHE, else starnet in the user's folder for caches",
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Another address of the file, whose checksum must be the same.",
        show_default="in $STARNET_MIRROR, else its makers'",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Download again what is there, and replace it.")]


def fetch(
    names: Names = None,
    *,
    list_: List = False,
    folder: Folder = None,
    url: Url = None,
    force: Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Download published weights, for `segment --model vit_b` and its like.

    Prints where the files are. An interrupted download goes on where it stopped; what is there already is checked.
    """
    from starnet import weights

    if list_:
        _print_list(weights.cache_folder() if folder is None else folder)
        return
    if not names:
        raise StarnetError(f"nothing to fetch: name weights ({', '.join(weights.KNOWN)}), or give --list")
    if url is not None and len(names) > 1:
        raise StarnetError("--url is the address of one file: name one, or set STARNET_MIRROR to the folder of all")
    for name in names:
        if name not in weights.KNOWN and name not in weights.EMBEDDED:
            raise StarnetError(f"there are no known weights '{name}': choose {', '.join(weights.KNOWN)}")
    for name in names:
        if name in weights.EMBEDDED:
            print(f"{name} comes with the package, there is nothing to fetch:", file=sys.stderr)
        with progress(quiet=quiet, unit="MB") as callback:
            path = weights.fetch(name, folder, url=url, replace=force, progress=callback)
        print(path)


def _print_list(folder: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from starnet import weights

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # nothing to fold for
    table = Table("name", "--model", "size", "licence", "state", "file", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[2].justify = "right"
    for name in weights.EMBEDDED:
        about = json.loads((weights.EMBEDDED[name] / "bundle.json").read_text(encoding="utf-8"))
        size = sum(file["bytes"] for file in about["files"].values())
        table.add_row(name, name, f"{size / 1e6:.0f} MB", about["licence"], "comes with the package", "")
    for name, known in weights.KNOWN.items():
        found = weights.state(known, folder)
        table.add_row(name, known.network, f"{known.size / 1e6:.0f} MB", known.licence, found, known.file_name)
    console.print(table)
    console.print(f"in {folder}", markup=False, soft_wrap=True)
