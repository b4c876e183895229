"""Networks' figures as tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import IO

from rich import box
from rich.markup import escape
from rich.table import Table

from starnet.bench.arithmetic import FRACTION
from starnet.bench.end_to_end import EndToEnd, SepRun
from starnet.bench.inference import Inference
from starnet.bench.network_cases import COMPILED, EAGER, GENERATOR
from starnet.bench.race import Entry, Result
from starnet.bench.report import console_of, head, rate

_LEGEND = (
    "Outputs are compared before they are timed; ms: medians of rounds in one process, of a call on a window or "
    "all prompts.\nx: medians of the ratios of the same round, in parentheses those of CPU seconds, which other "
    "work on the machine does not touch.\n* another definition, compared in number of masks alone."
)
_PEERS = (EAGER, COMPILED, GENERATOR)


def print_inference(found: Inference, file: IO[str] | None = None) -> None:
    """Print all tables, and what was measured on."""
    console = console_of(file)
    for line in head(found):
        console.print(escape(line), soft_wrap=True)
    console.print(
        f"threads   {found.threads}: ONNX Runtime (within an operator; one operator at a time; threads sleep while "
        "they wait), torch and OpenMP, and 'starnet segment'",
        soft_wrap=True,
    )
    for name, device in found.devices.items():
        console.print(escape(f"device    {name}: {device}"), soft_wrap=True)
    if found.results:
        console.print(_parts(found.results))
        console.print(_LEGEND, markup=False, soft_wrap=True)
    for one in found.loads:
        console.print(
            f"load      {one.model}, {one.backend}: {one.seconds:.2f} s, {one.cpu:.2f} CPU s, its library imported",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    if found.runs:
        console.print("\nstarnet segment, FITS to FITS", markup=False)
        console.print(_runs(found.runs))
        if found.sep is not None:
            console.print(_beside_sep(found.runs, found.sep), markup=False, soft_wrap=True)
        for run in found.runs:
            console.print(_stages(run), markup=False, soft_wrap=True)
    if found.notes:
        console.print()
    for note in found.notes:
        console.print(note, markup=False, soft_wrap=True)
    if found.expected:
        console.print(
            f"\nBy arithmetic, not measured: operations and bytes in float16 over {FRACTION:g} of the published peaks "
            "(assumed), the longer of both; every operator reads and writes memory.",
            markup=False, soft_wrap=True,
        )  # fmt: skip
        console.print(_expected(found))


def _parts(results: Iterable[Result]) -> Table:
    table = _table("network and part", "window")
    for heading in ("ONNX Runtime ms", "Mpix/s", "prompts/s"):
        table.add_column(heading, justify="right")
    for peer in _PEERS:
        table.add_column(f"x {peer}", justify="right")
    table.add_column("extra MiB", justify="right")
    for result in results:
        peers = {entry.library: entry for entry in result.peers}
        ny, nx = result.case.pixels.shape[-2:]
        seconds = statistics.median(result.ours.rounds)
        prompts = result.case.prompts
        table.add_row(
            escape(result.case.name),
            f"{nx} x {ny}",
            rate(1e3 * seconds),
            rate(result.ours.rate),
            rate(prompts / seconds) if prompts else "",
            *(_ratio(result.ours, peers.get(peer)) for peer in _PEERS),
            "" if result.ours.extra_memory is None else f"{result.ours.extra_memory / 2**20:.0f}",
        )
        if result.disagreements:
            table.add_row("[bold red]DISAGREES[/]")
    return table


def _ratio(ours: Entry, peer: Entry | None) -> str:
    if peer is None or peer.ours_is_faster is None:
        return ""
    cpu = statistics.median(theirs / max(mine, 1e-9) for mine, theirs in zip(ours.cpu, peer.cpu, strict=True))
    return f"{rate(peer.ours_is_faster)}{'' if peer.ranked else '*'} ({rate(cpu)})"


def _runs(runs: Iterable[EndToEnd]) -> Table:
    table = _table("network", "run by", "device")
    for heading in ("Mpix/s", "seconds", "CPU s", "process s", "peak MiB", "tiles", "objects", "over its slowest"):
        table.add_column(heading, justify="right")
    for run in runs:
        table.add_row(
            escape(run.model), run.backend, escape(run.device.split(" ")[0]), rate(run.rate),
            f"{sum(run.seconds.values()):.1f}", f"{run.cpu:.1f}", f"{run.wall:.1f}",
            f"{run.peak_memory / 2**20:.0f}", str(run.tiles), str(run.sources), f"{run.overlap:.2f}",
        )  # fmt: skip
    return table


def _beside_sep(runs: Iterable[EndToEnd], sep: SepRun) -> str:
    times = ", ".join(f"{run.model} by {run.backend} {run.cpu / max(sep.cpu, 1e-9):.2f}" for run in runs)
    return (
        f"{sep.version}, files to labels: {sep.cpu:.1f} CPU s, {sep.sources} objects (background of each band, "
        "extraction with deblending; no catalog, no files, without the start of Python); its CPU seconds that a run "
        f"takes: {times}"
    )


def _stages(run: EndToEnd) -> str:
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in run.seconds.items())
    busy = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in run.busy.items())
    return f"{run.model}, {run.backend}, seconds: {stages}; busy at the same time: {busy}"


def _expected(found: Inference) -> Table:
    table = _table("network", "GPU", "window")
    for heading in ("GFLOP/window", "GB/window", "windows/s", "Mpix/s kept", "MFLOP/prompt", "prompts/s"):
        table.add_column(heading, justify="right")
    table.add_column("encoder waits for")
    for one in found.expected:
        table.add_row(
            one.network, one.gpu, f"{one.window[1]} x {one.window[0]}", rate(one.encoder.operations / 1e9),
            rate(one.encoder.traffic / 1e9), rate(one.windows_per_s), rate(one.mpix_per_s),
            rate(one.decoder.operations / 1e6), rate(one.prompts_per_s), one.bound_by,
        )  # fmt: skip
    return table


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    return table
