"""The comparison as a table, and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from starnet.atomic import replacing
from starnet.bench.comparison import Comparison
from starnet.bench.race import Entry, Result

if TYPE_CHECKING:
    from starnet.bench.inference import Inference

_WIDTH = 200  # where there is no terminal to fit into
_LEGEND = (
    "Mpix/s: medians of rounds in one process. x best, x scipy: medians of the ratios of the same round; of the peers "
    "of the same definition.\n"
    "~ timed on a crop, since it is slow, and scaled.  * another definition, not ranked.  = a bound, no peer.  "
    "¹ from the measurement on one thread, it has no more."
)


def write_json(comparison: Comparison | Inference, path: Path) -> None:
    """Write everything that was measured."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(comparison.document(), indent=1) + "\n", encoding="utf-8")


def print_comparison(comparison: Comparison, file: IO[str] | None = None) -> None:
    """Print the table, what was missing, and what was measured on."""
    console = console_of(file)
    for line in head(comparison):
        console.print(escape(line), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("operation")
    for heading in ("threads", "StarNet Mpix/s", "x best", "x scipy"):
        table.add_column(heading, justify="right")
    for heading in ("target", "met", "peers, Mpix/s"):
        table.add_column(heading)
    last = ""
    for result in comparison.results:
        if result.case.operation != last and last:
            table.add_section()
        last = result.case.operation
        table.add_row(*_row(comparison, result))
    console.print(table)
    console.print(_LEGEND, markup=False, soft_wrap=True)
    missed = [
        f"  {result.case.name}, {result.threads} thread{'s' if result.threads > 1 else ''}: "
        f"{ratio:.3g} instead of {target}"
        for result in comparison.results
        for target, ratio, met in comparison.judged(result)
        if not met
    ]
    judged = sum(len(comparison.judged(result)) for result in comparison.results)
    if judged:
        console.print(f"\ntargets met: {judged - len(missed)} of {judged}" + ("; missed:" if missed else ""))
    for line in missed:
        console.print(line, markup=False, soft_wrap=True)


def console_of(file: IO[str] | None) -> Console:
    """As wide as a terminal, or wide enough for the tables."""
    console = Console(file=file, highlight=False)
    return console if console.is_terminal else Console(file=file, highlight=False, width=_WIDTH)


def head(comparison: Comparison | Inference) -> list[str]:
    """What was measured, and on what."""
    machine, versions = comparison.machine, comparison.versions
    present = ", ".join(f"{name} {number}" for name, number in versions.items() if number is not None)
    absent = ", ".join(name for name, number in versions.items() if number is None)
    load = " ".join(str(value) for value in machine["load_average"])
    lines = [
        f"image     {comparison.image}",
        f"machine   {machine['cpu']}, {machine['cores']} cores, SIMD level {machine['simd']} (STARNET_SIMD), "
        f"{machine['system']}, Python {machine['python']}; load at the start {load}",
        f"versions  {present}",
        f"date      {comparison.date}",
        f"memory    {comparison.peak_memory / 2**20:.0f} MiB at most, the whole process",
    ]
    if absent:
        lines.insert(3, f"not installed  {absent} (pip install 'starnet[bench]' brings them)")
    if comparison.command:
        lines.insert(0, f"$ {comparison.command}")
    return lines


def _row(comparison: Comparison, result: Result) -> list[str]:
    best, judged = comparison.best(result), comparison.judged(result)
    scipy = comparison.ratio(result, "scipy")
    peers = [_peer(entry, result) for entry in _ordered(comparison, result)]
    if result.disagreements:
        peers.append("[bold red]DISAGREES[/]")
    return [
        escape(result.case.name),
        str(result.threads),
        rate(result.ours.rate),
        "" if best is None or best.ours_is_faster is None else rate(best.ours_is_faster),
        "" if scipy is None else rate(scipy),
        ", ".join(str(target) for target, _, _ in judged),
        ", ".join("[green]yes[/]" if met else f"[red]no: {rate(ratio)}[/]" for _, ratio, met in judged),
        "; ".join(peers),
    ]


def _ordered(comparison: Comparison, result: Result) -> list[Entry]:
    ranked = comparison.ranked(result)
    others = [entry for entry in result.peers if not entry.ranked]
    return sorted([*ranked, *others], key=lambda entry: -entry.rate)


def _peer(entry: Entry, result: Result) -> str:
    mark = "" if entry.crop is None else "~"
    if entry.agreement == "a bound":
        mark += "="
    elif not entry.ranked:
        mark += "*"
    if result.threads > 1 and entry.threads == 1:
        mark += "¹"
    name = entry.function if entry.library == "numpy" else entry.library
    return f"{escape(name)} {rate(entry.rate)}{mark}"


def rate(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
