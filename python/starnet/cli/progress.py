"""Progress on stderr: bars on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

Progress = Callable[[str, int, int], None]


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress | None]:
    """The callback ``(stage, done, total)`` to hand to the pipeline; counts are pixels."""
    console = Console(stderr=True)
    if quiet:
        yield None
    elif console.is_terminal:
        with _bars(console) as callback:
            yield callback
    else:
        yield _lines()


@contextmanager
def _bars(console: Console) -> Iterator[Progress]:
    from rich.progress import (
        BarColumn,
        ProgressColumn,
        Task,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed / 1e6:.2f} Mpix/s" if speed else "", style="progress.data.speed")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        tasks = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


def _lines() -> Progress:
    started: dict[str, float] = {}

    def report(stage: str, done: int, total: int) -> None:
        begin = started.setdefault(stage, time.monotonic())
        if done == total:
            seconds = time.monotonic() - begin
            print(f"{stage}: {total / 1e6:.2f} Mpix in {seconds:.1f} s", file=sys.stderr, flush=True)

    return report
