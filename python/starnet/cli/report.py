"""What a command says at its end, on stdout."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from starnet.inject import InjectResult
    from starnet.pipeline import PreprocessResult, SegmentResult
    from starnet.simulate import SimulateResult


def print_json(result: SegmentResult | PreprocessResult | SimulateResult | InjectResult) -> None:
    """Print the result as one JSON object."""
    print(json.dumps(dataclasses.asdict(result), default=str))


def print_run(result: SegmentResult) -> None:
    """Print the summary of a segmentation."""
    ny, nx = result.run["shape"]
    _print(f"[bold]{result.n_sources} sources[/] in {nx} x {ny} pixels{_history(result)}")
    print_outputs(result.outputs, result.seconds, result.peak_memory, pixels=ny * nx)
    for note in result.notes:
        _print(f"  [yellow]note[/]  {escape(note)}")


def print_outputs(outputs: Mapping[str, Path], seconds: Mapping[str, float], memory: int, *, pixels: int = 0) -> None:
    """Print where the files are, and what they cost."""
    total = sum(seconds.values())
    rate = f", {pixels / 1e6 / total:.2f} Mpix/s" if pixels and total else ""
    rows = {
        "time": f"{total:.1f} s{rate}",
        "memory": f"{memory / 2**20:.0f} MiB at most",
        **{kind: str(path) for kind, path in outputs.items()},
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        _print(f"  [dim]{name:<{width}}[/]  {escape(value)}")


def _print(line: str) -> None:
    # Never folded: a path is of use only whole.
    Console(highlight=False).print(line, soft_wrap=True)


def _history(result: SegmentResult) -> str:
    if result.was_finished:
        return "; this run was finished before"
    if result.resumed_tiles:
        return f"; {result.resumed_tiles} tiles were done before"
    return ""
