"""Progress on stderr: bars on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

Progress = Callable[[str, int, int], None]


@contextmanager
def progress(
    inputs: Sequence[Path], instrument: str | None = None, *, quiet: bool = False
) -> Iterator[Progress | None]:
    """The callback ``(stage, done, total)`` to hand to the pipeline, for a mosaic of these inputs."""
    if quiet:
        yield None
        return
    from starnet.mosaic import Mosaic

    # Stages count tiles or rows, each as it works; over the whole mosaic all of them are pixels.
    ny, nx = Mosaic.open(inputs, instrument=instrument).shape
    if sys.stderr.isatty():
        with _bars(ny * nx) as callback:
            yield callback
    else:
        yield _lines(ny * nx)


@contextmanager
def _bars(pixels: int) -> Iterator[Progress]:
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
            rate = f"{speed / (task.total or 1) * pixels / 1e6:.2f} Mpix/s" if speed else ""
            return Text(rate, style="progress.data.speed")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, completed=done)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


def _lines(pixels: int) -> Progress:
    started: dict[str, tuple[float, int]] = {}

    def report(stage: str, done: int, total: int) -> None:
        begin, before = started.setdefault(stage, (time.monotonic(), done))
        if done >= total:
            del started[stage]
            seconds = time.monotonic() - begin
            # A resumed stage begins with what was done before, which took no time.
            rate = pixels * (total - before) / max(total, 1) / max(seconds, 1e-3)
            print(f"{stage}: {seconds:.1f} s, {rate / 1e6:.2f} Mpix/s", file=sys.stderr, flush=True)

    return report
