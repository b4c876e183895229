"""What becomes of objects that a cut or a shallower exposure has made too little."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

_LEAST = 4
_SEEN = 3.0


def without_crumbs(
    labels: NDArray[np.int64], valid: NDArray[np.bool_], *, least: int = _LEAST
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Labels without the pieces of objects of fewer than `least` pixels; those pixels are not valid.

    Parameters
    ----------
    labels : ndarray of int64, shape (ny, nx)
        0 is sky.
    valid : ndarray of bool, shape (ny, nx)
        Pixels whose label is known.
    least : int
        A piece is what touches by sides or corners.
    """
    pieces = _pieces(labels)
    crumbs = (labels > 0) & (np.bincount(pieces)[pieces].reshape(labels.shape) < least)
    return np.where(crumbs, 0, labels), valid & ~crumbs


def sunken(pixels: NDArray[np.float32], labels: NDArray[np.int64], least: float = _SEEN) -> NDArray[np.bool_]:
    """Pixels of objects whose signal to noise, ``sum x / sqrt(n)``, is less than `least` in all bands.

    Parameters
    ----------
    pixels : ndarray of float32, shape (nband, ny, nx)
        Linear noise units.
    labels : ndarray of int64, shape (ny, nx)
        0 is sky.
    least : float
        The noise is taken for white.
    """
    flat = labels.ravel()
    size = np.maximum(np.bincount(flat), 1)
    signal = np.max([np.bincount(flat, band.ravel()) for band in pixels], axis=0) / np.sqrt(size)
    lost: NDArray[np.bool_] = (labels > 0) & (signal < least)[labels]
    return lost


def _pieces(labels: NDArray[np.int64]) -> NDArray[Any]:
    """Number of each pixel's piece of one label, ``(ny * nx,)``."""
    place = np.arange(labels.size).reshape(labels.shape)
    halves: list[tuple[Any, Any]] = [
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[:-1, 1:], np.s_[1:, :-1]),
    ]
    joined = [(place[a], place[b], (labels[a] == labels[b]) & (labels[a] > 0)) for a, b in halves]
    first = np.concatenate([a[same] for a, _, same in joined])
    second = np.concatenate([b[same] for _, b, same in joined])
    graph = sparse.coo_array((np.ones(len(first), bool), (first, second)), shape=(labels.size, labels.size))
    numbers: NDArray[Any] = connected_components(graph, directed=False)[1]
    return numbers
