"""What `segment` and `preprocess` share: limits, stages, the colours of a picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from starnet.atomic import NO_ROOM
from starnet.errors import StarnetError
from starnet.models.base import Engine
from starnet.mosaic import Mosaic
from starnet.recipe import Recipe
from starnet.tiles import Box, TileGrid

MIN_TILE = 32
# Measured on 3000 x 3000 pixels in 1, 3 and 5 bands with weights, tiles of 300 to 3000: what the main process takes for
# the fit and the outputs, what a worker takes with its libraries, and what a tile's window takes beside.
MAIN_BYTES, WORKER_BYTES = 400 * 2**20, 160 * 2**20
BYTES_PER_PIXEL, BYTES_PER_PIXEL_AND_BAND = 10, 32
# A network's three maps, and their foreground, that wait for objects to be formed.
BYTES_PER_MAPPED_PIXEL = 16

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the pixels of the mosaic it has done, and their total."""


@dataclass
class Stopwatch:
    """Seconds by stage: ``with stopwatch("fit"): ...``."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a stage."""
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 3)


def checked_tile(tile: int) -> int:
    """The side of a tile, if it is large enough to be of use."""
    if tile < MIN_TILE:
        raise StarnetError(f"tile {tile} is too small: give at least {MIN_TILE} pixels")
    return tile


def worker_count(mosaic: Mosaic, grid: TileGrid, threads: int, memory: int | None) -> int:
    """As many as there are threads and tiles, and as fit into memory."""
    workers = min(threads, len(grid))
    if memory is None:
        return workers
    room_left(mosaic, grid, memory)
    each = _window(grid) * _bytes_per_pixel(mosaic)
    while workers > 1 and MAIN_BYTES + workers * (WORKER_BYTES + each) > memory:
        workers -= 1
    return workers


def side_threads(threads: int) -> int:
    """Threads that read, and threads that form objects, while a network has its own: at most half of all, each."""
    return max(1, min(threads // 2, 8))


def tiles_ahead(mosaic: Mosaic, grid: TileGrid, threads: int, memory: int | None, engine: Engine) -> int:
    """Tiles under way at once where a network runs: one on each device, one a thread beside, and one that waits.

    As many as fit into half of what is left of `memory`; the other half is for the masks of prompts. Where there is
    room for one only, a tile is read, seen and measured before the next.
    """
    ahead = min(2 * side_threads(threads) + engine.at_once + 1, len(grid))
    room = room_left(mosaic, grid, memory, engine)
    return ahead if room is None else max(1, min(ahead, 1 + room // 2 // tile_bytes(mosaic, grid)))


def tile_bytes(mosaic: Mosaic, grid: TileGrid) -> int:
    """Bytes of a tile that waits for a network, or for its objects."""
    return _window(grid) * (_bytes_per_pixel(mosaic) + BYTES_PER_MAPPED_PIXEL)


def room_left(mosaic: Mosaic, grid: TileGrid, memory: int | None, engine: Engine | None = None) -> int | None:
    """Bytes that one worker, and the network that it runs, leave of `memory`; None where there is no limit.

    Raises
    ------
    StarnetError
        If it does not suffice.
    """
    if memory is None:
        return None
    window = _window(grid)
    needed = MAIN_BYTES + window * _bytes_per_pixel(mosaic)
    network = ""
    if engine is not None:
        needed += max(engine.memory(tile.window.shape) for tile in grid)
        network = f" and model {engine.name}"
    if needed > memory:
        raise StarnetError(
            f"memory {memory / 2**20:.0f} MiB is too little for windows of {window / 1e6:.2f} Mpix (bands: "
            f"{len(mosaic.bands)}){network}: lower --tile, take --mode tiled, or give {-(-needed // 2**20)} MiB"
        )
    return memory - needed


def _window(grid: TileGrid) -> int:
    return max(tile.window.size for tile in grid)


def _bytes_per_pixel(mosaic: Mosaic) -> int:
    return BYTES_PER_PIXEL + BYTES_PER_PIXEL_AND_BAND * len(mosaic.bands)


def rgb_bands(mosaic: Mosaic) -> list[int]:
    """The bands of a colour picture, the reddest first: the instrument's choice, else the first three."""
    names = [band.name for band in mosaic.bands]
    wanted = mosaic.instrument.rgb if mosaic.instrument is not None else ()
    if len(names) > 3 and wanted and all(name in names for name in wanted):
        return [names.index(name) for name in wanted]
    return list(range(min(3, len(names))))


def picture(mosaic: Mosaic, recipe: Recipe) -> Callable[[Box], npt.NDArray[np.float32]]:
    """Reads the bands of a colour picture in asinh of noise units, whatever the recipe shows a model."""
    bands = rgb_bands(mosaic)
    return lambda box: np.arcsinh(recipe.apply(mosaic, box).snr[bands])


def in_pixels(progress: Progress | None, shape: tuple[int, int]) -> Progress | None:
    """Lets stages count what they like: the caller is told of pixels of the mosaic."""
    if progress is None:
        return None
    pixels = shape[0] * shape[1]
    return lambda stage, done, total: progress(stage, done * pixels // max(total, 1), pixels)


@contextmanager
def disk_full_explained(directory: Path) -> Iterator[None]:
    """Says in one sentence that the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise StarnetError(
            f"no space left on the disk of {directory}: free some and run the same command again; "
            "finished tiles are kept"
        ) from error
