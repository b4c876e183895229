"""Joining, over the seams of the tiles, the components that reach them, and the parts of drawn objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from starnet import _core
from starnet.instances import Edges
from starnet.tiles import Box, TileGrid

Part = tuple[int, int]
"""A part of a component: index of its tile, number (from 1) among the tile's `Patches`."""


class Joiner(Protocol):
    """Told of the tiles as they come, it says what is complete."""

    def add(self, tile: int, edges: Edges) -> list[list[Part]]:
        """See `SeamJoiner.add`."""
        ...


@dataclass
class _Component:
    parts: list[Part]
    awaited: set[int]  # tiles that are not there yet and may hold more of it


@dataclass
class SeamJoiner:
    """Joins parts that touch (sides or corners) while tiles arrive, and says which components are complete.

    Tiles may come in any order; components and their parts do not depend on it. Memory is bounded by the tiles that
    still lack a neighbour.

    Parameters
    ----------
    grid : TileGrid
        The tiles.
    """

    grid: TileGrid
    _edges: dict[int, Edges] = field(default_factory=dict, init=False)
    _components: dict[Part, _Component] = field(default_factory=dict, init=False)
    _waiting: dict[int, list[Part]] = field(default_factory=dict, init=False)  # parts, by the tile they wait for
    _arrived: set[int] = field(default_factory=set, init=False)

    def add(self, tile: int, edges: Edges) -> list[list[Part]]:
        """Takes a tile.

        Parameters
        ----------
        tile : int
            Its index.
        edges : Edges
            Where its patches reach its borders.

        Returns
        -------
        complete : list of list of (tile, number)
            The components that this tile completes; both they and their parts in ascending order.

        Raises
        ------
        ValueError
            If the tile was added before.
        """
        if tile in self._arrived:
            raise ValueError(f"tile {tile} was added before")
        self._arrived.add(tile)
        touched = self._waiting.pop(tile, [])
        for part in touched:
            self._components[part].awaited.discard(tile)
        for (dy, dx), other in self._neighbours(tile).items():
            mine = edges.facing(dy, dx)
            for number in np.unique(mine[mine > 0]).tolist():
                part = (tile, number)
                if part not in self._components:
                    self._components[part] = _Component([part], set())
                    touched.append(part)
                if other not in self._arrived:
                    self._components[part].awaited.add(other)
                    self._waiting.setdefault(other, []).append(part)
            if other in self._arrived:
                for a, b in _core.touching(mine, self._edges[other].facing(-dy, -dx)):
                    self._join((tile, a), (other, b))
        self._edges[tile] = edges
        for place in [tile, *self.grid.neighbours(tile)]:
            if place in self._edges and self._arrived.issuperset(self.grid.neighbours(place)):
                del self._edges[place]
        return self._take_complete(touched)

    def _neighbours(self, tile: int) -> dict[tuple[int, int], int]:
        """The tiles around this one, by direction."""
        nx = self.grid.tiles_per_axis[1]
        return {(other // nx - tile // nx, other % nx - tile % nx): other for other in self.grid.neighbours(tile)}

    def _join(self, a: Part, b: Part) -> None:
        one, two = self._components[a], self._components[b]
        if one is two:
            return
        if len(one.parts) < len(two.parts):
            one, two = two, one
        one.parts += two.parts
        one.awaited |= two.awaited
        for part in two.parts:
            self._components[part] = one

    def _take_complete(self, candidates: list[Part]) -> list[list[Part]]:
        done = []
        for part in candidates:
            component = self._components.get(part)
            if component is not None and not component.awaited:
                done.append(sorted(component.parts))
                for member in component.parts:
                    del self._components[member]
        return sorted(done)


@dataclass
class ObjectJoiner:
    """Gathers the parts of drawn objects while tiles arrive, and says which objects are complete.

    Parameters
    ----------
    grid : TileGrid
        The tiles.
    """

    grid: TileGrid
    _objects: dict[int, _Component] = field(default_factory=dict, init=False)  # by number
    _waiting: dict[int, list[int]] = field(default_factory=dict, init=False)  # numbers, by the tile they wait for
    _arrived: set[int] = field(default_factory=set, init=False)

    def add(self, tile: int, edges: Edges) -> list[list[Part]]:
        """As `SeamJoiner.add`."""
        if tile in self._arrived:
            raise ValueError(f"tile {tile} was added before")
        self._arrived.add(tile)
        touched = set(self._waiting.pop(tile, []))
        for number in touched:
            self._objects[number].awaited.discard(tile)
        for patch, (number, *extent) in enumerate(edges.drawn.tolist(), 1):
            touched.add(number)
            if number not in self._objects:
                awaited = set(self.grid.covering(Box(*extent))) - self._arrived
                self._objects[number] = _Component([], awaited)
                for other in awaited:
                    self._waiting.setdefault(other, []).append(number)
            self._objects[number].parts.append((tile, patch))
        complete = [number for number in touched if not self._objects[number].awaited]
        return sorted(sorted(self._objects.pop(number).parts) for number in complete)
