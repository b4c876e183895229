"""`starnet segment` as a whole, FITS to FITS, the loading of its model, and `sep` on the same files.

Each in a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from starnet.compare.images import detection_image
from starnet.compare.methods import Sep, sep_background
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


@dataclass(frozen=True)
class Loading:
    """What it took to have a network ready, its library imported; medians.

    Attributes
    ----------
    model, backend : str
        What was loaded, by what.
    seconds, cpu : float
        Of time, and of all threads.
    """

    model: str
    backend: str
    seconds: float
    cpu: float


_LOAD = """
import sys, time
import starnet.pipeline
from starnet.models import NetworkOptions, open_backend
start, cpu = time.perf_counter(), time.process_time()
open_backend(sys.argv[1], NetworkOptions(device=sys.argv[2], threads=int(sys.argv[3])))
print(time.perf_counter() - start, time.process_time() - cpu)
"""


def load(model: Path, *, name: str, backend: str, device: str, threads: int, rounds: int) -> Loading:
    """Opens a bundle, or a file of weights, in processes that have not yet.

    Raises
    ------
    StarnetError
        If it cannot be loaded.
    """
    command = [sys.executable, "-c", _LOAD, str(model), device, str(threads)]
    times = []
    for _ in range(rounds):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StarnetError(f"{name} could not be loaded: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        times.append([float(word) for word in done.stdout.split()])
    seconds, cpu = (median(column) for column in zip(*times, strict=True))
    return Loading(name, backend, seconds, cpu)


@dataclass(frozen=True)
class SepRun:
    """What `sep` took to find the same field's objects.

    Attributes
    ----------
    version : str
        Of `sep`.
    sources : int
        How many it found.
    cpu : float
        CPU seconds of reading, background and extraction, without the start of Python.
    """

    version: str
    sources: int
    cpu: float


def run_sep(files: Sequence[str]) -> SepRun:
    """Runs `sep` as its users do: the background of each band, one detection image, extraction with deblending.

    There is no catalog beyond what the extraction measures, and nothing is written.

    Raises
    ------
    StarnetError
        If it fails; says what it said.
    """
    code = "from starnet.bench.end_to_end import find_with_sep; find_with_sep()"
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise StarnetError(f"sep failed: {said[-1] if said else f'exit {done.returncode}'}")
    return SepRun(**json.loads(done.stdout))


def find_with_sep() -> None:
    """Prints a `SepRun` of the files in the command line as JSON."""
    sep = Sep()
    start = time.process_time()
    prepared = detection_image(Mosaic.open(sys.argv[1:]), sep_background)
    labels = sep.label(prepared, sep.defaults)
    cpu = time.process_time() - start
    print(json.dumps({"version": sep.version, "sources": int(labels.max(initial=0)), "cpu": cpu}))


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
