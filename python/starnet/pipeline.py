"""The whole walk: mosaic, recipe, tiles, objects, catalog, outputs."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import astropy
import numpy as np
import sep
from astropy.table import QTable

from starnet import __version__, _core
from starnet.catalog import build_catalog
from starnet.errors import StarnetError
from starnet.instances import Columns, Layers, finish_component, form_objects
from starnet.labelmap import LabelMap, number_objects
from starnet.models import Model, get_model
from starnet.mosaic import Mosaic
from starnet.outputs.catalog_files import write_catalog
from starnet.outputs.overlay import write_overlay
from starnet.outputs.regions_file import write_regions
from starnet.outputs.segmentation_map import write_segmentation_map
from starnet.recipe import Recipe
from starnet.run import FORMAT, OUTPUTS, RunDirectory, Shards
from starnet.stitch import Part, SeamJoiner
from starnet.tiles import Box, TileGrid
from starnet.workers import Pool, peak_memory, pool

MIN_TILE = 32
# Measured on XDF and simulated mosaics: a process with its libraries, and what a tile's window takes beside.
PROCESS_BYTES = 260 * 2**20
BYTES_PER_PIXEL, BYTES_PER_PIXEL_AND_BAND = 60, 40

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the pixels of the mosaic it has done, and their total."""


@dataclass(frozen=True)
class SegmentResult:
    """What `segment` made.

    Attributes
    ----------
    directory : Path
        The run directory.
    n_sources : int
        Number of objects.
    outputs : dict
        Paths of the outputs by kind: segmentation, catalog, regions, overlay.
    was_finished : bool
        Whether an earlier run had made them already.
    resumed_tiles : int
        Tiles that an earlier, interrupted run had finished.
    seconds : dict
        Time by stage.
    peak_memory : int
        Bytes: the largest resident memory of this process and those of its workers, added up.
    run : dict
        The contents of ``run.json``.
    """

    directory: Path
    n_sources: int
    outputs: dict[str, Path]
    was_finished: bool
    resumed_tiles: int
    seconds: dict[str, float]
    peak_memory: int
    run: dict[str, Any]


@dataclass
class _Stopwatch:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 3)


@dataclass(frozen=True)
class TileJob:
    """What a worker does; everything it needs, picklable."""

    mosaic: Mosaic
    recipe: Recipe
    model: Model
    shards: Shards

    def process_tile(self, index: int) -> int:
        """Segments one tile; returns the number of its finished objects."""
        tile = self.shards.grid[index]
        preprocessed = self.recipe.apply(self.mosaic, tile.window)
        maps = self.model.maps(preprocessed)
        layers = Layers.of(preprocessed, maps, self.mosaic.shape, tile.core)
        foreground = maps.foreground[tile.core.slices_in(tile.window)]
        objects = form_objects(layers, foreground, self.mosaic.shape, self.model.splitter, self.model.min_area)
        self.shards.write_tile(index, objects)
        return len(objects.columns["label"])

    def finish_seams(self, tile: int, components: list[list[Part]]) -> int:
        """Splits and measures the components that `tile` completed; returns the number of their objects."""
        patches = {index: self.shards.patches(index) for index in {part[0] for parts in components for part in parts}}
        pieces: list[Columns] = []
        runs = []
        count = 0
        for parts in components:
            members = [(patches[index], number) for index, number in parts]
            found = finish_component(members, len(self.mosaic.bands), self.model.splitter, self.model.min_area)
            for columns, component_runs in found:
                columns["label"] = columns["label"] + count
                component_runs[:, 3] += count
                count += len(columns["label"])
                pieces.append(columns)
                runs.append(component_runs)
        table = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
        self.shards.write_seams(tile, table, np.concatenate(runs))
        return count


