"""The label map of a finished run, row by row: tile labels made global, seam objects painted in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from starnet import _core
from starnet.instances import Columns
from starnet.run import Shards
from starnet.tiles import Box


@dataclass
class LabelMap:
    """Global labels of a mosaic, assembled for any box; only the tiles it covers are read.

    Parameters
    ----------
    shards : Shards
        The pieces of the run.
    numbers : dict
        For each tile, the global ids of its labels; entry 0 is 0.
    runs : ndarray of int32, shape (n, 4)
        ``y, x0, x1, id`` of the objects that were joined over seams, ascending in y.
    """

    shards: Shards
    numbers: dict[int, npt.NDArray[np.int32]]
    runs: npt.NDArray[np.int32]
    _cache: dict[int, npt.NDArray[np.int32]] = field(default_factory=dict, init=False, repr=False)

    def read(self, box: Box) -> npt.NDArray[np.int32]:
        """The labels of a box inside the mosaic, int32, ``(ny, nx)``."""
        grid = self.shards.grid
        out = np.zeros(box.shape, np.int32)
        covering = grid.covering(box)
        self._cache = {tile: labels for tile, labels in self._cache.items() if tile in covering}
        for tile in covering:
            if len(self.numbers[tile]) == 1:
                continue
            if tile not in self._cache:
                self._cache[tile] = self.numbers[tile][self.shards.labels(tile)]
            core = grid[tile].core
            common = core.intersect(box)
            out[common.slices_in(box)] = self._cache[tile][common.slices_in(core)]
        first, last = np.searchsorted(self.runs[:, 0], [box.y0, box.y1])
        _core.paint_runs(self.runs[first:last], (box.y0, box.x0), out)
        return out


def number_objects(shards: Shards, tiles: Iterable[int], seams: Iterable[int]) -> tuple[Columns, LabelMap]:
    """Gathers the objects of all tiles and gives them their ids, 1, 2, … by anchor (y, then x).

    Parameters
    ----------
    shards : Shards
        The pieces of the run.
    tiles, seams : iterable of int
        The tiles, and those of them that completed components.

    Returns
    -------
    columns : Columns
        Measurements in the order of the ids.
    labels : LabelMap
        The map of the ids.
    """
    sources = [("tiles", tile) for tile in sorted(tiles)] + [("seams", tile) for tile in sorted(seams)]
    pieces = [shards.columns(folder, tile) for folder, tile in sources]
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    order = np.lexsort((columns["anchor_x"], columns["anchor_y"]))
    ids = np.empty(len(order), np.int32)
    ids[order] = np.arange(1, len(order) + 1)
    numbers: dict[int, npt.NDArray[np.int32]] = {}
    runs = [np.empty((0, 4), np.int32)]
    end = 0
    for (folder, tile), piece in zip(sources, pieces, strict=True):
        start, end = end, end + len(piece["label"])
        lookup = np.zeros(1 + int(piece["label"].max(initial=0)), np.int32)
        lookup[piece["label"]] = ids[start:end]
        if folder == "tiles":
            numbers[tile] = lookup
        else:
            seam_runs = shards.runs(tile)
            seam_runs[:, 3] = lookup[seam_runs[:, 3]]
            runs.append(seam_runs)
    all_runs = np.concatenate(runs)
    all_runs = all_runs[np.argsort(all_runs[:, 0], kind="stable")]
    return {name: values[order] for name, values in columns.items()}, LabelMap(shards, numbers, all_runs)
