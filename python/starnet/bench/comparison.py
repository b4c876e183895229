"""All cases, one after the other, and whether targets are met."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starnet.bench import peers, scene
from starnet.bench.cases import Case, Target
from starnet.bench.chain import chain_cases
from starnet.bench.files_and_tiles import fits_cases, tile_cases
from starnet.bench.machine import machine
from starnet.bench.medians import QUICK_SIZES, SIZES, WINDOWS, medians, rolling
from starnet.bench.objects import catalog_cases, label_cases, watershed_cases
from starnet.bench.pixelwise import background_cases, normalize_cases, percentile_cases, stack_cases
from starnet.bench.race import FULL, QUICK, Entry, Result, measure
from starnet.bench.scene import Scene
from starnet.errors import StarnetError
from starnet.memory import peak_memory

FORMAT = 1
_OF_SCENE: dict[str, Callable[[Scene], Iterator[Case]]] = {
    "percentiles": percentile_cases,
    "background": background_cases,
    "normalize": normalize_cases,
    "stack": stack_cases,
    "tiles": tile_cases,
    "fits": fits_cases,
    "label": label_cases,
    "watershed": watershed_cases,
    "catalog": catalog_cases,
}
#: What can be chosen.
OPERATIONS = ("median", "rolling", *_OF_SCENE, "chain")

Progress = Callable[[str], None]


@dataclass
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    image : str
        The pixels that were worked on.
    command : str
        How it was asked for.
    date : str
        When it began, UTC.
    machine : dict
        Processor, vector instructions, cores, load.
    versions : dict
        StarNet's and the peers', None for those not installed.
    results : list of Result
        In the order in which they were measured.
    peak_memory : int
        Largest resident memory of the process, in bytes.
    """

    image: str
    command: str
    date: str
    machine: dict[str, Any]
    versions: dict[str, str | None]
    results: list[Result] = field(default_factory=list)
    peak_memory: int = 0

    @property
    def disagreements(self) -> list[str]:
        """Where a peer of the same definition found something else."""
        return [text for result in self.results for text in result.disagreements]

    def best(self, result: Result) -> Entry | None:
        """The fastest peer of a case: of several threads or, if it has none, of one."""
        return max(self.ranked(result), key=lambda entry: entry.rate, default=None)

    def ranked(self, result: Result) -> list[Entry]:
        """The peers of a case; on several threads those without, from the measurement on one, too."""
        entries = [entry for entry in result.peers if entry.ranked]
        if result.threads > 1:
            for other in self.results:
                if other.case.name == result.case.name and other.threads == 1:
                    here = {(entry.library, entry.function) for entry in entries}
                    ours = result.ours.rate
                    entries += [
                        replace(entry, ours_is_faster=ours / entry.rate)
                        for entry in other.peers
                        if entry.ranked and (entry.library, entry.function) not in here
                    ]
        return entries

    def ratio(self, result: Result, against: str) -> float | None:
        """How many times as fast as something ours is; None if that was not measured."""
        if against == "best":
            best = self.best(result)
            return None if best is None else best.ours_is_faster
        if against == "copy":
            bounds = [entry.ours_is_faster for entry in result.peers if entry.agreement == "a bound"]
            return bounds[0] if bounds else None
        unranked = [entry for entry in result.peers if not entry.ranked and entry.agreement != "a bound"]
        entries = [e for e in (*self.ranked(result), *unranked) if against in (e.library, e.function)]
        if entries:
            return max(entries, key=lambda entry: entry.rate).ours_is_faster
        name, threads = (against.removesuffix(", 1 thread"), 1) if against.endswith(", 1 thread") else (against, None)
        for other in self.results:
            if other.case.name == name and other.threads == (threads or result.threads):
                return result.ours.rate / other.ours.rate
        return None

    def judged(self, result: Result) -> list[tuple[Target, float, bool]]:
        """Targets that could be judged: what was reached, and whether that is enough."""
        found = []
        for target in result.case.targets:
            if target.on_all_threads == (result.threads > 1):
                ratio = self.ratio(result, target.against)
                if ratio is not None:
                    found.append((target, ratio, ratio >= target.factor))
        return found

    def document(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        return {
            "format": FORMAT,
            "image": self.image,
            "command": self.command,
            "date": self.date,
            "machine": self.machine,
            "versions": self.versions,
            "peak_memory": self.peak_memory,
            "disagreements": self.disagreements,
            "results": [
                {
                    **result.document(),
                    "dtype": result.case.pixels.dtype.newbyteorder("=").name,
                    "targets": [
                        {"target": str(target), "reached": ratio, "met": met}
                        for target, ratio, met in self.judged(result)
                    ],
                }
                for result in self.results
            ],
        }


def compare(
    image: str | None = None,
    *,
    operations: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    quick: bool = False,
    threads: Sequence[int] = (1,),
    command: str = "",
    progress: Progress | None = None,
) -> Comparison:
    """Compare StarNet with the peers that are installed.

    Parameters
    ----------
    image : str, optional
        Image to work on; by default one is made.
    operations : sequence of str, optional
        Some of `OPERATIONS`; by default all.
    sizes : sequence of int, optional
        Windows, in pixels, of the median filter and the rolling median.
    quick : bool
        Fewer windows and rounds.
    threads : sequence of int
        Numbers of threads; peers get the same.
    command : str
        To be noted with the results.
    progress : callable, optional
        Called with a line before each case.

    Returns
    -------
    Comparison
        All figures.

    Raises
    ------
    StarnetError
        If there is no such operation or the image cannot be used.
    """
    chosen = list(operations or OPERATIONS)
    for name in chosen:
        if name not in OPERATIONS:
            raise StarnetError(f"there is no operation {name!r} to compare: choose from {', '.join(OPERATIONS)}")
    versions = {name: peers.installed(name) for name in peers.PEERS}
    found = [name for name, installed in versions.items() if installed is not None]
    with tempfile.TemporaryDirectory(prefix="starnet-bench-") as temporary:
        folder = Path(temporary)
        pixels = scene.made(folder) if image is None else scene.opened(image, folder)
        comparison = Comparison(
            pixels.description,
            command,
            datetime.now(UTC).isoformat(timespec="seconds"),
            machine(),
            {"starnet": version("starnet"), **versions},
        )
        for case in _cases(pixels, chosen, sizes, quick=quick):
            for n in threads:
                if n > 1 and not case.ours.threaded and 1 in threads:
                    continue
                if progress:
                    progress(f"{case.name}, {n} thread{'s' if n > 1 else ''}")
                peers.set_threads(n, found)
                rivals = [
                    peer
                    for peer in case.peers
                    if peer.library in found and (peer.threaded or n == 1 or 1 not in threads or not peer.ranked)
                ]
                comparison.results.append(measure(case, n, rivals, QUICK if quick else FULL))
    comparison.peak_memory = peak_memory()
    return comparison


def _cases(pixels: Scene, operations: Sequence[str], sizes: Sequence[int] | None, *, quick: bool) -> Iterator[Case]:
    for name in OPERATIONS:
        if name in operations:
            if name == "median":
                yield from medians(pixels, sizes or (QUICK_SIZES if quick else SIZES), quick=quick and sizes is None)
            elif name == "rolling":
                yield from rolling(pixels, sizes or (WINDOWS[:1] if quick else WINDOWS))
            elif name == "chain":
                yield from chain_cases(pixels, quick=quick)
            else:
                yield from _OF_SCENE[name](pixels)
