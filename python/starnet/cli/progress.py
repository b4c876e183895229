"""Progress on stderr: bars on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]


@contextmanager
def progress(*, quiet: bool = False, unit: str = "Mpix") -> Iterator[Progress | None]:
    """The callback ``(stage, done, total)``, in millionths of the unit (pixels), to hand to the pipeline."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bars(unit) as callback:
            yield callback
    else:
        yield _lines()


@contextmanager
def _bars(unit: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        ProgressColumn,
        Task,
        TaskID,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed / 1e6:.2f} {unit}/s" if speed else "", style="progress.data.speed")

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), Rate(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, completed=done)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


def _lines() -> Progress:
    end_of_last = time.monotonic()

    def report(stage: str, done: int, total: int) -> None:
        nonlocal end_of_last
        if done >= total:
            now = time.monotonic()
            print(f"{stage}: {now - end_of_last:.1f} s", file=sys.stderr, flush=True)
            end_of_last = now

    return report
