"""`starnet segment` as a whole: FITS files in, FITS files out, in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starnet.errors import StarnetError
from starnet.mosaic import Mosaic


@dataclass(frozen=True)
class EndToEnd:
    """What one run took.

    Attributes
    ----------
    model, backend : str
        What was run, by what.
    device : str
        What it really ran on.
    pixels : int
        Of the mosaic; a pixel of three bands counts once.
    tiles, sources : int
        How many there were.
    wall, cpu : float
        Seconds of the process from its start to its end, and CPU seconds of all its threads.
    seconds : dict of str to float
        Stage by stage, one after the other: they add up to the run without the start of Python.
    busy : dict of str to float
        Seconds in which each of the overlapping stages of `segment` or `masks` had work.
    peak_memory : int
        Largest resident memory in bytes.
    """

    model: str
    backend: str
    device: str
    pixels: int
    tiles: int
    sources: int
    wall: float
    cpu: float
    seconds: dict[str, float]
    busy: dict[str, float]
    peak_memory: int

    @property
    def rate(self) -> float:
        """Mpix/s of the run, reading and writing included, without the start of Python."""
        return self.pixels / sum(self.seconds.values()) / 1e6

    @property
    def overlap(self) -> float:
        """Time of the stages that overlap, over that of the slowest of them: 1 where it alone counts."""
        tiled = self.seconds.get("masks", 0.0) + self.seconds.get("segment", 0.0)
        return tiled / max(max(self.busy.values(), default=0.0), 1e-9)


def run_segment(
    files: Sequence[str], model: Path, output: Path, *, name: str, backend: str, device: str, threads: int
) -> EndToEnd:
    """Runs `starnet segment`.

    Raises
    ------
    StarnetError
        If it fails; says what it said.
    """
    command = [
        sys.executable, "-m", "starnet", "segment", *files, "--output", str(output), "--model", str(model),
        "--device", device, "--threads", str(threads), "--json", "--quiet",
    ]  # fmt: skip
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise StarnetError(f"starnet segment of {name} failed: {said[-1] if said else f'exit {done.returncode}'}")
    run: dict[str, Any] = json.loads((output / "run.json").read_text(encoding="utf-8"))
    ny, nx = Mosaic.open(files).shape
    return EndToEnd(
        name,
        backend,
        run["network"]["device"],
        ny * nx,
        run["tiles"],
        run["sources"],
        wall,
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        run["seconds"],
        run["busy"],
        run["peak_memory"],
    )