def segment(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    model: str = "classical",
    mode: str = "tiled",
    tile: int = 682,
    tile_origin: tuple[int, int] = (0, 0),
    recipe: str | Path = "noise",
    instrument: str | None = None,
    threads: int | None = None,
    memory: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **model_parameters: Any,
) -> SegmentResult:
    """Segments and measures a mosaic, into a run directory.

    Parameters
    ----------
    inputs : sequence of str or Path
        The bands: FITS files (``NAME=path.fits[EXT]``) or RGB images.
    output : str or Path
        The run directory. One that was interrupted is continued; a finished one is returned as it is.
    model : str
        Segmentation engine, one of `starnet.models.MODELS`.
    mode : {"tiled", "direct"}
        Tile by tile, or the whole image at once. The result is the same.
    tile : int
        Side of a tile's core in pixels.
    tile_origin : tuple of int
        Where the grid of tiles is anchored, ``(y, x)``. The result does not depend on it.
    recipe : str or Path
        ``noise``, ``seed``, or a recipe file.
    instrument : str, optional
        Preset of `starnet.instruments`; found from the headers by default.
    threads : int, optional
        CPU cores to use; all of them by default.
    memory : int, optional
        Bytes that the run may use; fewer workers are started where it would need more.
    overwrite : bool
        Start anew where the directory holds a run.
    progress : callable, optional
        Told of the stages.
    **model_parameters
        Parameters of the engine.

    Returns
    -------
    result : SegmentResult
        Where the outputs are, and what they took.

    Raises
    ------
    StarnetError
        For all that the user can mend.
    """
    stopwatch = _Stopwatch()
    mosaic = Mosaic.open(inputs, instrument=instrument)
    engine = get_model(model, **model_parameters)
    grid = _grid(mosaic, engine, mode, tile, tile_origin)
    plan = _plan(mosaic, engine, recipe, mode, grid)
    threads = threads or os.cpu_count() or 1
    directory = Path(output)
    with RunDirectory.open(directory, plan, overwrite=overwrite) as run:
        outputs = {kind: directory / name for kind, name in OUTPUTS.items()}
        if (done := run.summary) is not None:
            return SegmentResult(
                directory, done["sources"], outputs, True, len(grid), done["seconds"], done["peak_memory"], done
            )
        with _disk_full_explained(directory):
            with stopwatch("fit"):
                fitted = _fitted_recipe(run, mosaic, recipe, threads, progress)
            workers = _workers(mosaic, grid, threads, memory)
            resumed = len(run.finished_tiles)
            shards = Shards(directory, grid)
            shards.create()
            _core.set_threads(threads)
            with stopwatch("segment"), pool(TileJob(mosaic, fitted, engine, shards), workers) as workforce:
                _process_tiles(run, shards, workforce, progress)
            with stopwatch("catalog"):
                columns, labels = number_objects(shards, range(len(grid)), run.finished_seams)
                catalog = build_catalog(columns, mosaic.bands, mosaic.wcs)
            with stopwatch("outputs"):
                _write_outputs(outputs, mosaic, fitted, catalog, labels, threads, progress)
        summary = {
            **plan,
            "sources": len(catalog),
            "tiles": len(grid),
            "resumed_tiles": resumed,
            "workers": workers,
            "threads": threads,
            "seconds": stopwatch.seconds,
            "peak_memory": peak_memory() + workforce.peak_memory,
            "outputs": OUTPUTS,
            "versions": _versions(),
        }
        run.write_json("run.json", summary)
    return SegmentResult(
        directory, len(catalog), outputs, False, resumed, stopwatch.seconds, summary["peak_memory"], summary
    )


def _grid(mosaic: Mosaic, engine: Model, mode: str, tile: int, origin: tuple[int, int]) -> TileGrid:
    if mode not in ("tiled", "direct"):
        raise StarnetError(f"mode {mode!r} is unknown: choose tiled or direct")
    if tile < MIN_TILE:
        raise StarnetError(f"tile {tile} is too small: give at least {MIN_TILE} pixels")
    # One pixel more than the engine sees: whether a pixel lies at the edge of the coverage depends on its neighbours.
    halo = engine.halo + 1
    core = mosaic.shape if mode == "direct" else (tile, tile)
    return TileGrid(mosaic.shape, core, halo, (0, 0) if mode == "direct" else origin)


def _plan(mosaic: Mosaic, engine: Model, recipe: str | Path, mode: str, grid: TileGrid) -> dict[str, Any]:
    """All that decides the outputs: a run is continued only with the same."""
    file = Path(recipe)
    digest = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()} if file.is_file() else {}
    return {
        "format": FORMAT,
        "starnet": __version__,
        "shape": list(mosaic.shape),
        "inputs": mosaic.fingerprint(),
        "recipe": {"name": str(recipe), **digest},
        "model": {"name": engine.name, "parameters": dict(engine.parameters)},
        "mode": mode,
        "tile": {"core": list(grid.core_shape), "origin": list(grid.origin)},
    }


