"""Where the masks of prompts are drawn, and what a decoder sees there; the arithmetic of `Network`, in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starnet.prompts import Prompts


@dataclass(frozen=True)
class Alike:
    """Prompts that have as many points, and a box or none: a decoder takes them together.

    No mask depends on the room that another prompt needs.

    Attributes
    ----------
    which : ndarray of int, shape (p,)
        Their positions among all.
    points : ndarray of float32, shape (p, k, 2)
        ``x, y``.
    labels : ndarray of int8, shape (p, k)
        1 of the object, 0 not.
    boxes : ndarray of float32, shape (p, 4), or None
        ``x0, y0, x1, y1``.
    """

    which: NDArray[np.intp]
    points: NDArray[np.float32]
    labels: NDArray[np.int8]
    boxes: NDArray[np.float32] | None

    @classmethod
    def of(cls, prompts: Prompts) -> Iterator[Alike]:
        """Groups of prompts, without the room that is left of others."""
        counts = (prompts.labels != -1).sum(axis=1)
        boxed = np.isfinite(prompts.boxes).all(axis=1)
        kinds = counts * 2 + boxed
        for kind in np.unique(kinds):
            which = np.flatnonzero(kinds == kind)
            some = prompts.select(which)
            order = np.argsort(some.labels == -1, axis=1, kind="stable")[:, : int(kind) // 2]
            points = np.take_along_axis(some.points, order[:, :, None], axis=1)
            labels = np.take_along_axis(some.labels, order, axis=1)
            yield cls(which, points, labels, some.boxes if kind % 2 else None)

    def marks(
        self, origins: NDArray[np.int64], scale: tuple[float, float] = (1, 1)
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Points and labels as SAM's decoder in ONNX takes them.

        Parameters
        ----------
        origins : ndarray of int64, shape (p, 2)
            ``y, x`` of the windows in which they are drawn.
        scale : tuple of float
            Pixels of the encoder's frame to one of the window, in x and y.

        Returns
        -------
        points : ndarray of float32, shape (p, k + 1 or 2, 2)
            With a box's two corners, or an empty point where there is none.
        labels : ndarray of int64, shape (p, k + 1 or 2)
            2 and 3 for the corners, -1 for the empty point.
        """
        p = len(self.which)
        if self.boxes is None:
            more, kinds = np.zeros((p, 1, 2), np.float32), [-1]
        else:
            more, kinds = self.boxes.reshape(p, 2, 2), [2, 3]
        shift = origins[:, None, ::-1].astype(np.float32)
        points = (np.concatenate([self.points, more], axis=1) - shift) * np.asarray(scale, np.float32)
        labels = np.concatenate([self.labels.astype(np.int64), np.tile(np.array([kinds], np.int64), (p, 1))], axis=1)
        return points.astype(np.float32, copy=False), labels


def prompt_origins(
    anchors: NDArray[np.float32], shape: tuple[int, int], prompt_window: int | None, cell: int
) -> NDArray[np.int64]:
    """Where the windows begin in which prompts are drawn; ``y, x``, int64, ``(p, 2)``.

    Whole cells, centred on the anchors' where that does not lead over the window's border: as `Network.prompt_origins`.

    Parameters
    ----------
    anchors : ndarray of float32, shape (p, 2)
        ``x, y`` in pixels of the window.
    shape : tuple of int
        Of the window.
    prompt_window : int or None
        Side of a prompt's window; None: the whole window.
    cell : int
        Pixels of a cell of the embedding.
    """
    if prompt_window is None:
        return np.zeros((len(anchors), 2), np.int64)
    side = prompt_window // cell
    cells = np.floor((anchors[:, ::-1] + np.float32(0.5)) / np.float32(cell)).astype(np.int64) - side // 2
    last = [max(-(-extent // cell) - side, 0) for extent in shape]
    found: NDArray[np.int64] = np.clip(cells, 0, last) * cell
    return found


def cut(embedding: NDArray[np.float32], origins: NDArray[np.int64], side: int, cell: int) -> NDArray[np.float32]:
    """Squares of `side` cells of an embedding ``(width, ny, nx)``; zeros beyond it; ``(p, width, side, side)``."""
    found = np.zeros((len(origins), len(embedding), side, side), np.float32)
    for square, (y, x) in zip(found, origins // cell, strict=True):
        part = embedding[:, y : y + side, x : x + side]
        square[:, : part.shape[1], : part.shape[2]] = part
    return found
