"""`segment`: a mosaic in, a label map and a catalog out."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import astropy
import numpy as np
import sep
from astropy.table import QTable

from starnet import __version__, _core
from starnet.catalog import add_provenance, build_catalog
from starnet.errors import StarnetError
from starnet.labelmap import LabelMap, number_objects
from starnet.memory import peak_memory
from starnet.models import DEFAULT_MODEL, Backend, Engine, NetworkEngine, NetworkOptions, Prompted, Staged, get_model
from starnet.mosaic import Mosaic, Weights
from starnet.outputs.catalog_files import write_catalog
from starnet.outputs.overlay import write_overlay
from starnet.outputs.regions_file import write_regions
from starnet.outputs.segmentation_map import write_segmentation_map
from starnet.pipeline.drawing import draw_objects
from starnet.pipeline.stages import (
    Progress,
    Stopwatch,
    checked_tile,
    disk_full_explained,
    in_pixels,
    picture,
    room_left,
    side_threads,
    tiles_ahead,
    worker_count,
)
from starnet.prompts import Prompts
from starnet.recipe import Recipe
from starnet.run import FORMAT, OUTPUTS, RunDirectory, Shards
from starnet.stitch import ObjectJoiner, SeamJoiner
from starnet.tile_job import STAGES, TileJob, process_tiles
from starnet.tiles import Box, TileGrid
from starnet.workers import Pool, pool, staged

#: Pixels that are larger or smaller by so much are not worth a remark.
NEAR = 1.2

AnyEngine = TypeVar("AnyEngine", bound=Engine)


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
    notes : list of str
        What the user may want to know.
    """

    directory: Path
    n_sources: int
    outputs: dict[str, Path]
    was_finished: bool
    resumed_tiles: int
    seconds: dict[str, float]
    peak_memory: int
    run: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def segment(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    model: str | Path | Backend = DEFAULT_MODEL,
    checkpoint: str | Path | None = None,
    prompts: str | Path | Prompts | None = None,
    mode: str = "tiled",
    tile: int | None = None,
    tile_origin: tuple[int, int] = (0, 0),
    recipe: str | Path | None = None,
    instrument: str | None = None,
    weights: Weights = None,
    device: str = "auto",
    embeddings: str | Path | None = None,
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
    model : str, Path or Backend
        Segmentation engine: a network (``tiny``, which comes with the package, ``vit_b``, ``vit_l``, ``vit_h``), the
        file or bundle of one, what runs one, or ``classical``.
    checkpoint : str or Path, optional
        Weights of the network, as a file or by name; by default those that come with the package, else looked for in
        the cache folder.
    prompts : str, Path or Prompts, optional
        What a network is asked: ``head`` (nothing: its instance head alone; the default where it has one), ``grid``,
        ``peaks`` (the default elsewhere), ``centres`` (of the instance head), or a table of positions or boxes.
    mode : {"tiled", "direct"}
        Tile by tile, or the whole image at once. The result is the same, unless the network is one that sees its window
        as a whole, as SAM's do.
    tile : int, optional
        Side of a tile's core in pixels; by default what suits the model.
    tile_origin : tuple of int
        Where the grid of tiles is anchored, ``(y, x)``. The result depends on it as little as on the mode.
    recipe : str or Path, optional
        ``noise``, ``seed``, or a recipe file; by default what the model was made for.
    instrument : str, optional
        Preset of `starnet.instruments`; found from the headers by default.
    weights : "none" or sequence, optional
        Weight maps, one a band, as for `Mosaic.open`; looked for in the files and beside them by default.
    device : str
        Where a network runs: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
    embeddings : str or Path, optional
        Folder where what the encoder made of each window is kept for later runs.
    threads : int, optional
        CPU cores to use; all of them by default.
    memory : int, optional
        Bytes that the run may use; fewer workers are started, and fewer prompts decoded at once, where it would need
        more.
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
    threads = threads or os.cpu_count() or 1
    options = NetworkOptions(checkpoint, prompts, device, embeddings, threads)
    with stopwatch("load"):
        engine = get_model(model, mosaic, options, **model_parameters)
    notes = _notes(mosaic, engine, recipe)
    recipe = recipe or engine.recipe
    grid = _grid(mosaic, engine, mode, tile, tile_origin)
    plan = _plan(mosaic, engine, recipe, mode, grid)
    room = room_left(mosaic, grid, memory, engine)
    directory = Path(output)
    with RunDirectory.open(directory, plan, overwrite=overwrite) as run:
        outputs = {kind: directory / name for kind, name in OUTPUTS.items()}
        if (done := run.summary) is not None:
            return SegmentResult(
                directory, done["sources"], outputs, True, len(grid), done["seconds"], done["peak_memory"], done, notes
            )
        with disk_full_explained(directory):
            with stopwatch("fit"):
                fitted = _fitted_recipe(run, mosaic, recipe, threads, progress)
                engine = _fitted_model(run, mosaic, fitted, engine)
            resumed = len(run.finished_tiles)
            shards = Shards(directory, grid)
            shards.create()
            _core.set_threads(threads)
            provenance = None
            busy: dict[str, float] = {}
            if isinstance(engine, Prompted):
                with stopwatch("masks"):
                    mapper, provenance, busy = draw_objects(
                        run, shards, mosaic, fitted, engine,
                        threads=threads, memory=memory, room=room, progress=progress,
                    )  # fmt: skip
                # What is left to do needs the objects, not the network and what it sees.
                grid = replace(grid, halo=mapper.halo + 1, stride=1, even=False)
                shards = replace(shards, grid=grid)
                job = TileJob(mosaic, fitted, mapper, shards)
            else:
                job = TileJob(mosaic, fitted, engine, shards)
            joiner = SeamJoiner(grid) if provenance is None else ObjectJoiner(grid)
            with stopwatch("segment"), _workforce(job, engine, threads, memory) as workforce:
                process_tiles(run, shards, workforce, joiner, progress)
            with stopwatch("catalog"):
                columns, labels = number_objects(shards, range(len(grid)), run.finished_seams)
                catalog = build_catalog(columns, mosaic.bands, mosaic.wcs)
                if provenance is not None:
                    add_provenance(catalog, provenance.select(columns["object"] - 1))
            with stopwatch("outputs"):
                _write_outputs(outputs, mosaic, fitted, catalog, labels, threads, progress)
        summary = {
            **plan,
            "model": {"name": engine.name, "parameters": dict(engine.parameters)},
            **({"network": engine.about} if isinstance(engine, NetworkEngine) else {}),
            "paths": [str(path) for path in inputs],
            "weights": weights if weights is None or isinstance(weights, str) else [w and str(w) for w in weights],
            "sources": len(catalog),
            "tiles": len(grid),
            "resumed_tiles": resumed,
            "workers": workforce.workers,
            "threads": threads,
            "notes": notes,
            "seconds": stopwatch.seconds,
            "busy": {**busy, **workforce.busy},
            "peak_memory": peak_memory() + workforce.peak_memory,
            "outputs": OUTPUTS,
            "versions": _versions(),
        }
        run.write_json("run.json", summary)
    return SegmentResult(
        directory, len(catalog), outputs, False, resumed, stopwatch.seconds, summary["peak_memory"], summary, notes
    )


def _workforce(job: TileJob, engine: Engine, threads: int, memory: int | None) -> AbstractContextManager[Pool]:
    """Stages around a network; processes where none runs."""
    grid = job.shards.grid
    if not isinstance(job.model, Staged):
        return pool(job, worker_count(job.mosaic, grid, threads, memory))
    beside = side_threads(threads)
    ahead = tiles_ahead(job.mosaic, grid, threads, memory, engine)
    return staged(job, STAGES, {"read": beside, "network": engine.at_once, "objects": beside}, ahead)


def _notes(mosaic: Mosaic, engine: Engine, recipe: str | Path | None) -> list[str]:
    """What is said of inputs that may be a mistake."""
    notes = []
    if recipe is not None and isinstance(engine, NetworkEngine):
        chosen = Recipe.identity(recipe)["name"]
        if chosen != engine.recipe:
            notes.append(
                f"model {engine.name} was made for the recipe {engine.recipe}, not {chosen}: "
                "leave --recipe out to give it what it knows"
            )
    if isinstance(engine, NetworkEngine) and mosaic.pixel_scale is not None:
        least, most = engine.backend.pixel_scales or (0.0, float("inf"))
        if not least / NEAR < mosaic.pixel_scale < most * NEAR:
            notes.append(
                f"model {engine.name} was trained on pixels of {least:g} to {most:g} arcsec, and these have "
                f"{mosaic.pixel_scale:.3g}: see with starnet inject what it finds here"
            )
    if isinstance(engine, Prompted) and engine.prompting.remark is not None:
        notes.append(engine.prompting.remark)
    return notes


def _grid(mosaic: Mosaic, engine: Engine, mode: str, tile: int | None, origin: tuple[int, int]) -> TileGrid:
    if mode not in ("tiled", "direct"):
        raise StarnetError(f"mode {mode!r} is unknown: choose tiled or direct")
    # One pixel more than the engine sees: whether a pixel lies at the edge of the coverage depends on its neighbours.
    halo = engine.halo + (0 if engine.even else 1)
    if mode == "direct":
        return TileGrid(mosaic.shape, mosaic.shape, halo)
    side = checked_tile(engine.tile if tile is None else tile)
    return TileGrid(mosaic.shape, (side, side), halo, origin, engine.stride, engine.even)


def _plan(mosaic: Mosaic, engine: Engine, recipe: str | Path, mode: str, grid: TileGrid) -> dict[str, Any]:
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


def _fitted_model(run: RunDirectory, mosaic: Mosaic, recipe: Recipe, engine: AnyEngine) -> AnyEngine:
    parameters = run.read_json("model.json")
    if parameters is None:
        engine = engine.fit(mosaic, recipe)
        run.write_json("model.json", dict(engine.parameters))
        return engine
    return engine.fitted(parameters)


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
