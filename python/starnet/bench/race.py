"""Timing: results are compared first, then all run in turn, round after round."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from starnet.bench.cases import OURS, Array, Call, Case, Contender
from starnet.memory import extra_peak, reset_peak


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes
    ----------
    rounds : int
        Times that each contender has its turn.
    sample : float
        Seconds that a turn lasts at least: fast calls are repeated.
    slow : float
        Seconds for a call above which a peer is timed on a crop.
    patience : float
        Seconds that all rounds of a case may last; where a round takes long, there are fewer, but no less than
        `fewest`.
    fewest : int
        See `patience`.
    """

    rounds: int
    sample: float
    slow: float
    patience: float
    fewest: int


FULL = Effort(rounds=7, sample=0.03, slow=0.3, patience=5.0, fewest=3)
QUICK = Effort(rounds=3, sample=0.01, slow=0.1, patience=2.0, fewest=1)


@dataclass
class Entry:
    """What was measured of one contender.

    Attributes
    ----------
    library, function : str
        Which it is.
    agreement : str
        In which sense its result is ours.
    ranked : bool
        Whether it counts among the peers.
    threads : int
        That it ran on.
    pixels : int
        That a call worked on.
    crop : list of int or None
        ``[ny, nx]`` of the crop, if it was too slow for all pixels.
    calls : int
        In each round.
    rounds : list of float
        Seconds a call, one figure a round.
    cpu : list of float
        CPU seconds a call of all threads of the process, one figure a round: work of other processes is not in them.
    extra_memory : int or None
        Bytes by which resident memory grew in the first call. A hint: memory that earlier calls left with the
        allocator is not seen, and libraries that are imported in the call are. Inputs and ``out`` existed before.
    ours_is_faster : float or None
        Median over the rounds of the ratio of our rate to its.
    """

    library: str
    function: str
    agreement: str
    ranked: bool
    threads: int
    pixels: int
    crop: list[int] | None = None
    calls: int = 1
    rounds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    extra_memory: int | None = None
    ours_is_faster: float | None = None

    @property
    def rate(self) -> float:
        """Mpix/s, of the median round."""
        return self.pixels / statistics.median(self.rounds) / 1e6


@dataclass
class Result:
    """A case on a number of threads.

    Attributes
    ----------
    case : Case
        What was done.
    threads : int
        That StarNet ran on.
    ours : Entry
        StarNet.
    peers : list of Entry
        The others.
    disagreements : list of str
        Peers of the same definition that found something else; they are not timed.
    """

    case: Case
    threads: int
    ours: Entry
    peers: list[Entry] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "operation": self.case.operation,
            "name": self.case.name,
            "shape": list(self.case.pixels.shape),
            "threads": self.threads,
            "contenders": [{**asdict(entry), "mpix_per_s": entry.rate} for entry in (self.ours, *self.peers)],
        }


def measure(case: Case, threads: int, peers: Sequence[Contender], effort: Effort) -> Result:
    """Compare and time the contenders of a case."""
    ours = _enter(case, case.ours, threads, None)
    entered = [ours]
    result = Result(case, threads, ours.entry)
    for peer in peers:
        side = _crop_side(case, peer, threads, effort)
        theirs = _enter(case, peer, threads, side)
        if peer.agreement is not None:
            expected = (peer.reference or case.ours.prepare)(case.crop(side), threads)()
            text = peer.agreement.differ(expected, theirs.result)
            if text is not None:
                result.disagreements.append(
                    f"{case.name}: {peer.library} {peer.function} and {OURS} disagree: {text} "
                    f"(expected: {peer.agreement.says})"
                )
                continue
        result.peers.append(theirs.entry)
        entered.append(theirs)
    _race(entered, effort)
    for peer_entry in result.peers:
        pairs = zip(result.ours.rounds, peer_entry.rounds, strict=True)
        pixels_ratio = result.ours.pixels / peer_entry.pixels
        peer_entry.ours_is_faster = statistics.median(theirs / mine * pixels_ratio for mine, theirs in pairs)
    return result


@dataclass
class _Entered:
    """A contender that was called once: with what result, in how many seconds."""

    entry: Entry
    call: Call
    result: Any
    seconds: float


def _enter(case: Case, contender: Contender, threads: int, side: int | None) -> _Entered:
    """Prepare a contender and call it once, so that what it compiles or imports is not timed."""
    pixels = case.crop(side)
    call = contender.prepare(pixels, threads)
    gc.collect()
    before = reset_peak()
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    memory = extra_peak(before)
    says = "another definition" if contender.agreement is None else contender.agreement.says
    entry = Entry(
        contender.library,
        contender.function,
        says if contender.ranked else "a bound",
        contender.ranked and contender.agreement is not None,
        threads if contender.threaded else 1,
        _size(pixels),
        None if pixels is case.pixels else list(pixels.shape[-2:]),
        extra_memory=memory,
    )
    return _Entered(entry, call, result, seconds)


def _crop_side(case: Case, peer: Contender, threads: int, effort: Effort) -> int | None:
    """Side of the crop on which a call lasts about as long as is allowed; None for all pixels."""
    side, seconds = case.least, 0.0
    while (small := case.crop(side)) is not case.pixels:
        call = peer.prepare(small, threads)
        seconds = _timed(call)
        if seconds < 3:
            seconds = min(seconds, _timed(call))  # the first call may have compiled something
        if seconds * _size(case.pixels) <= effort.slow * _size(small):
            return None
        if seconds > effort.slow / 10:  # long enough to tell
            longest = math.isqrt(int(effort.slow / seconds * _size(small)))
            longest -= longest % (64 if longest >= 128 else 16)  # whole boxes of a background mesh
            return None if longest >= 0.9 * max(case.pixels.shape[-2:]) else max(side, longest)
        side *= 2
    return None


def _race(entered: Sequence[_Entered], effort: Effort) -> None:
    with _no_garbage_collection():
        turn = 0.0
        for one in entered:
            seconds = _timed(one.call) if one.seconds < 1 else one.seconds
            one.entry.calls = max(1, math.ceil(effort.sample / max(seconds, 1e-7)))
            turn += one.entry.calls * seconds
        for _ in range(max(effort.fewest, min(effort.rounds, int(effort.patience / turn)))):
            for one in entered:
                call, calls = one.call, one.entry.calls
                start, busy = time.perf_counter(), time.process_time()
                for _ in range(calls):
                    call()
                one.entry.rounds.append((time.perf_counter() - start) / calls)
                one.entry.cpu.append((time.process_time() - busy) / calls)


def _timed(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _size(pixels: Array) -> int:
    return int(pixels.shape[-2] * pixels.shape[-1])


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
