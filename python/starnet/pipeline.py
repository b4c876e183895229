"""The whole walk: mosaic, recipe, tiles, objects, catalog, outputs."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import astropy
import numpy as np
import numpy.typing as npt
import sep
from astropy.table import QTable

from starnet import __version__, _core
from starnet.catalog import build_catalog
from starnet.errors import StarnetError
from starnet.labelmap import LabelMap, number_objects
from starnet.models import Model, get_model
from starnet.mosaic import Mosaic
from starnet.outputs.catalog_files import write_catalog
from starnet.outputs.cube import FitsCubeWriter
from starnet.outputs.overlay import write_overlay
from starnet.outputs.png import write_rgb_tile
from starnet.outputs.preview import write_preview
from starnet.outputs.regions_file import write_regions
from starnet.outputs.segmentation_map import write_segmentation_map
from starnet.recipe import Recipe
from starnet.run import FORMAT, OUTPUTS, RunDirectory, Shards
from starnet.tile_job import TileJob, process_tiles
from starnet.tiles import Box, TileGrid
from starnet.workers import peak_memory, pool

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


@dataclass(frozen=True)
class PreprocessResult:
    """What `preprocess` made.

    Attributes
    ----------
    directory : Path
        Where the outputs are.
    outputs : dict
        Paths by kind: preprocessed, recipe, preview, and tiles (a folder) where asked for.
    seconds : dict
        Time by stage.
    peak_memory : int
        Largest resident memory in bytes.
    """

    directory: Path
    outputs: dict[str, Path]
    seconds: dict[str, float]
    peak_memory: int


@dataclass
class _Stopwatch:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 3)


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
                engine = _fitted_model(run, mosaic, fitted, engine)
            workers = _workers(mosaic, grid, threads, memory)
            resumed = len(run.finished_tiles)
            shards = Shards(directory, grid)
            shards.create()
            _core.set_threads(threads)
            with stopwatch("segment"), pool(TileJob(mosaic, fitted, engine, shards), workers) as workforce:
                process_tiles(run, shards, workforce, progress)
            with stopwatch("catalog"):
                columns, labels = number_objects(shards, range(len(grid)), run.finished_seams)
                catalog = build_catalog(columns, mosaic.bands, mosaic.wcs)
            with stopwatch("outputs"):
                _write_outputs(outputs, mosaic, fitted, catalog, labels, threads, progress)
        summary = {
            **plan,
            "model": {"name": engine.name, "parameters": dict(engine.parameters)},
            "paths": [str(path) for path in inputs],
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


def preprocess(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    recipe: str | Path = "noise",
    instrument: str | None = None,
    tile: int = 682,
    tiles: bool = False,
    threads: int | None = None,
    memory: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PreprocessResult:
    """Fits a recipe to a mosaic and writes what a model would see.

    Parameters
    ----------
    inputs, recipe, instrument, threads, memory, overwrite, progress
        As in `segment`.
    output : str or Path
        Directory for ``preprocessed.fits`` (a cube, one plane a band), ``recipe.yaml`` and ``preview.png``.
    tile : int
        Side of the tiles in pixels.
    tiles : bool
        Write 8-bit RGB tiles, ``tiles/y00000_x00000.png``, too; for a recipe whose values lie in [0, 1].

    Returns
    -------
    result : PreprocessResult
        Where the outputs are.

    Raises
    ------
    StarnetError
        For all that the user can mend.
    """
    stopwatch = _Stopwatch()
    mosaic = Mosaic.open(inputs, instrument=instrument)
    directory = Path(output)
    names = {"preprocessed": "preprocessed.fits", "recipe": "recipe.yaml", "preview": "preview.png"}
    outputs = {kind: directory / name for kind, name in names.items()}
    if tiles:
        outputs["tiles"] = directory / "tiles"
    existing = [path for path in outputs.values() if path.exists()]
    if existing and not overwrite:
        raise StarnetError(f"{existing[0]} exists: name another directory with -o, or add --overwrite")
    threads = threads or os.cpu_count() or 1
    grid = TileGrid(mosaic.shape, _checked_tile(tile))
    _workers(mosaic, grid, 1, memory)
    with _disk_full_explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        _core.set_threads(threads)
        with stopwatch("fit"):
            fitted = Recipe.fit(mosaic, recipe, threads=threads, progress=_in_pixels(progress, mosaic.shape))
            fitted.save(outputs["recipe"])
        with stopwatch("apply"):
            _write_preprocessed(outputs, mosaic, fitted, grid, progress)
        with stopwatch("preview"):
            read = _picture(mosaic, fitted)
            told = _in_pixels(progress, mosaic.shape)
            write_preview(outputs["preview"], mosaic.shape, read, origin=mosaic.origin, progress=told)
    return PreprocessResult(directory, outputs, stopwatch.seconds, peak_memory())


def _write_preprocessed(
    outputs: dict[str, Path], mosaic: Mosaic, recipe: Recipe, grid: TileGrid, progress: Progress | None
) -> None:
    folder = outputs.get("tiles")
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    header = mosaic.wcs_header()
    for number, band in enumerate(mosaic.bands, 1):
        header[f"BAND{number}"] = (band.name, f"plane {number}")
    done = 0
    with FitsCubeWriter(outputs["preprocessed"], (len(mosaic.bands), *mosaic.shape), header) as cube:
        for tile in grid:
            image = recipe.apply(mosaic, tile.core).image
            cube.write(tile.core, image)
            if folder is not None:
                rgb = image[_rgb(mosaic)] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
                write_rgb_tile(folder / f"y{tile.core.y0:05d}_x{tile.core.x0:05d}.png", rgb, origin=mosaic.origin)
            done += tile.core.size
            if progress:
                progress("apply", done, mosaic.shape[0] * mosaic.shape[1])


def _checked_tile(tile: int) -> int:
    if tile < MIN_TILE:
        raise StarnetError(f"tile {tile} is too small: give at least {MIN_TILE} pixels")
    return tile


def _rgb(mosaic: Mosaic) -> list[int]:
    """The bands of a colour picture, the reddest first: the instrument's choice, else the first three."""
    names = [band.name for band in mosaic.bands]
    wanted = mosaic.instrument.rgb if mosaic.instrument is not None else ()
    if len(names) > 3 and wanted and all(name in names for name in wanted):
        return [names.index(name) for name in wanted]
    return list(range(min(3, len(names))))


