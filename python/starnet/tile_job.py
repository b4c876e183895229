"""The work on tiles: what a worker does with one, and the order in which their results are taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from starnet.instances import Columns, finish_component, form_objects, place_objects
from starnet.layers import Layers
from starnet.masks import Masks
from starnet.models import Mapper, Maps, Prompted, Staged
from starnet.mosaic import Mosaic
from starnet.recipe import Preprocessed, Recipe
from starnet.run import RunDirectory, Shards
from starnet.stitch import Joiner, Part
from starnet.workers import Pool, Stage

#: What is done with a tile, and with seams, where a network runs; the stages' names are those of ``run.json``.
STAGES = {
    "process_tile": (Stage("read", "read"), Stage("network", "infer"), Stage("objects", "form")),
    "finish_seams": (Stage("objects", "finish_seams"),),
}
MASK_STAGES = {"draw": (Stage("read", "read"), Stage("network", "masks"), Stage("objects", "keep"))}


@dataclass(frozen=True)
class TileJob:
    """What a worker does; everything it needs, picklable."""

    mosaic: Mosaic
    recipe: Recipe
    model: Mapper
    shards: Shards

    def process_tile(self, index: int) -> int:
        """Segments one tile; returns the number of its finished objects."""
        _, preprocessed = self.read(index)
        return self._segment(index, preprocessed, self.model.maps(preprocessed))

    def read(self, index: int) -> tuple[int, Preprocessed]:
        """What a tile sees."""
        return index, self.recipe.apply(self.mosaic, self.shards.grid[index].window)

    def infer(self, tile: tuple[int, Preprocessed]) -> tuple[int, Preprocessed, Any]:
        """What the network says of it."""
        assert isinstance(self.model, Staged)
        return *tile, self.model.infer(tile[1])

    def form(self, tile: tuple[int, Preprocessed, Any]) -> int:
        """Its objects; the rest of `process_tile`."""
        assert isinstance(self.model, Staged)
        index, preprocessed, inferred = tile
        return self._segment(index, preprocessed, self.model.finish(preprocessed, inferred))

    def _segment(self, index: int, preprocessed: Preprocessed, maps: Maps) -> int:
        tile = self.shards.grid[index]
        layers = Layers.of(preprocessed, maps, self.mosaic.shape, tile.core)
        if maps.drawn is not None:
            objects = place_objects(layers, maps.drawn, tile.window)
        else:
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
                if drawn := members[0][0].edges.drawn[members[0][1] - 1 :, 0][:1].tolist():
                    columns["object"] = np.full(len(columns["label"]), drawn[0], np.int32)
                component_runs[:, 3] += count
                count += len(columns["label"])
                pieces.append(columns)
                runs.append(component_runs)
        table = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
        self.shards.write_seams(tile, table, np.concatenate(runs))
        return count


@dataclass(frozen=True)
class MaskJob:
    """The masks of a tile's prompts, before anything is formed or measured.

    Parameters
    ----------
    mosaic, recipe, engine, shards
        Those of the run, fitted.
    room : int, optional
        Bytes that the masks of a batch of prompts may take.
    """

    mosaic: Mosaic
    recipe: Recipe
    engine: Prompted
    shards: Shards
    room: int | None

    def read(self, index: int) -> tuple[int, Preprocessed]:
        """What a tile sees."""
        return index, self.recipe.apply(self.mosaic, self.shards.grid[index].window)

    def masks(self, tile: tuple[int, Preprocessed]) -> tuple[int, Masks]:
        """What the network draws there."""
        index, preprocessed = tile
        core = self.shards.grid[index].core
        return index, self.engine.draw(preprocessed, core, self.mosaic.shape, room=self.room)

    def keep(self, drawn: tuple[int, Masks]) -> int:
        """Writes them; returns their number."""
        self.shards.write_masks(*drawn)
        return len(drawn[1])


def draw_masks(
    run: RunDirectory,
    shards: Shards,
    workforce: Pool,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Draws the masks of all tiles that the ledger does not hold, taken in order."""
    grid = shards.grid
    started: deque[tuple[int, Future[int] | None]] = deque()
    tiles = iter(range(len(grid)))
    done = 0
    while True:
        _fill(started, tiles, run.finished["masks"], workforce, "draw")
        if not started:
            break
        tile, future = started.popleft()
        if future is not None:
            run.record("masks", tile, masks=future.result())
        done += grid[tile].core.size
        if progress:
            progress("masks", done, grid.shape[0] * grid.shape[1])


def process_tiles(
    run: RunDirectory,
    shards: Shards,
    workforce: Pool,
    joiner: Joiner,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Segments all tiles, and splits each component, or measures each drawn object, when its last tile is there.

    Tiles run in parallel but are taken in order: which tile completes a component does not depend on their speed.
    """
    grid = shards.grid
    started: deque[tuple[int, Future[int] | None]] = deque()
    seams: deque[tuple[int, Future[int]]] = deque()
    tiles = iter(range(len(grid)))
    done = 0
    while True:
        _fill(started, tiles, run.finished_tiles, workforce, "process_tile")
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


def _fill(
    started: deque[tuple[int, Future[int] | None]],
    tiles: Iterator[int],
    finished: Container[int],
    workforce: Pool,
    method: str,
) -> None:
    """Starts as many tiles as should be under way; those that are finished need no work."""
    while len(started) < workforce.ahead and (tile := next(tiles, None)) is not None:
        started.append((tile, None if tile in finished else workforce.submit(method, tile)))


def _record_seams(run: RunDirectory, tile: int, future: Future[int]) -> None:
    run.record("seams", tile, sources=future.result())
