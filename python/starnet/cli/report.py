"""What a command says at its end, on stdout."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starnet.pipeline import PreprocessResult, SegmentResult


def print_json(result: SegmentResult | PreprocessResult) -> None:
    """Print the result as one JSON object."""
    print(json.dumps(dataclasses.asdict(result), default=str))


def print_run(result: SegmentResult) -> None:
    """Print the summary of a segmentation."""
    ny, nx = result.run["shape"]
    print(f"{result.n_sources} sources in {nx} x {ny} pixels{_history(result)}")
    print_outputs(result.outputs, result.seconds, result.peak_memory, pixels=ny * nx)


def print_outputs(outputs: Mapping[str, Path], seconds: Mapping[str, float], memory: int, *, pixels: int = 0) -> None:
    """Print where the files are, and what they cost."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    total = sum(seconds.values())
    rate = f", {pixels / 1e6 / total:.2f} Mpix/s" if pixels and total else ""
    table.add_row("time", f"{total:.1f} s{rate}")
    table.add_row("memory", f"{memory / 2**20:.0f} MiB at most")
    for kind, path in outputs.items():
        table.add_row(kind, str(path))
    console = Console(highlight=False, soft_wrap=True)
    # A path is of use only whole: the table may be wider than the terminal.
    console.print(Padding(table, (0, 2)), width=max(console.width, 32 + max(len(str(p)) for p in outputs.values())))


def _history(result: SegmentResult) -> str:
    if result.was_finished:
        return "; this run was finished before"
    if result.resumed_tiles:
        return f"; {result.resumed_tiles} tiles were done before"
    return ""
