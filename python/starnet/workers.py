"""A pool of worker processes that share one job.

Processes, not threads: `sep` holds Python's lock and keeps settings in globals. Each worker gets the job once and runs
its methods; with one worker they run here. Workers end with their parent, whatever ended it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any, Protocol

from starnet import _core
from starnet.errors import StarnetError
from starnet.memory import peak_memory

_job: Any = None


class Pool(Protocol):
    """Runs methods of its job."""

    workers: int

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
    peak_memory: int = 0

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
    def peak_memory(self) -> int:
        return sum(self._peaks.values())


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
