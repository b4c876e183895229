"""The stage of `segment` that draws what prompts ask for, before anything is measured."""

from __future__ import annotations

from starnet.masks import Masks
from starnet.models import Prompted
from starnet.models.painted import Painted
from starnet.mosaic import Mosaic
from starnet.pipeline.stages import Progress, side_threads, tile_bytes, tiles_ahead
from starnet.recipe import Recipe
from starnet.run import RunDirectory, Shards
from starnet.tile_job import MASK_STAGES, MaskJob, draw_masks
from starnet.workers import staged


def draw_objects(
    run: RunDirectory,
    shards: Shards,
    mosaic: Mosaic,
    recipe: Recipe,
    engine: Prompted,
    *,
    threads: int,
    memory: int | None,
    room: int | None,
    progress: Progress | None,
) -> tuple[Painted, Masks, dict[str, float]]:
    """Draws the masks of all prompts, tile by tile, and makes them disjoint.

    Tiles that the ledger holds are not drawn again; nor is anything once the objects are there.

    Parameters
    ----------
    run, shards, mosaic, recipe, engine, progress
        Those of the run, fitted.
    threads, memory : int
        As of `starnet.pipeline.segment`.
    room : int or None
        Bytes for the masks of a batch of prompts, and for tiles that wait.

    Returns
    -------
    mapper : Painted
        Gives the objects back, window by window.
    objects : Masks
        Where each comes from, in the order of their numbers.
    busy : dict of str to float
        Seconds that each stage worked.
    """
    ahead = tiles_ahead(mosaic, shards.grid, threads, memory, engine)
    if room is not None:
        room = (room - (ahead - 1) * tile_bytes(mosaic, shards.grid)) // engine.at_once
    job = MaskJob(mosaic, recipe, engine, shards, room)
    beside = side_threads(threads)
    with staged(job, MASK_STAGES, {"read": beside, "network": engine.at_once, "objects": beside}, ahead) as workforce:
        draw_masks(run, shards, workforce, progress)
    if (objects := shards.objects()) is None:
        masks = Masks.concatenate([shards.masks(tile.index) for tile in shards.grid])
        objects = engine.resolve(masks, mosaic.shape)
        shards.write_objects(objects)
    runs, rows, extents = shards.object_files
    return Painted(runs, rows, extents, engine.min_area, engine.detector), objects, workforce.busy
