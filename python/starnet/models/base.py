"""The interface of a segmentation engine.

An engine turns a window of the mosaic into maps: per pixel and local, so that a halo as wide as its reach makes every
core exact. Objects are formed from the maps outside the engine, component by component, in `starnet.instances`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from starnet.mosaic import Mosaic
from starnet.recipe import Preprocessed, Recipe


@dataclass(frozen=True)
class Drawn:
    """Objects that an engine drew whole, over the tiles, and disjoint: they are measured as they are.

    Attributes
    ----------
    labels : ndarray of int32, shape (ny, nx)
        Position, from 1, in the other two; 0 is none of them.
    numbers : ndarray of int32, shape (k,)
        Their numbers in the mosaic.
    extents : ndarray of int32, shape (k, 4)
        ``y0, y1, x0, x1`` in the mosaic, half-open: all of the object, not what is seen of it here.
    """

    labels: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int32]
    extents: npt.NDArray[np.int32]


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
    drawn : Drawn, optional
        Objects that need not be formed from components.
    """

    foreground: npt.NDArray[np.bool_]
    detection: npt.NDArray[np.float32]
    landscape: npt.NDArray[np.float32]
    drawn: Drawn | None = None


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


@runtime_checkable
class TileSplitter(Splitter, Protocol):
    """A splitter that takes many components in one call, and makes the same of each."""

    def split_all(
        self,
        landscape: npt.NDArray[np.float32],
        components: npt.NDArray[np.int32],
        extents: npt.NDArray[np.int32],
        which: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int32],
        first: int,
    ) -> npt.NDArray[np.int32]:
        """Labels the pixels of some components `first`, `first` + 1, …; no object is smaller than `min_area`.

        Parameters
        ----------
        landscape : ndarray of float32, shape (k, ny, nx)
            As in `Maps`.
        components : ndarray of int32, shape (ny, nx)
            Numbers of the components, from 1.
        extents : ndarray of int32, shape (n, 5)
            ``y0, y1, x0, x1`` and the area of each.
        which : ndarray of int64
            Numbers of those to split.
        labels : ndarray of int32, shape (ny, nx)
            What is filled; the pixels of other components are left alone.
        first : int
            The first object's.

        Returns
        -------
        counts : ndarray of int32
            Objects of each component in `which`.
        """
        ...


class Mapper(Protocol):
    """Turns windows into maps: all that the work on a tile needs.

    Attributes
    ----------
    min_area : int
        Components and objects with fewer pixels are dropped.
    splitter : Splitter
        How its components become objects.
    """

    @property
    def min_area(self) -> int: ...  # noqa: D102  (Attributes, above)
    @property
    def splitter(self) -> Splitter: ...  # noqa: D102

    def maps(self, preprocessed: Preprocessed, *, threads: int | None = None) -> Maps:
        """The maps of a window."""
        ...


@runtime_checkable
class Staged(Mapper, Protocol):
    """A mapper that runs a network: its `maps` is `finish` after `infer`, and other threads may do either meanwhile."""

    def infer(self, preprocessed: Preprocessed) -> Any:
        """What the network says of a window."""
        ...

    def finish(self, preprocessed: Preprocessed, inferred: Any) -> Maps:
        """The maps made of it."""
        ...


class Engine(Protocol):
    """What all engines have.

    Attributes
    ----------
    name : str
        As after ``--model``.
    parameters : mapping
        All that decides its output, JSON-able: part of a run's identity.
    recipe : str
        The preprocessing that it is made for.
    halo : int
        Pixels around a core that the maps inside it depend on.
    stride : int
        Windows must begin at multiples of it.
    even : bool
        It depends on the size of a window: all windows must have the same.
    tile : int
        Side of a core that suits it.
    at_once : int
        Threads that may use one of it at the same time: as many as a network has devices.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  (Attributes, above)
    @property
    def parameters(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def recipe(self) -> str: ...  # noqa: D102
    @property
    def halo(self) -> int: ...  # noqa: D102
    @property
    def stride(self) -> int: ...  # noqa: D102
    @property
    def even(self) -> bool: ...  # noqa: D102
    @property
    def tile(self) -> int: ...  # noqa: D102
    @property
    def at_once(self) -> int: ...  # noqa: D102

    def fit(self, mosaic: Mosaic, recipe: Recipe) -> Self:
        """The engine with what it has to know of the whole mosaic among its `parameters`, before the first tile."""
        ...

    def fitted(self, parameters: Mapping[str, Any]) -> Self:
        """The engine with what an earlier `fit` found, from its `parameters`."""
        ...

    def memory(self, window: tuple[int, int]) -> int:
        """Bytes that it takes for a window of ``(ny, nx)`` pixels, beside the preprocessed ones."""
        ...


class Model(Engine, Mapper, Protocol):
    """An engine that works tile by tile."""
