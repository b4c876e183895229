"""The interface of a segmentation engine.

An engine turns a window of the mosaic into maps: per pixel and local, so that a halo as wide as its reach makes every
core exact. Objects are formed from the maps outside the engine, component by component, in `starnet.instances`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from starnet.mosaic import Mosaic
from starnet.recipe import Preprocessed, Recipe


@dataclass(frozen=True)
class Maps:
    """What an engine says about the pixels of a window.

    Attributes
    ----------
    foreground : ndarray of bool, shape (ny, nx)
        Pixels that belong to some object; their connected components (sides and corners) are split into objects.
    detection : ndarray of float32, shape (ny, nx)
        The detection image in noise units: weights of centroids and shapes.
    landscape : ndarray of float32, shape (k, ny, nx)
        What else the splitter needs (centres, boundary distances); k = 0 where the detection image is enough.
    """

    foreground: npt.NDArray[np.bool_]
    detection: npt.NDArray[np.float32]
    landscape: npt.NDArray[np.float32]


class Splitter(Protocol):
    """Splits one component into objects, seeing its own pixels only."""

    def split(
        self, detection: npt.NDArray[np.float32], landscape: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int32]:
        """Labels 1, 2, … of the pixels of `mask`; a function of the component's pixels and of nothing else.

        Parameters
        ----------
        detection : ndarray of float32, shape (ny, nx)
            The component's bounding box; 0 outside the component.
        landscape : ndarray of float32, shape (k, ny, nx)
            As in `Maps`; 0 outside the component.
        mask : ndarray of bool, shape (ny, nx)
            The component's pixels.

        Returns
        -------
        labels : ndarray of int32, shape (ny, nx)
            0 outside the objects.
        """
        ...


class Model(Protocol):
    """A segmentation engine.

    Attributes
    ----------
    name : str
        As after ``--model``.
    parameters : mapping
        All that decides its output, JSON-able: part of a run's identity.
    halo : int
        Pixels around a core that the maps inside it depend on.
    stride : int
        Windows must begin at multiples of it.
    min_area : int
        Components and objects with fewer pixels are dropped.
    splitter : Splitter
        How its components become objects.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  (Attributes, above)
    @property
    def parameters(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def halo(self) -> int: ...  # noqa: D102
    @property
    def stride(self) -> int: ...  # noqa: D102
    @property
    def min_area(self) -> int: ...  # noqa: D102
    @property
    def splitter(self) -> Splitter: ...  # noqa: D102

    def fit(self, mosaic: Mosaic, recipe: Recipe) -> Self:
        """The engine with what it has to know of the whole mosaic among its `parameters`, before the first tile."""
        ...

    def maps(self, preprocessed: Preprocessed, *, threads: int | None = None) -> Maps:
        """The maps of a window."""
        ...
