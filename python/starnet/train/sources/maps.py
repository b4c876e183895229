"""Samples of images that have a label map, or masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.evaluate.labels import LabelSource, open_labels, strips
from starnet.evaluate.metrics import LEAST_AREA, LEAST_SNR
from starnet.evaluate.tables import read_table
from starnet.mosaic import Mosaic, Weights
from starnet.recipe import Recipe
from starnet.splits import AreaSplit
from starnet.tiles import Box
from starnet.train.samples import Sample, drawn_box


@dataclass(frozen=True)
class Mapped:
    """Crops of a mosaic whose objects are known.

    Attributes
    ----------
    mosaic : Mosaic
        Its pixels; read in windows.
    recipe : Recipe
        Fitted to it.
    truth : LabelSource
        Its objects; of masks that overlap, the smallest is on top.
    boxes : tuple of Box
        Where crops may lie, each inside one of them. A box that is smaller than a sample is filled up with ignored
        pixels.
    unsure : ndarray of int64
        Labels, ascending, that are ignored.
    """

    mosaic: Mosaic
    recipe: Recipe
    truth: LabelSource
    boxes: tuple[Box, ...]
    unsure: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        if self.truth.shape != self.mosaic.shape:
            (ny, nx), (my, mx) = self.truth.shape, self.mosaic.shape
            raise StarnetError(
                f"{self.truth.name} has {nx} x {ny} pixels, but the images have {mx} x {my}: give those of one grid"
            )

    @property
    def bands(self) -> tuple[str, ...]:
        """Those of the mosaic."""
        return self.recipe.bands

    def within(self, split: AreaSplit | None = None, part: str = "") -> Mapped:
        """The same, cropped inside the squares of a part of a split; None for no change.

        The recipe stays that of the whole map: it knows the pixels of other parts, but no truth.

        Raises
        ------
        StarnetError
            If the split is of another map, or the part has no squares.
        """
        return self if split is None else replace(self, boxes=in_part(split, part, self.mosaic.shape))

    def sample(self, index: int, size: int, seed: int) -> Sample:
        """See `Source.sample`."""
        rng = np.random.default_rng([seed, index])
        # As often as there are places in a box, so that all places are equally likely.
        places = np.array([max(1, ny - size + 1) * max(1, nx - size + 1) for ny, nx in (b.shape for b in self.boxes)])
        square = self.boxes[int(np.searchsorted(np.cumsum(places), rng.integers(places.sum()), "right"))]

        def seen(box: Box) -> bool:
            return bool(self.mosaic.read(box.shift(square.y0, square.x0)).valid.any(axis=0).mean() >= 0.5)

        box = drawn_box(rng, square.shape, size, seen).shift(square.y0, square.x0)
        shown = self.recipe.apply(self.mosaic, box)
        labels = self.truth.read(box)
        unsure = np.isin(labels, self.unsure) if len(self.unsure) else np.zeros(labels.shape, bool)
        return Sample.of(shown.image, np.where(unsure, 0, labels), unsure | ~shown.valid.any(axis=0), size)


def in_part(split: AreaSplit, part: str, shape: tuple[int, int]) -> tuple[Box, ...]:
    """The boxes of a part of a split of a map; errors as of `Mapped.within`."""
    if split.shape != shape:
        (ny, nx), (my, mx) = split.shape, shape
        raise StarnetError(
            f"the split is of {nx} x {ny} pixels, but the images have {mx} x {my}: give that of this map"
        )
    if not split.parts.get(part):
        raise StarnetError(f"the split has no squares to {part}: name one of {', '.join(split.parts)} as `part`")
    return split.parts[part]


def of_images(
    images: Sequence[str | Path],
    labels: str | Path,
    *,
    weights: Weights = None,
    instrument: str | None = None,
    table: str | Path | None = None,
    recipe: str | Path = "noise",
) -> Mapped:
    """Crops of images with a label map.

    Parameters
    ----------
    images, weights, instrument
        As for `Mosaic.open`.
    labels : str or Path
        As for `starnet.evaluate.open_labels`.
    table : str or Path, optional
        Table of the objects, one row for each ``label``: those of ``snr`` or ``area`` below 5 are ignored.
    recipe : str or Path
        A recipe's name, or its YAML file; fitted to the whole mosaic unless it was already.

    Raises
    ------
    StarnetError
        If a file cannot be used, or images and labels are not of one grid.
    """
    mosaic = Mosaic.open(images, instrument=instrument, weights=weights)
    truth = open_labels(labels)
    unsure = np.empty(0, np.int64) if table is None else _unsure(truth, table)
    return Mapped(mosaic, Recipe.fit(mosaic, recipe), truth, (mosaic.whole,), unsure)


def of_run(run: Path, *, labels: str | Path | None = None) -> Mapped:
    """Crops of a run's inputs, with its own label map or a corrected one, through its recipe.

    Parameters
    ----------
    run : Path
        Directory that ``starnet segment -o`` has filled.
    labels : str or Path, optional
        As for `of_images`; the run's own map by default.

    Raises
    ------
    StarnetError
        As `of_images`, and if the directory holds no finished run.
    """
    try:
        content = json.loads((run / "run.json").read_text(encoding="utf-8"))
        paths, weights = content["paths"], content["weights"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StarnetError(f"{run} holds no finished run: name a directory that `starnet segment -o` wrote") from error
    return of_images(
        paths,
        run if labels is None else labels,
        weights=weights,
        recipe=run / "recipe.yaml",
        instrument=content.get("instrument"),
    )


def located(base: Path | None, text: str) -> str:
    """An input as a user writes it, ``NAME=path[HDU]``, its path taken from a folder."""
    if base is None:
        return text
    name, equals, path = text.rpartition("=")
    return f"{name}{equals}{base / path}"


def _unsure(truth: LabelSource, table: str | Path) -> NDArray[np.int64]:
    """Labels that the judge does not count."""
    found = [np.unique(truth.runs(y0, y1).label) for y0, y1 in strips(truth.shape)]
    labels = np.unique(np.concatenate(found))
    columns = read_table(table, labels, truth.name)
    unsure = np.zeros(len(labels), bool)
    for name, least in (("snr", LEAST_SNR), ("area", LEAST_AREA)):
        numbers = columns.numbers(name)
        if numbers is not None:
            unsure |= numbers < least
    return labels[unsure]
