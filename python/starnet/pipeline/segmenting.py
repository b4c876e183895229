"""`segment`: a mosaic in, a label map and a catalog out."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy
import numpy as np
import sep
from astropy.table import QTable

from starnet import __version__, _core
from starnet.catalog import build_catalog
from starnet.errors import StarnetError
from starnet.labelmap import LabelMap, number_objects
from starnet.models import Model, get_model
from starnet.mosaic import Mosaic, Weights
from starnet.outputs.catalog_files import write_catalog
from starnet.outputs.overlay import write_overlay
from starnet.outputs.regions_file import write_regions
from starnet.outputs.segmentation_map import write_segmentation_map
from starnet.pipeline.stages import (
    Progress,
    Stopwatch,
    checked_tile,
    disk_full_explained,
    in_pixels,
    picture,
    worker_count,
)
from starnet.recipe import Recipe
from starnet.run import FORMAT, OUTPUTS, RunDirectory, Shards
from starnet.tile_job import TileJob, process_tiles
from starnet.tiles import Box, TileGrid
from starnet.workers import peak_memory, pool


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
    weights: Weights = None,
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
    weights : "none" or sequence, optional
        Weight maps, one a band, as for `Mosaic.open`; looked for in the files and beside them by default.
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
    stopwatch = Stopwatch()
    mosaic = Mosaic.open(inputs, instrument=instrument, weights=weights)
    engine = get_model(model, **model_parameters)
    grid = _grid(mosaic, engine, mode, tile, tile_origin)
    plan = _plan(mosaic, engine, recipe, mode, grid)
    threads = threads or os.cpu_count() or 1
    workers = worker_count(mosaic, grid, threads, memory)
    directory = Path(output)
    with RunDirectory.open(directory, plan, overwrite=overwrite) as run:
        outputs = {kind: directory / name for kind, name in OUTPUTS.items()}
        if (done := run.summary) is not None:
            return SegmentResult(
                directory, done["sources"], outputs, True, len(grid), done["seconds"], done["peak_memory"], done
            )
        with disk_full_explained(directory):
            with stopwatch("fit"):
                fitted = _fitted_recipe(run, mosaic, recipe, threads, progress)
                engine = _fitted_model(run, mosaic, fitted, engine)
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
            "weights": weights if weights is None or isinstance(weights, str) else [w and str(w) for w in weights],
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
    # One pixel more than the engine sees: whether a pixel lies at the edge of the coverage depends on its neighbours.
    halo = engine.halo + 1
    core = mosaic.shape if mode == "direct" else (checked_tile(tile), tile)
    return TileGrid(mosaic.shape, core, halo, (0, 0) if mode == "direct" else origin)


def _plan(mosaic: Mosaic, engine: Model, recipe: str | Path, mode: str, grid: TileGrid) -> dict[str, Any]:
    """All that decides the outputs: a run is continued only with the same."""
    return {
        "format": FORMAT,
        "starnet": __version__,
        "shape": list(mosaic.shape),
        "inputs": mosaic.fingerprint(),
        "instrument": mosaic.instrument.name if mosaic.instrument is not None else None,
        "recipe": Recipe.identity(recipe),
        "model": {"name": engine.name, "parameters": dict(engine.parameters)},
        "mode": mode,
        "tile": {"core": list(grid.core_shape), "origin": list(grid.origin)},
    }


def _fitted_recipe(
    run: RunDirectory, mosaic: Mosaic, recipe: str | Path, threads: int, progress: Progress | None
) -> Recipe:
    path = run.path / "recipe.yaml"
    if not path.exists():
        Recipe.fit(mosaic, recipe, threads=threads, progress=in_pixels(progress, mosaic.shape)).save(path)
    # Read back even when it was just written: a continued run then sees the very same numbers.
    return Recipe.load(path)


def _fitted_model(run: RunDirectory, mosaic: Mosaic, recipe: Recipe, engine: Model) -> Model:
    parameters = run.read_json("model.json")
    if parameters is None:
        parameters = dict(engine.fit(mosaic, recipe).parameters)
        run.write_json("model.json", parameters)
    return get_model(engine.name, **parameters)


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
    told = in_pixels(progress, mosaic.shape)
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
        picture(mosaic, recipe),
        labels.read,
        origin=mosaic.origin,
        progress=told,
    )


def _versions() -> dict[str, str]:
    return {
        "starnet": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "astropy": astropy.__version__,
        "sep": sep.__version__,
    }
