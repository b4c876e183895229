"""The stage of `segment` that draws what prompts ask for, before anything is measured."""

from __future__ import annotations

from starnet.masks import Masks
from starnet.models import Prompted
from starnet.models.painted import Painted
from starnet.mosaic import Mosaic
from starnet.pipeline.stages import Progress
from starnet.recipe import Recipe
from starnet.run import RunDirectory, Shards


def draw_objects(
    run: RunDirectory,
    shards: Shards,
    mosaic: Mosaic,
    recipe: Recipe,
    engine: Prompted,
    room: int | None,
    progress: Progress | None,
) -> tuple[Painted, Masks]:
    """Draws the masks of all prompts, tile by tile, and makes them disjoint.

    Tiles that the ledger holds are not drawn again; nor is anything once the objects are there.

    Parameters
    ----------
    run, shards, mosaic, recipe, engine, progress
        Those of the run, fitted.
    room : int or None
        Bytes for the masks of a batch of prompts.

    Returns
    -------
    mapper : Painted
        Gives the objects back, window by window.
    objects : Masks
        Where each comes from, in the order of their numbers.
    """
    ny, nx = mosaic.shape
    done = 0
    for tile in shards.grid:
        if tile.index not in run.finished["masks"]:
            preprocessed = recipe.apply(mosaic, tile.window)
            masks = engine.draw(preprocessed, tile.core, mosaic.shape, room=room)
            shards.write_masks(tile.index, masks)
            run.record("masks", tile.index, masks=len(masks))
        done += tile.core.size
        if progress:
            progress("masks", done, ny * nx)
    if (objects := shards.objects()) is None:
        masks = Masks.concatenate([shards.masks(tile.index) for tile in shards.grid])
        objects = engine.resolve(masks, mosaic.shape)
        shards.write_objects(objects)
    runs, rows, extents = shards.object_files
    return Painted(runs, rows, extents, engine.min_area, engine.detector), objects
