"""What a network draws for prompts, without full-size arrays: runs of pixels, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from starnet import _core
from starnet.masks.runs import Ints, Runs, ranges
from starnet.prompts import Prompts
from starnet.tiles import Box


@dataclass(frozen=True)
class Decoded:
    """Masks that n prompts asked for, m candidates each.

    Attributes
    ----------
    logits : ndarray of float32, shape (n, m, h, w)
        Positive inside.
    predicted_iou : ndarray of float32, shape (n, m)
        The network's own guess of each mask's IoU.
    origins : ndarray of int64, shape (n, 2)
        ``y, x`` of the masks' first pixel in the window.
    """

    logits: NDArray[np.float32]
    predicted_iou: NDArray[np.float32]
    origins: NDArray[np.int64]


@dataclass(frozen=True)
class Masks:
    """n masks of a mosaic; they may overlap.

    Attributes
    ----------
    runs : ndarray of int32, shape (m, 4)
        ``y, x0, x1, number`` of their pixels in the mosaic, ascending in ``(number, y, x0)``; numbers begin at 1.
    kind : ndarray of int8, shape (n,)
        Who made their prompts, as in `Prompts`.
    ids : ndarray of int64, shape (n,)
        Their prompts' numbers with these.
    predicted_iou : ndarray of float32, shape (n,)
        The network's own guess of their IoU.
    stability : ndarray of float32, shape (n,)
        IoU of the mask at a higher with that at a lower threshold.
    area : ndarray of int64, shape (n,)
        Pixels.
    windows : ndarray of int32, shape (n, 4)
        ``y0, y1, x0, x1`` of the pixels, in the mosaic, that each could have.
    """

    runs: NDArray[np.int32]
    kind: NDArray[np.int8]
    ids: NDArray[np.int64]
    predicted_iou: NDArray[np.float32]
    stability: NDArray[np.float32]
    area: NDArray[np.int64]
    windows: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.kind)

    @classmethod
    def none(cls) -> Self:
        """No masks."""
        empty = np.empty(0, np.float32)
        return cls(
            np.empty((0, 4), np.int32), np.empty(0, np.int8), np.empty(0, np.int64), empty, empty,
            np.empty(0, np.int64), np.empty((0, 4), np.int32),
        )  # fmt: skip

    @classmethod
    def from_logits(
        cls,
        decoded: Decoded,
        prompts: Prompts,
        window: Box,
        shape: tuple[int, int],
        offset: float = 1.0,
        *,
        least_iou: float = -np.inf,
        least_stability: float = 0.0,
    ) -> Self:
        """The masks of a batch, ``logits > 0``, of the candidates that are not empty and good enough.

        Of each, the connected piece (sides and corners) that holds the prompt's anchor is kept, or the largest where
        the anchor is outside: what a network sprinkles over the rest of its window is no part of the object.

        Parameters
        ----------
        decoded : Decoded
            Of one window.
        prompts : Prompts
            Those that were decoded, in pixels of the mosaic.
        window : Box
            In the mosaic.
        shape : tuple of int
            ``(ny, nx)`` of the mosaic.
        offset : float
            The stability compares ``logits > offset`` with ``logits > -offset``
            (``calculate_stability_score`` of segment_anything).
        least_iou, least_stability : float
            Candidates that the network expects less of, or that are less stable, are not cut out.
        """
        n, m, h, w = decoded.logits.shape
        window = window.clip(shape)
        areas = [Box(y, y + h, x, x + w).shift(window.y0, window.x0).intersect(window) for y, x in decoded.origins]
        anchors = np.floor(prompts.anchors + np.float32(0.5)).astype(np.int64)
        runs, rows = [np.empty((0, 4), np.int32)], []
        stability = np.zeros((n, m), np.float32)
        for i, (area, (x, y)) in enumerate(zip(areas, anchors.tolist(), strict=True)):
            ny, nx = area.shape
            for k in np.flatnonzero(decoded.predicted_iou[i] >= least_iou).tolist():
                logits = decoded.logits[i, k, :ny, :nx]
                wide, narrow = np.count_nonzero(logits > -offset), np.count_nonzero(logits > offset)
                stability[i, k] = narrow / wide if wide else 0
                if stability[i, k] < least_stability:
                    continue
                own = _piece(logits > 0, (y - area.y0, x - area.x0))
                if len(own):
                    rows.append((i, k))
                    own += np.array([area.y0, area.x0, area.x0], np.int32)
                    runs.append(np.column_stack([own, np.full(len(own), len(rows), np.int32)]))
        which, candidate = np.array(rows, np.int64).reshape(-1, 2).T
        together = np.concatenate(runs)
        return cls(
            together,
            prompts.kind[which],
            prompts.ids[which],
            decoded.predicted_iou[which, candidate],
            stability[which, candidate],
            areas_of(together, len(rows)),
            np.array([(a.y0, a.y1, a.x0, a.x1) for a in areas], np.int32).reshape(-1, 4)[which],
        )

    @classmethod
    def concatenate(cls, several: Iterable[Masks]) -> Self:
        """All of them, in their order."""
        parts: list[Masks] = [cls.none(), *several]
        before = np.cumsum([0, *(len(part) for part in parts)])
        runs = [part.runs + np.array([0, 0, 0, n], np.int32) for part, n in zip(parts, before, strict=False)]
        rest = [np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)[1:]]
        return cls(np.concatenate(runs), *rest)

    def select(self, which: NDArray[np.bool_] | NDArray[np.integer]) -> Self:
        """Some of them, in the order that is asked for."""
        rows = np.flatnonzero(which) if which.dtype == bool else which
        first = self.first
        number, run = ranges(first[rows], first[rows + 1])
        runs = self.runs[run]
        runs[:, 3] = number + 1
        return type(self)(runs, *(getattr(self, one.name)[rows] for one in fields(self)[1:]))

    @property
    def first(self) -> Ints:
        """Where the runs of each mask begin, and in the end how many there are; int64, ``(n + 1,)``."""
        return np.searchsorted(self.runs[:, 3], np.arange(1, len(self) + 2, dtype=np.int32)).astype(np.int64)

    def along(self, nx: int) -> Runs:
        """Their runs in pixels counted along the rows of a mosaic `nx` wide."""
        y, x0, x1, number = self.runs.astype(np.int64).T
        order = np.argsort(y * nx + x0, kind="stable")
        return Runs(number[order], (y * nx + x0)[order], (y * nx + x1)[order])


def areas_of(runs: NDArray[np.int32], count: int) -> Ints:
    """Pixels of masks 1 to `count`."""
    pixels = np.bincount(runs[:, 3], weights=runs[:, 2] - runs[:, 1], minlength=count + 1)
    return pixels[1:].astype(np.int64)


def _piece(mask: NDArray[np.bool_], anchor: tuple[int, int]) -> NDArray[np.int32]:
    """Runs ``y, x0, x1`` of the piece of a mask that holds a pixel, or of the largest."""
    some = np.flatnonzero(mask.any(axis=1))
    if not len(some):
        return np.empty((0, 3), np.int32)
    top, bottom = int(some[0]), int(some[-1]) + 1
    pieces, count = _core.label(np.ascontiguousarray(mask[top:bottom]).view(np.uint8))
    if count > 1:
        y, x = anchor[0] - top, anchor[1]
        inside = 0 <= y < len(pieces) and 0 <= x < pieces.shape[1]
        number = int(pieces[y, x]) if inside else 0
        pieces = (pieces == (number or np.bincount(pieces.ravel())[1:].argmax() + 1)).astype(np.int32)
    edges = np.diff((pieces > 0).view(np.int8), axis=1, prepend=np.int8(0), append=np.int8(0))
    rows, x0 = np.nonzero(edges == 1)
    return np.column_stack([rows + top, x0, np.nonzero(edges == -1)[1]]).astype(np.int32)
