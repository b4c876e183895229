"""Objects that were drawn before, as a mapper: they go through the same measurements as those of other engines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet import _core
from starnet.models.base import Drawn, Maps
from starnet.models.detector import Detector
from starnet.recipe import Preprocessed
from starnet.tiles import Box


class Whole:
    """Splits nothing: what comes is one object."""

    def split(
        self, detection: NDArray[np.float32], landscape: NDArray[np.float32], mask: NDArray[np.bool_]
    ) -> NDArray[np.int32]:
        """See `starnet.models.base.Splitter`."""
        return mask.astype(np.int32)


@dataclass(frozen=True)
class Painted:
    """Maps of a window from the runs of objects; picklable, without the network that drew them.

    Parameters
    ----------
    runs : Path
        ``y, x0, x1, number`` (from 1) of disjoint objects, ascending in y; an ``.npy`` file of int32, ``(n, 4)``.
    rows : Path
        Where the runs of each row of the mosaic begin; an ``.npy`` file of int64, ``(ny + 1,)``.
    extents : Path
        ``y0, y1, x0, x1`` of the objects; an ``.npy`` file of int32, ``(k, 4)``.
    min_area : int
        Fewest pixels of an object.
    detector : Detector
        The detection image, fitted.
    """

    runs: Path
    rows: Path
    extents: Path
    min_area: int
    detector: Detector

    @property
    def halo(self) -> int:
        """What the detection image needs."""
        return self.detector.halo

    @property
    def splitter(self) -> Whole:
        """Objects are whole already."""
        return Whole()

    def maps(self, preprocessed: Preprocessed, *, threads: int | None = None) -> Maps:
        """The objects of a window."""
        drawn = self.drawn(preprocessed.box)
        detection = self.detector.image(preprocessed, threads=threads)
        return Maps(drawn.labels > 0, detection, np.empty((0, *detection.shape), np.float32), drawn)

    def drawn(self, box: Box) -> Drawn:
        """The objects with pixels in a box; only their rows are read."""
        rows = np.load(self.rows, mmap_mode="r")
        first, last = int(rows[box.y0]), int(rows[box.y1])
        runs = np.array(np.load(self.runs, mmap_mode="r")[first:last])
        runs = runs[(runs[:, 1] < box.x1) & (runs[:, 2] > box.x0)]
        numbers, places = np.unique(runs[:, 3], return_inverse=True)
        runs[:, 3] = places + 1
        labels = np.zeros(box.shape, np.int32)
        _core.paint_runs(runs, (box.y0, box.x0), labels)
        extents = np.load(self.extents, mmap_mode="r")[numbers - 1]
        return Drawn(labels, numbers.astype(np.int32), np.asarray(extents))