def _fitted_recipe(
    run: RunDirectory, mosaic: Mosaic, recipe: str | Path, threads: int, progress: Progress | None
) -> Recipe:
    path = run.path / "recipe.yaml"
    if not path.exists():
        Recipe.fit(mosaic, recipe, threads=threads, progress=_in_pixels(progress, mosaic.shape)).save(path)
    # Read back even when it was just written: a continued run then sees the very same numbers.
    return Recipe.load(path)


def _workers(mosaic: Mosaic, grid: TileGrid, threads: int, memory: int | None) -> int:
    """As many as there are threads and tiles, and as fit into memory."""
    workers = min(threads, len(grid))
    if memory is None:
        return workers
    window = max(tile.window.size for tile in grid)
    each = window * (BYTES_PER_PIXEL + BYTES_PER_PIXEL_AND_BAND * len(mosaic.bands))
    while workers > 1 and PROCESS_BYTES * (workers + 1) + each * workers > memory:
        workers -= 1
    needed = PROCESS_BYTES + each
    if needed > memory:
        raise StarnetError(
            f"memory {memory / 2**20:.0f} MiB is too little: about {needed / 2**20:.0f} MiB are needed for windows of "
            f"{window / 1e6:.2f} Mpix in {len(mosaic.bands)} bands; use a smaller --tile, --mode tiled, or more --memory"
        )
    return workers


def _process_tiles(run: RunDirectory, shards: Shards, workforce: Pool, progress: Progress | None) -> None:
    """Segments all tiles, and splits each component when its last tile is there.

    Tiles run in parallel but are taken in order, so that which tile completes a component does not depend on their speed.
    """
    grid = shards.grid
    joiner = SeamJoiner(grid)
    started: deque[tuple[int, Future[int] | None]] = deque()
    seams: deque[tuple[int, Future[int]]] = deque()
    tiles = iter(range(len(grid)))
    done = 0
    while True:
        # Two tiles a worker: none waits for the next, and little is lost when the run is stopped.
        while len(started) < 2 * workforce.workers and (tile := next(tiles, None)) is not None:
            waiting = None if tile in run.finished_tiles else workforce.submit("process_tile", tile)
            started.append((tile, waiting))
        if not started:
            break
        tile, future = started.popleft()
        if future is not None:
            run.record("tile", tile, sources=future.result())
        complete = joiner.add(tile, shards.edges(tile))
        if complete and tile not in run.finished_seams:
            seams.append((tile, workforce.submit("finish_seams", tile, complete)))
        while seams and (seams[0][1].done() or len(seams) > 2 * workforce.workers):
            _record_seams(run, *seams.popleft())
        done += grid[tile].core.size
        if progress:
            progress("segment", done, grid.shape[0] * grid.shape[1])
    while seams:
        _record_seams(run, *seams.popleft())


def _record_seams(run: RunDirectory, tile: int, future: Future[int]) -> None:
    run.record("seams", tile, sources=future.result())


def _write_outputs(
    outputs: dict[str, Path],
    mosaic: Mosaic,
    recipe: Recipe,
    catalog: QTable,
    labels: LabelMap,
    threads: int,
    progress: Progress | None,
) -> None:
    nx = mosaic.shape[1]
    told = _in_pixels(progress, mosaic.shape)
    write_segmentation_map(
        outputs["segmentation"],
        mosaic.shape,
        lambda y0, y1: labels.read(Box(y0, y1, 0, nx)),
        header=mosaic.wcs_header(),
        threads=threads,
        progress=told,
    )
    write_catalog(catalog, outputs["catalog"])
    write_regions(catalog, outputs["regions"], wcs=mosaic.wcs)
    write_overlay(
        outputs["overlay"],
        mosaic.shape,
        lambda box: recipe.apply(mosaic, box).image,
        labels.read,
        origin=mosaic.origin,
        progress=told,
    )


def _in_pixels(progress: Progress | None, shape: tuple[int, int]) -> Progress | None:
    """Lets stages count what they like: the caller is told of pixels of the mosaic."""
    if progress is None:
        return None
    pixels = shape[0] * shape[1]
    return lambda stage, done, total: progress(stage, done * pixels // max(total, 1), pixels)


@contextmanager
def _disk_full_explained(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StarnetError(
            f"no space left on the disk of {directory}: free some and run the same command again; finished tiles are kept"
        ) from error


def _versions() -> dict[str, str]:
    return {
        "starnet": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "astropy": astropy.__version__,
        "sep": sep.__version__,
    }
