"""Prompts: what asks a network for the mask of one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from starnet.tiles import Box

#: Where a prompt may come from; `Prompts.kind` holds positions in it.
KINDS = ("grid", "peaks", "catalog", "centres", "boxes", "clicks")


@dataclass(frozen=True)
class Prompts:
    """Prompts, one for each object that is asked for.

    Positions are in pixels, x before y as SAM has them, and 0 is the centre of the first pixel: of the mosaic, or of
    a window after `shift`.

    Attributes
    ----------
    kind : ndarray of int8, shape (n,)
        Who made it, as a position in `KINDS`.
    ids : ndarray of int64, shape (n,)
        Its number with its maker: the row of a table, from 0; the object of clicks; ``y * nx + x`` of the pixel of a
        point that was made.
    points : ndarray of float32, shape (n, k, 2)
        ``x, y``; k may be 0.
    labels : ndarray of int8, shape (n, k)
        1: of the object; 0: not of the object; -1: no point, but room that others need.
    boxes : ndarray of float32, shape (n, 4)
        ``x0, y0, x1, y1``; NaN where there is none.
    """

    kind: NDArray[np.int8]
    ids: NDArray[np.int64]
    points: NDArray[np.float32]
    labels: NDArray[np.int8]
    boxes: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.kind)
        k = self.labels.shape[1] if self.labels.ndim == 2 else -1
        shapes = {"ids": (n,), "points": (n, k, 2), "labels": (n, k), "boxes": (n, 4)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has the shape {getattr(self, name).shape} instead of {shape}")
        if n and not np.isfinite(self.anchors).all():
            raise ValueError("a prompt must have a positive point or a box")

    def __len__(self) -> int:
        return len(self.kind)

    @classmethod
    def of_points(cls, kind: str, xy: NDArray[np.floating], ids: NDArray[np.int64] | None = None) -> Self:
        """One positive point each, ``(n, 2)``."""
        n = len(xy)
        return cls(
            np.full(n, KINDS.index(kind), np.int8),
            np.arange(n, dtype=np.int64) if ids is None else np.asarray(ids, np.int64),
            np.asarray(xy, np.float32).reshape(n, 1, 2),
            np.ones((n, 1), np.int8),
            np.full((n, 4), np.nan, np.float32),
        )

    @classmethod
    def of_boxes(cls, kind: str, boxes: NDArray[np.floating], ids: NDArray[np.int64] | None = None) -> Self:
        """One box each, ``(n, 4)``."""
        n = len(boxes)
        return cls(
            np.full(n, KINDS.index(kind), np.int8),
            np.arange(n, dtype=np.int64) if ids is None else np.asarray(ids, np.int64),
            np.empty((n, 0, 2), np.float32),
            np.empty((n, 0), np.int8),
            np.asarray(boxes, np.float32).reshape(n, 4),
        )

    @classmethod
    def none(cls) -> Self:
        """No prompts."""
        return cls.of_points("grid", np.empty((0, 2)))

    @classmethod
    def concatenate(cls, several: Sequence[Prompts]) -> Self:
        """All of them, in their order."""
        k = max((one.labels.shape[1] for one in several), default=0)

        def padded(values: NDArray[np.generic], fill: int) -> NDArray[np.generic]:
            width = [(0, 0), (0, k - values.shape[1]), (0, 0)][: values.ndim]
            return np.pad(values, width, constant_values=fill)

        if not several:
            return cls.none()
        return cls(
            np.concatenate([one.kind for one in several]),
            np.concatenate([one.ids for one in several]),
            np.concatenate([padded(one.points, 0) for one in several]).astype(np.float32),
            np.concatenate([padded(one.labels, -1) for one in several]).astype(np.int8),
            np.concatenate([one.boxes for one in several]),
        )

    @property
    def anchors(self) -> NDArray[np.float32]:
        """``x, y`` of the first positive point, or of the box's centre where there is none; float32, ``(n, 2)``.

        The tile whose core holds it is the one that draws the mask.
        """
        centres = np.float32(0.5) * (self.boxes[:, :2] + self.boxes[:, 2:])
        positive = self.labels == 1
        if not positive.shape[1]:
            return centres
        first = self.points[np.arange(len(self)), positive.argmax(axis=1)]
        return np.where(positive.any(axis=1)[:, None], first, centres).astype(np.float32, copy=False)

    def with_boxes(self, boxes: NDArray[np.floating]) -> Self:
        """The same with these boxes, ``(n, 4)``."""
        return type(self)(self.kind, self.ids, self.points, self.labels, np.asarray(boxes, np.float32))

    def select(self, which: NDArray[np.bool_] | NDArray[np.integer] | slice) -> Self:
        """Some of them."""
        return type(self)(self.kind[which], self.ids[which], self.points[which], self.labels[which], self.boxes[which])

    def shift(self, dx: float, dy: float) -> Self:
        """All of them moved."""
        by = np.array([dx, dy], np.float32)
        return type(self)(self.kind, self.ids, self.points + by, self.labels, self.boxes + np.tile(by, 2))

    def inside(self, box: Box) -> NDArray[np.bool_]:
        """Whether the anchors' pixels lie in a box; bool, ``(n,)``."""
        x, y = np.floor(self.anchors + np.float32(0.5)).T
        return np.asarray((x >= box.x0) & (x < box.x1) & (y >= box.y0) & (y < box.y1))


def pixel_numbers(y: NDArray[np.integer], x: NDArray[np.integer], shape: tuple[int, int]) -> NDArray[np.int64]:
    """``y * nx + x``: the ids of prompts that are made of pixels of a mosaic of this shape."""
    return np.asarray(y, np.int64) * shape[1] + np.asarray(x, np.int64)
