"""What a command says at its end, on stdout."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starnet.pipeline import PreprocessResult, SegmentResult


def print_json(result: SegmentResult | PreprocessResult) -> None:
    """Print the result as one JSON object."""
    print(json.dumps(dataclasses.asdict(result), default=str))


def print_run(result: SegmentResult) -> None:
    """Print the summary of a segmentation."""
    if result.was_finished:
        print(f"{result.n_sources} sources; the run was finished before")
    elif result.resumed_tiles:
        print(f"{result.n_sources} sources; {result.resumed_tiles} tiles were done before")
    else:
        print(f"{result.n_sources} sources")
    print_outputs(result.directory, result.outputs, result.seconds, result.peak_memory)


def print_outputs(directory: Path, outputs: Mapping[str, Path], seconds: Mapping[str, float], memory: int) -> None:
    """Print where the files are, and what they cost."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, path in outputs.items():
        table.add_row(name, str(path), style="default")
    total = sum(seconds.values())
    table.add_row("time", f"{total:.1f} s")
    table.add_row("memory", f"{memory / 2**20:.0f} MiB at most")
    Console(soft_wrap=True, highlight=False).print(table)


__all__: list[Any] = ["print_json", "print_outputs", "print_run"]
