"""`preprocess`: a mosaic as a model would see it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from starnet import _core
from starnet.errors import StarnetError
from starnet.memory import peak_memory
from starnet.mosaic import Mosaic, Weights
from starnet.outputs.cube import FitsCubeWriter
from starnet.outputs.png import write_rgb_tile
from starnet.outputs.preview import write_preview
from starnet.pipeline.stages import (
    Progress,
    Stopwatch,
    checked_tile,
    disk_full_explained,
    in_pixels,
    picture,
    rgb_bands,
    worker_count,
)
from starnet.recipe import Recipe
from starnet.tiles import TileGrid


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


def preprocess(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    recipe: str | Path = "noise",
    instrument: str | None = None,
    weights: Weights = None,
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
    inputs, recipe, instrument, weights, threads, memory, overwrite, progress
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
    stopwatch = Stopwatch()
    mosaic = Mosaic.open(inputs, instrument=instrument, weights=weights)
    directory = Path(output)
    names = {"preprocessed": "preprocessed.fits", "recipe": "recipe.yaml", "preview": "preview.png"}
    outputs = {kind: directory / name for kind, name in names.items()}
    if tiles:
        outputs["tiles"] = directory / "tiles"
    existing = [path for path in outputs.values() if path.exists()]
    if existing and not overwrite:
        raise StarnetError(f"{existing[0]} exists: name another directory with -o, or add --overwrite")
    threads = threads or os.cpu_count() or 1
    grid = TileGrid(mosaic.shape, checked_tile(tile))
    worker_count(mosaic, grid, 1, memory)
    with disk_full_explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        _core.set_threads(threads)
        with stopwatch("fit"):
            fitted = Recipe.fit(mosaic, recipe, threads=threads, progress=in_pixels(progress, mosaic.shape))
            fitted.save(outputs["recipe"])
        with stopwatch("apply"):
            _write_preprocessed(outputs, mosaic, fitted, grid, progress)
        with stopwatch("preview"):
            read = picture(mosaic, fitted)
            told = in_pixels(progress, mosaic.shape)
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
                rgb = image[rgb_bands(mosaic)] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
                write_rgb_tile(folder / f"y{tile.core.y0:05d}_x{tile.core.x0:05d}.png", rgb, origin=mosaic.origin)
            done += tile.core.size
            if progress:
                progress("apply", done, mosaic.shape[0] * mosaic.shape[1])
