"""Pixel boxes and the grid of tiles that covers a mosaic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Box:
    """A half-open box of pixels, rows ``y0 <= y < y1`` and columns ``x0 <= x < x1``."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``; never negative."""
        return max(0, self.y1 - self.y0), max(0, self.x1 - self.x0)

    @property
    def size(self) -> int:
        """Number of pixels."""
        ny, nx = self.shape
        return ny * nx

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of this box in an array that starts at pixel (0, 0)."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def slices_in(self, outer: Box) -> tuple[slice, slice]:
        """Index of this box in an array that holds `outer`."""
        return self.shift(-outer.y0, -outer.x0).slices

    def pad(self, n: int) -> Box:
        """The box, `n` pixels wider on every side."""
        return Box(self.y0 - n, self.y1 + n, self.x0 - n, self.x1 + n)

    def shift(self, dy: int, dx: int) -> Box:
        """The box, moved."""
        return Box(self.y0 + dy, self.y1 + dy, self.x0 + dx, self.x1 + dx)

    def intersect(self, other: Box) -> Box:
        """The common pixels; of size 0 where there are none."""
        return Box(max(self.y0, other.y0), min(self.y1, other.y1), max(self.x0, other.x0), min(self.x1, other.x1))

    def clip(self, shape: tuple[int, int]) -> Box:
        """The part inside an image of this shape."""
        return self.intersect(Box(0, shape[0], 0, shape[1]))


@dataclass(frozen=True)
class Tile:
    """One tile: the `core` it answers for, and the `window` (core and halo, inside the mosaic) it has to see."""

    index: int
    core: Box
    window: Box


@dataclass(frozen=True)
class TileGrid:
    """Tiles whose cores cover a mosaic, each pixel once, in row-major order.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)`` of the mosaic.
    core : int or tuple of int
        Side, or ``(ny, nx)``, of a core in pixels; the ones at the borders may be smaller.
    halo : int
        Width, in pixels, of what a tile sees around its core.
    origin : tuple of int
        A pixel ``(y, x)`` where four cores meet, if it lies inside: moves the grid.
    stride : int
        Windows begin, and inside the mosaic end, at multiples of it.
    even : bool
        All windows are as large as that of a full core, moved inwards where they would reach beyond the mosaic; for a
        network that scales its window to one size.

    Raises
    ------
    ValueError
        If a size is not positive or the halo is negative.
    """

    shape: tuple[int, int]
    core: int | tuple[int, int] = 682
    halo: int = 0
    origin: tuple[int, int] = (0, 0)
    stride: int = 1
    even: bool = False

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or min(self.core_shape) < 1 or self.halo < 0 or self.stride < 1:
            raise ValueError(
                f"shape {self.shape}, core {self.core} and stride {self.stride} must be positive, "
                f"halo {self.halo} not negative"
            )

    @property
    def core_shape(self) -> tuple[int, int]:
        """``(ny, nx)`` of a full core."""
        return self.core if isinstance(self.core, tuple) else (self.core, self.core)

    @property
    def lines(self) -> tuple[list[int], list[int]]:
        """Where cores begin and end, ``(ys, xs)``: both with the mosaic's own borders."""
        ys, xs = (
            [0, *range((origin % step) or step, length, step), length]
            for length, step, origin in zip(self.shape, self.core_shape, self.origin, strict=True)
        )
        return ys, xs

    @property
    def tiles_per_axis(self) -> tuple[int, int]:
        """Number of tiles along y and x."""
        ys, xs = self.lines
        return len(ys) - 1, len(xs) - 1

    def __len__(self) -> int:
        ny, nx = self.tiles_per_axis
        return ny * nx

    def __getitem__(self, index: int) -> Tile:
        ny, nx = self.tiles_per_axis
        if not 0 <= index < ny * nx:
            raise IndexError(f"tile {index} of {ny * nx}")
        ys, xs = self.lines
        row, column = divmod(index, nx)
        core = Box(ys[row], ys[row + 1], xs[column], xs[column + 1])
        y0, y1 = self._seen(core.y0, core.y1, 0)
        x0, x1 = self._seen(core.x0, core.x1, 1)
        return Tile(index, core, Box(y0, y1, x0, x1).clip(self.shape))

    def _seen(self, start: int, end: int, axis: int) -> tuple[int, int]:
        """What a core that spans these pixels has to see along an axis."""
        start, end = start - self.halo, end + self.halo
        if self.even:
            side = min(self.core_shape[axis] + 2 * self.halo, self.shape[axis])
            start = min(max(start, 0), self.shape[axis] - side)
            end = start + side
        return start // self.stride * self.stride, -(-end // self.stride) * self.stride

    def __iter__(self) -> Iterator[Tile]:
        return (self[i] for i in range(len(self)))

    def neighbours(self, index: int) -> list[int]:
        """Indices of the up to eight tiles that share a border or a corner with tile `index`."""
        ny, nx = self.tiles_per_axis
        row, column = divmod(index, nx)
        return [
            y * nx + x
            for y in range(max(0, row - 1), min(ny, row + 2))
            for x in range(max(0, column - 1), min(nx, column + 2))
            if (y, x) != (row, column)
        ]

    def covering(self, box: Box) -> list[int]:
        """Indices of the tiles whose cores share pixels with `box`, ascending."""
        ys, xs = self.lines
        rows = [i for i in range(len(ys) - 1) if ys[i] < box.y1 and ys[i + 1] > box.y0]
        columns = [i for i in range(len(xs) - 1) if xs[i] < box.x1 and xs[i + 1] > box.x0]
        return [row * (len(xs) - 1) + column for row in rows for column in columns]
