"""What the methods do to the fields of the test, and all of these fields as one map."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from starnet.atomic import write_json
from starnet.compare.methods import Labels, Method, Settings
from starnet.compare.programs import read_labels
from starnet.compare.scenes import Scene, read_json, write_labels
from starnet.evaluate.blocks import Blocks
from starnet.evaluate.labels import open_labels
from starnet.evaluate.tables import read_table
from starnet.mosaic import Mosaic
from starnet.tiles import Box


@dataclass(frozen=True)
class Trial:
    """A method with its settings on one field.

    Attributes
    ----------
    path : Path
        Its label map.
    seconds, cpu_seconds : float
        From images on disk to the label map in memory; of all processes together.
    """

    path: Path
    seconds: float
    cpu_seconds: float


def try_on(method: Method, settings: Settings, scene: Scene, directory: Path) -> Trial:
    """Run a method on a field, unless the same was done before."""
    path, facts = directory / f"{scene.name}.fits", directory / f"{scene.name}.json"
    identity = json.loads(json.dumps({"scene": scene.identity, "version": method.version, "settings": settings}))
    kept = read_json(facts)
    if kept is not None and kept["identity"] == identity and path.exists():
        return Trial(path, kept["seconds"], kept["cpu_seconds"])
    with tempfile.TemporaryDirectory() as scratch:
        start, cpu = time.perf_counter(), _cpu_seconds()
        labels = method.label(method.prepare(scene, Path(scratch)), settings)
        seconds, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
    directory.mkdir(parents=True, exist_ok=True)
    facts.unlink(missing_ok=True)
    write_labels(path, labels)
    write_json(facts, {"identity": identity, "seconds": seconds, "cpu_seconds": cpu})
    return Trial(path, seconds, cpu)


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


@dataclass(frozen=True)
class Stack:
    """Fields on top of each other, so that they are judged as one map.

    Each begins at a multiple of the bootstrap's squares, so that no square is of two fields.

    Attributes
    ----------
    boxes : tuple of Box
        Where each lies.
    block : int
        Side of the squares.
    """

    boxes: tuple[Box, ...]
    block: int

    @classmethod
    def of(cls, shapes: Sequence[tuple[int, int]]) -> Stack:
        """Stack fields of some shapes."""
        block = max(Blocks.of(shape).side for shape in shapes)
        boxes, y = [], 0
        for ny, nx in shapes:
            boxes.append(Box(y, y + ny, 0, nx))
            y += -(-ny // block) * block
        return cls(tuple(boxes), block)

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` of the whole."""
        return self.boxes[-1].y1, max(box.x1 for box in self.boxes)

    def labels(self, maps: Sequence[Labels]) -> tuple[Labels, list[int]]:
        """One map, and what was added to the labels of each field."""
        whole = np.zeros(self.shape, np.int32)
        offsets, offset = [], 0
        for box, labels in zip(self.boxes, maps, strict=True):
            whole[box.slices] = np.where(labels > 0, labels + np.int32(offset), 0)
            offsets.append(offset)
            offset += int(labels.max(initial=0))
        return whole, offsets

    def truth(self, scenes: Sequence[Scene]) -> tuple[Labels, Table | None]:
        """The true map of all fields, and their table: columns that all have, rows of what is in the map."""
        maps = [read_labels(scene.truth) for scene in scenes]
        whole, offsets = self.labels(maps)
        tables = []
        for scene, labels, offset in zip(scenes, maps, offsets, strict=True):
            if scene.table is None:
                return whole, None
            present = np.unique(labels[labels > 0]).astype(np.int64)
            own = read_table(scene.table, present, open_labels(scene.truth).name)
            tables.append({"label": present + offset, **own.columns})
        names = [name for name in tables[0] if all(name in one for one in tables)]
        return whole, Table({name: np.concatenate([one[name] for one in tables]) for name in names})

    def write_images(self, scenes: Sequence[Scene], directory: Path) -> list[str]:
        """The bands of all fields as one image each, for pictures: three at most."""
        names = [band.name for band in Mosaic.open(scenes[0].inputs).bands][:3]
        paths = []
        for i, name in enumerate(names):
            whole: NDArray[Any] = np.full(self.shape, np.nan, np.float32)
            for box, scene in zip(self.boxes, scenes, strict=True):
                mosaic = Mosaic.open([scene.inputs[i]], weights="none")
                whole[box.slices] = mosaic.read(Box(0, mosaic.shape[0], 0, mosaic.shape[1])).data[0]
            path = directory / f"{name.lower()}.fits"
            fits.writeto(path, whole, overwrite=True)
            paths.append(f"{name}={path}")
        return paths
