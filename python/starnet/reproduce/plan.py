"""What is to be reproduced, and on which sky."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from starnet.errors import StarnetError
from starnet.pipeline.stages import MIN_TILE
from starnet.tiles import Box

#: Images for these, in the order in which they are counted.
PARTS = ("train", "validation", "test")
#: What finds the objects: SAM on the whole mosaic, scaled to its input; on tiles; and on tiles after training.
METHODS = ("direct", "tiled", "fine-tuned")
#: The report's mean IoU, by part, of the fine-tuned network.
THEIRS = {"train": 0.20, "validation": 0.20, "test": 0.18}
#: Seeds of the simulated mosaics, from `train`, `validation` and `tune` of configs/splits/candels-deep.yaml: its `test`
#: is sealed, and the report's own test is not what it is kept for.
SEEDS = {"train": 100000, "validation": 2000, "test": 1000}
#: What is said in place of a file for a network that has not learned anything.
RANDOM = "random"


@dataclass(frozen=True)
class Plan:
    """All that decides the outcome.

    Attributes
    ----------
    model : str
        One of `starnet.networks.NETWORKS`, or the file of one.
    checkpoint : str, optional
        File of its weights, or ``random``; where `starnet fetch` puts them by default.
    images : tuple of int
        Images for training, validation and test.
    tile : int
        Side of an image in pixels.
    epochs : int
        Times that training sees each image.
    prompts : str
        As for ``starnet segment``.
    pred_iou_threshold, stability_threshold : float, optional
        Of masks that are kept; the network's own by default.
    recipe : str, optional
        Preprocessing; that of the weights by default, the report's (``seed``) where they were made for pictures.
    inputs : tuple of str
        The bands of a mosaic, as for `Mosaic.open`; simulated ones if empty.
    truth, table : str, optional
        Its true label map, and the table of its objects.
    preset, bands : str, tuple of str
        Of the simulated mosaics.
    device : str
        auto, cpu or cuda.
    seed : int
        Of training, and of random weights.
    """

    model: str = "vit_b"
    checkpoint: str | None = None
    images: tuple[int, int, int] = (10, 2, 3)
    tile: int = 682
    epochs: int = 3
    prompts: str = "grid"
    pred_iou_threshold: float | None = None
    stability_threshold: float | None = None
    recipe: str | None = None
    inputs: tuple[str, ...] = ()
    truth: str | None = None
    table: str | None = None
    preset: str = "candels-deep"
    bands: tuple[str, ...] = ("F160W", "F850LP", "F606W")
    device: str = "auto"
    seed: int = 1

    def __post_init__(self) -> None:
        if min(self.images) < 1:
            raise StarnetError(f"--images {' '.join(map(str, self.images))}: give at least one for each part")
        if self.tile < MIN_TILE:
            raise StarnetError(f"--tile {self.tile} is too small: give at least {MIN_TILE} pixels")
        if self.epochs < 1:
            raise StarnetError(f"--epochs {self.epochs}: give at least 1")
        if self.inputs and self.truth is None:
            raise StarnetError("a mosaic of your own needs its true label map: name it with --truth MAP")
        if not self.inputs and (self.truth is not None or self.table is not None):
            raise StarnetError("--truth and --table are those of a mosaic: name its bands, or leave them out")

    def document(self) -> dict[str, Any]:
        """JSON-able."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @property
    def learning(self) -> dict[str, bool]:
        """What learns, of the parts of a network that are not its encoder: what the prompts ask."""
        return {"decoder": self.prompts != "head", "head": self.prompts in ("head", "centres")}

    @property
    def simulated_shape(self) -> tuple[int, int]:
        """``(ny, nx)`` of a simulated mosaic: as many images as all parts together, and room for each part."""
        sides = [*self._sides.values(), _rectangle(sum(self.images))]
        return self.tile * max(rows for rows, _ in sides), self.tile * max(columns for _, columns in sides)

    @property
    def simulated_boxes(self) -> dict[str, Box]:
        """Where the images of each part lie in its simulated mosaic."""
        return {part: Box(0, self.tile * rows, 0, self.tile * columns) for part, (rows, columns) in self._sides.items()}

    def boxes(self, shape: tuple[int, int]) -> Mapping[str, Box]:
        """Where the images of each part lie in one mosaic: one part above the other, in its middle.

        Raises
        ------
        StarnetError
            If the mosaic is too small for them.
        """
        height, width = (
            self.tile * sum(rows for rows, _ in self._sides.values()),
            self.tile * max(columns for _, columns in self._sides.values()),
        )
        if height > shape[0] or width > shape[1]:
            raise StarnetError(
                f"{sum(self.images)} images of {self.tile} pixels need {width} x {height} pixels, and the mosaic has "
                f"{shape[1]} x {shape[0]}: give fewer --images or a smaller --tile"
            )
        y, x = (shape[0] - height) // 2, (shape[1] - width) // 2
        boxes = {}
        for part, (rows, columns) in self._sides.items():
            boxes[part] = Box(y, y + self.tile * rows, x, x + self.tile * columns)
            y += self.tile * rows
        return boxes

    @property
    def _sides(self) -> dict[str, tuple[int, int]]:
        return {part: _rectangle(count) for part, count in zip(PARTS, self.images, strict=True)}


def _rectangle(count: int) -> tuple[int, int]:
    """Rows and columns of so many squares: as near to a square as there are no gaps."""
    rows = next(rows for rows in range(math.isqrt(count), 0, -1) if count % rows == 0)
    return rows, count // rows