def _picture(mosaic: Mosaic, recipe: Recipe) -> Callable[[Box], npt.NDArray[np.float32]]:
    """Reads the bands of a colour picture in asinh of noise units, whatever the recipe shows a model."""
    bands = _rgb(mosaic)
    return lambda box: np.arcsinh(recipe.apply(mosaic, box).snr[bands])


def _grid(mosaic: Mosaic, engine: Model, mode: str, tile: int, origin: tuple[int, int]) -> TileGrid:
    if mode not in ("tiled", "direct"):
        raise StarnetError(f"mode {mode!r} is unknown: choose tiled or direct")
    # One pixel more than the engine sees: whether a pixel lies at the edge of the coverage depends on its neighbours.
    halo = engine.halo + 1
    core = mosaic.shape if mode == "direct" else (_checked_tile(tile), tile)
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
        "instrument": mosaic.instrument.name if mosaic.instrument is not None else None,
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


def _fitted_model(run: RunDirectory, mosaic: Mosaic, recipe: Recipe, engine: Model) -> Model:
    parameters = run.read_json("model.json")
    if parameters is None:
        parameters = dict(engine.fit(mosaic, recipe).parameters)
        run.write_json("model.json", parameters)
    return get_model(engine.name, **parameters)


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
            f"{window / 1e6:.2f} Mpix in {len(mosaic.bands)} bands; use a smaller --tile, --mode tiled or more --memory"
        )
    return workers


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
        _picture(mosaic, recipe),
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
            f"no space left on the disk of {directory}: free some and run the same command again; "
            "finished tiles are kept"
        ) from error


def _versions() -> dict[str, str]:
    return {
        "starnet": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "astropy": astropy.__version__,
        "sep": sep.__version__,
    }
