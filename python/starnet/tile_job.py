"""The work on tiles: what a worker does with one, and the order in which their results are taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from starnet.instances import Columns, finish_component, form_objects, place_objects
from starnet.layers import Layers
from starnet.models import Mapper
from starnet.mosaic import Mosaic
from starnet.recipe import Recipe
from starnet.run import RunDirectory, Shards
from starnet.stitch import Joiner, Part
from starnet.workers import Pool


@dataclass(frozen=True)
class TileJob:
    """What a worker does; everything it needs, picklable."""

    mosaic: Mosaic
    recipe: Recipe
    model: Mapper
    shards: Shards

    def process_tile(self, index: int) -> int:
        """Segments one tile; returns the number of its finished objects."""
        tile = self.shards.grid[index]
        preprocessed = self.recipe.apply(self.mosaic, tile.window)
        maps = self.model.maps(preprocessed)
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
