"""Samples: squares of a preprocessed sky with their true objects, each known by its number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from starnet.evaluate.metrics import LEAST_AREA
from starnet.tiles import Box

_DRAWS = 10

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """A square of sky.

    Attributes
    ----------
    image : ndarray of float32, shape (nband, s, s)
        As a recipe shows it; 0 where a pixel is not valid.
    labels : ndarray of int32, shape (s, s)
        True objects, numbered from 1 without gaps; 0 is sky, and what is not sure to be an object.
    ignore : ndarray of bool, shape (s, s)
        Pixels of which the truth says nothing: without data, or of sources that do not count.
    """

    image: Float32
    labels: Int32
    ignore: Bools

    @classmethod
    def of(cls, image: Float32, labels: NDArray[np.integer], ignore: Bools, size: int) -> Sample:
        """A sample from pixels of a map.

        Objects of fewer pixels than the judge counts (`starnet.evaluate`), those that the edge cuts included, are
        ignored. What is smaller than a sample is filled up with ignored pixels.

        Parameters
        ----------
        image : ndarray of float32, shape (nband, ny, nx)
            As a recipe shows it.
        labels : ndarray of int, shape (ny, nx)
            Any positive labels.
        ignore : ndarray of bool, shape (ny, nx)
            As in `Sample`.
        size : int
            Side of the sample, at least ``ny`` and ``nx``.
        """
        found, pixels = np.unique(np.where(ignore, 0, labels), return_counts=True)
        counting = np.append(0, found[(found > 0) & (pixels >= LEAST_AREA)])
        place = np.minimum(np.searchsorted(counting, labels), len(counting) - 1)
        known = counting[place] == labels
        ny, nx = labels.shape
        sample = cls(
            np.zeros((len(image), size, size), np.float32),
            np.zeros((size, size), np.int32),
            np.ones((size, size), bool),
        )
        sample.image[:, :ny, :nx] = image
        sample.labels[:ny, :nx] = np.where(known, place, 0)
        sample.ignore[:ny, :nx] = ignore | ~known
        return sample


def drawn_box(rng: np.random.Generator, shape: tuple[int, int], size: int, seen: Callable[[Box], bool]) -> Box:
    """A random square inside a map, drawn again while too little of it is seen.

    Parameters
    ----------
    rng : Generator
        Random numbers.
    shape : tuple of int
        ``(ny, nx)`` of the map.
    size : int
        Side of the square; all of the map, where that is less.
    seen : callable
        Whether a square will do. The last of several draws is taken in any case.
    """
    ny, nx = (min(size, length) for length in shape)
    for _ in range(_DRAWS):
        y0, x0 = (int(rng.integers(0, length - side + 1)) for length, side in zip(shape, (ny, nx), strict=True))
        box = Box(y0, y0 + ny, x0, x0 + nx)
        if seen(box):
            break
    return box


#: Rows of samples that a training goes along at once.
LANES = 4


class Source(Protocol):
    """Samples without end, each a function of its number and a seed: whoever asks, in whatever order.

    Samples in a row may share the work of making them. Feeds ask for those of `LANES` rows in turn, so a source holds
    what so many samples of a row share.
    """

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands, in the order of a sample's planes."""

    def sample(self, index: int, size: int, seed: int) -> Sample:
        """Make a sample.

        Parameters
        ----------
        index : int
            Its number, from 0.
        size : int
            Its side in pixels.
        seed : int
            Of all random choices, 0 or more.

        Raises
        ------
        StarnetError
            If the files it is cut from cannot be used.
        """
