"""Workers that share one job: processes, or the stages of this one.

Processes, not threads, for engines without a network: `sep` holds Python's lock and keeps settings in globals. Each
gets the job once and runs its methods; with one worker they run here. They end with their parent, whatever ended it.

A network runs in one process, on all threads or a GPU. There a piece of work passes stages, each with threads of its
own: while the network sees a tile, the next ones are read, and the last ones measured and written.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any, Protocol

from starnet import _core
from starnet.errors import StarnetError
from starnet.memory import keep_freed_memory, peak_memory

_job: Any = None


class Pool(Protocol):
    """Runs methods of its job.

    Attributes
    ----------
    workers : int
        Processes, or threads of a stage.
    ahead : int
        Pieces of work that should be started at once, so that no worker waits for the next; what bounds their memory.
    busy : dict of str to float
        Seconds that each stage worked, all its threads together.
    """

    workers: int
    busy: dict[str, float]

    @property
    def ahead(self) -> int: ...  # noqa: D102  (Attributes, above)

    def submit(self, method: str, *args: Any) -> Future[Any]:
        """Starts ``job.method(*args)``."""
        ...

    @property
    def peak_memory(self) -> int:
        """Sum of the workers' largest resident memories, in bytes."""
        ...


@dataclass
class _Here:
    """No process but this one."""

    job: Any
    workers: int = 1
    ahead: int = 1
    peak_memory: int = 0
    busy: dict[str, float] = field(default_factory=dict)

    def submit(self, method: str, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(getattr(self.job, method)(*args))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass
class _Processes:
    executor: ProcessPoolExecutor
    workers: int
    busy: dict[str, float] = field(default_factory=dict)
    _peaks: dict[int, int] = field(default_factory=dict)

    def submit(self, method: str, *args: Any) -> Future[Any]:
        # Workers are started here and inherit what is blocked: from their first moment on, Ctrl-C is the parent's to
        # handle. One that comes meanwhile reaches the parent when the block ends.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            inner = self.executor.submit(_call, method, args)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        outer: Future[Any] = Future()

        def forward(done: Future[Any]) -> None:
            if done.cancelled():
                outer.cancel()
            elif error := done.exception():
                outer.set_exception(_explained(error))
            else:
                result, pid, peak = done.result()
                self._peaks[pid] = peak
                outer.set_result(result)

        inner.add_done_callback(forward)
        return outer

    @property
    def ahead(self) -> int:
        # None waits for the next, and little is lost when the run is stopped.
        return 2 * self.workers

    @property
    def peak_memory(self) -> int:
        return sum(self._peaks.values())


@dataclass(frozen=True)
class Stage:
    """What is done one after another with a piece of work.

    Parameters
    ----------
    name : str
        Of the stage; the same threads work for all stages of a name.
    method : str
        Of the job: takes what the stage before returned, the first one the arguments of `Pool.submit`.
    """

    name: str
    method: str


@dataclass
class _Stages:
    """Threads of this process, for the stages of each method."""

    job: Any
    stages: Mapping[str, Sequence[Stage]]
    executors: Mapping[str, ThreadPoolExecutor]
    workers: int
    ahead: int
    peak_memory: int = 0
    busy: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def submit(self, method: str, *args: Any) -> Future[Any]:
        whole: Future[Any] = Future()
        self._start(whole, self.stages[method], args)
        return whole

    def _start(self, whole: Future[Any], stages: Sequence[Stage], args: tuple[Any, ...]) -> None:
        self.executors[stages[0].name].submit(self._work, whole, stages, args)

    def _work(self, whole: Future[Any], stages: Sequence[Stage], args: tuple[Any, ...]) -> None:
        stage, *rest = stages
        start = time.perf_counter()
        try:
            result = getattr(self.job, stage.method)(*args)
            if rest:
                self._start(whole, rest, (result,))  # refused once the block of `staged` is left: nobody waits then
            else:
                whole.set_result(result)
        except BaseException as error:
            whole.set_exception(error)
        finally:
            with self._lock:
                self.busy[stage.name] = self.busy.get(stage.name, 0) + time.perf_counter() - start


@contextmanager
def staged(job: Any, stages: Mapping[str, Sequence[Stage]], threads: Mapping[str, int], ahead: int) -> Iterator[Pool]:
    """Threads of this process for the stages of a job; what a stage has begun is awaited, the rest is dropped.

    The queues between the stages hold `ahead` pieces of work at most, together with those that are worked on: whoever
    submits keeps to it, as with processes.

    Parameters
    ----------
    job : object
        Its methods must not depend on which thread runs them.
    stages : mapping of str to sequence of Stage
        What is done for each method that is submitted.
    threads : mapping of str to int
        Of the stages, by name.
    ahead : int
        As `Pool.ahead`; 1 does one thing after another.
    """
    executors = {name: ThreadPoolExecutor(count, thread_name_prefix=name) for name, count in threads.items()}
    pool = _Stages(job, stages, executors, max(threads.values()), ahead)
    try:
        yield pool
    finally:
        for executor in executors.values():
            executor.shutdown(wait=False, cancel_futures=True)
        for executor in executors.values():
            executor.shutdown(wait=True)
        pool.busy.update((name, round(seconds, 3)) for name, seconds in pool.busy.items())


@contextmanager
def pool(job: Any, workers: int) -> Iterator[Pool]:
    """Workers for a job; what is in flight is awaited, what is queued is dropped when the block is left.

    Parameters
    ----------
    job : object
        Picklable; its methods must not depend on which worker runs them.
    workers : int
        Number of processes; 1 runs the methods in this process.
    """
    if workers == 1:
        yield _Here(job)
        return
    executor = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start, initargs=(job,)
    )
    try:
        yield _Processes(executor, workers)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start(job: Any) -> None:
    global _job
    _job = job
    keep_freed_memory()
    _core.set_threads(1)  # the processes are the parallelism
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _call(method: str, args: tuple[Any, ...]) -> tuple[Any, int, int]:
    return getattr(_job, method)(*args), os.getpid(), peak_memory()


def _explained(error: BaseException) -> BaseException:
    if isinstance(error, BrokenProcessPool):
        return StarnetError(
            "a worker process ended abruptly: if memory ran out, use fewer --threads or a smaller --tile; in a Python "
            "script, call segment() under `if __name__ == '__main__':` or with threads=1; the same call goes on"
        )
    return error
