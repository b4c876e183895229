"""From maps to objects: components, split once and whole, and measured.

A component that lies inside a tile's core is split and measured at once. One that reaches a seam waits as sparse
`Patches` until all its tiles are there (`starnet.stitch`), then goes through the same functions: no object is cut by a
tile, and none depends on where the tiles lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from starnet import _core
from starnet.flags import Flag
from starnet.layers import Layers
from starnet.models.base import Drawn, Splitter, TileSplitter
from starnet.tiles import Box

SPLIT_WINDOW = 2048
"""Largest side, in pixels, of a component that is split whole; a larger one is cut by a grid fixed to the mosaic."""

Columns = dict[str, npt.NDArray[Any]]
"""Raw measurements, one entry an object; see `starnet.catalog` for what becomes of them."""


@dataclass(frozen=True)
class Edges:
    """Where a tile's `Patches` go on in other tiles.

    Attributes
    ----------
    top, bottom : ndarray of int32, shape (nx,)
        Numbers of the patches on the first and the last row of the core; 0 where there is none.
    left, right : ndarray of int32, shape (ny,)
        The same for the first and the last column.
    drawn : ndarray of int32, shape (n, 5)
        ``number, y0, y1, x0, x1`` of the drawn object that each patch is a part of; of no rows where patches are parts
        of components.
    """

    top: npt.NDArray[np.int32]
    bottom: npt.NDArray[np.int32]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    drawn: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 5), np.int32))

    def facing(self, dy: int, dx: int) -> npt.NDArray[np.int32]:
        """The pixels that face the neighbour in this direction, each of -1, 0, 1; a corner is one pixel."""
        if dy == 0:
            return self.right if dx > 0 else self.left
        line = self.bottom if dy > 0 else self.top
        return line if dx == 0 else line[-1:] if dx > 0 else line[:1]


@dataclass(frozen=True)
class Patches:
    """The parts inside one tile of components that reach its seams, numbered from 1.

    Attributes
    ----------
    offsets : ndarray of int64, shape (n + 1,)
        Part i, from 0, holds the pixels ``offsets[i] : offsets[i + 1]``.
    y, x : ndarray of int32
        Pixels, in the mosaic.
    values : ndarray of float32, shape (k, npix)
        `Layers.planes` at the pixels.
    flags : ndarray of uint8
        `Layers.flags` at the pixels.
    extents : ndarray of int32, shape (n, 4)
        ``y0, y1, x0, x1`` of each part, half-open.
    edges : Edges
        Where they reach the core's border.
    """

    offsets: npt.NDArray[np.int64]
    y: npt.NDArray[np.int32]
    x: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32]
    flags: npt.NDArray[np.uint8]
    extents: npt.NDArray[np.int32]
    edges: Edges

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class TileObjects:
    """What one tile contributes.

    Attributes
    ----------
    labels : ndarray of int32, shape of the core
        Objects that lie inside the core, numbered from 1 in the order of `columns`.
    columns : Columns
        Their measurements.
    patches : Patches
        Parts of components that reach a seam.
    """

    labels: npt.NDArray[np.int32]
    columns: Columns
    patches: Patches


def form_objects(
    layers: Layers, foreground: npt.NDArray[np.bool_], shape: tuple[int, int], splitter: Splitter, min_area: int
) -> TileObjects:
    """Splits and measures the components inside a tile's core; hands on those that reach its seams.

    Parameters
    ----------
    layers : Layers
        Of the core.
    foreground : ndarray of bool, shape of the core
        As in `starnet.models.Maps`.
    shape : tuple of int
        ``(ny, nx)`` of the mosaic: its border is no seam.
    splitter : Splitter
        The engine's.
    min_area : int
        Smallest component and object, in pixels.

    Returns
    -------
    objects : TileObjects
        The finished ones, and the patches of the others.
    """
    box = layers.box
    components, count = _core.label(np.ascontiguousarray(foreground).view(np.uint8))
    extents = _core.extents(components, count)
    (ny, nx), area = box.shape, extents[:, 4]
    is_open = (extents[:, 0] == 0) & (box.y0 > 0) | (extents[:, 1] == ny) & (box.y1 < shape[0])
    is_open |= (extents[:, 2] == 0) & (box.x0 > 0) | (extents[:, 3] == nx) & (box.x1 < shape[1])
    patches = _patches(layers, components, is_open, extents)

    kept = ~is_open & (area >= min_area)
    numbers = np.zeros(count + 1, np.int32)
    to_split = kept & (area >= 2 * min_area)
    whole = kept & ~to_split
    n = int(np.count_nonzero(whole))
    numbers[1:][whole] = np.arange(1, n + 1)
    labels = numbers[components]
    bits = [np.zeros(n, np.int32)]
    if isinstance(splitter, TileSplitter):
        fits = np.maximum(extents[:, 1] - extents[:, 0], extents[:, 3] - extents[:, 2]) <= SPLIT_WINDOW
        which = np.flatnonzero(to_split & fits) + 1
        counts = splitter.split_all(layers.landscape, components, extents, which, labels, n + 1)
        bits.append(np.repeat(np.where(counts > 1, np.int32(Flag.BLENDED), np.int32(0)), counts))
        n += int(counts.sum())
        to_split &= ~fits
    for component in np.flatnonzero(to_split):
        whole_box = Box(*extents[component, :4].tolist())
        windows = fixed_windows(whole_box.shift(box.y0, box.x0))
        for window in windows:
            here = window.slices_in(box)
            mask = components[here] == component + 1
            split, split_bits = split_component(layers.crop(window), mask, splitter, min_area, cut=len(windows) > 1)
            # The component's pixels hold 0 so far; other components share the box.
            np.add(split, n, out=labels[here], where=split > 0)
            bits.append(split_bits)
            n += len(split_bits)
    return TileObjects(labels, _measure(labels, n, layers, np.concatenate(bits)), patches)


def place_objects(layers: Layers, drawn: Drawn, window: Box) -> TileObjects:
    """Measures the drawn objects inside a tile's core; hands on those that reach beyond it.

    Parameters
    ----------
    layers : Layers
        Of the core.
    drawn : Drawn
        Of the window.
    window : Box
        What the tile sees.

    Returns
    -------
    objects : TileObjects
        The finished ones, and the patches of the others; their columns have the object's number, ``object``, besides.
    """
    core = layers.box
    labels = np.ascontiguousarray(drawn.labels[core.slices_in(window)])
    here = _core.extents(labels, len(drawn.numbers))
    y0, y1, x0, x1 = drawn.extents.T
    inside = (y0 >= core.y0) & (y1 <= core.y1) & (x0 >= core.x0) & (x1 <= core.x1)
    is_open = (here[:, 4] > 0) & ~inside
    about = np.column_stack([drawn.numbers, drawn.extents])[is_open].astype(np.int32)
    patches = _patches(layers, labels, is_open, here)
    patches = replace(patches, edges=replace(patches.edges, drawn=about))
    n = int(np.count_nonzero(inside))
    lookup = np.zeros(len(inside) + 1, np.int32)
    lookup[1:][inside] = np.arange(1, n + 1)
    labels = lookup[labels]
    columns = _measure(labels, n, layers, np.zeros(n, np.int32))
    return TileObjects(labels, columns | {"object": drawn.numbers[inside]}, patches)


def fixed_windows(box: Box) -> list[Box]:
    """The box itself, or, if it is larger than `SPLIT_WINDOW`, its parts in the windows of the mosaic's fixed grid."""
    step = SPLIT_WINDOW
    if max(box.shape) <= step:
        return [box]
    return [
        Box(y, y + step, x, x + step).intersect(box)
        for y in range(box.y0 // step * step, box.y1, step)
        for x in range(box.x0 // step * step, box.x1, step)
    ]


def split_component(
    layers: Layers, mask: npt.NDArray[np.bool_], splitter: Splitter, min_area: int, *, cut: bool
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Splits one component, or what one fixed window holds of a larger one.

    Parameters
    ----------
    layers : Layers
        Of the component's bounding box, or of the window.
    mask : ndarray of bool
        Its pixels.
    splitter, min_area
        As in `form_objects`.
    cut : bool
        Whether it is a part that the window cut off; its connected pieces are then split one by one, and flagged.

    Returns
    -------
    labels : ndarray of int32, shape of the box
        Objects 1, 2, …; 0 outside them.
    bits : ndarray of int32
        `Flag` bits of each object: ``BLENDED``, ``SEAM``.
    """
    pieces: npt.NDArray[Any]
    if cut:
        pieces, count = _core.label(np.ascontiguousarray(mask).view(np.uint8))
        extents = _core.extents(pieces, count).tolist()
    else:
        pieces, extents = mask, [[0, mask.shape[0], 0, mask.shape[1], np.count_nonzero(mask)]]
    labels = np.zeros(mask.shape, np.int32)
    bits: list[int] = []
    for number, (y0, y1, x0, x1, area) in enumerate(extents, 1):
        if area < min_area:
            continue
        here = slice(y0, y1), slice(x0, x1)
        piece = pieces[here] == number
        detection = np.where(piece, layers.detection[here], np.float32(0))
        landscape = np.where(piece, layers.landscape[(slice(None), *here)], np.float32(0))
        # Two objects do not fit into so few pixels: as in `form_objects`, for a splitter that does not know it.
        split = splitter.split(detection, landscape, piece) if area >= 2 * min_area else piece.astype(np.int32)
        areas = np.bincount(split.ravel())[1:]
        kept = areas >= min_area  # sep's branches may end smaller than they began
        numbers = np.concatenate([[0], np.where(kept, np.cumsum(kept) + len(bits), 0)]).astype(np.int32)
        np.copyto(labels[here], numbers[split], where=split > 0)
        flags = (Flag.SEAM if cut else 0) | (Flag.BLENDED if len(areas) > 1 else 0)
        bits.extend([flags] * int(np.count_nonzero(kept)))
    return labels, np.array(bits, np.int32)


def finish_component(
    parts: Sequence[tuple[Patches, int]], bands: int, splitter: Splitter, min_area: int
) -> Iterator[tuple[Columns, npt.NDArray[np.int32]]]:
    """Splits and measures a component that lay in several tiles.

    Parameters
    ----------
    parts : sequence of (Patches, int)
        The tile's patches and the number, from 1, of the part.
    bands : int
        Number of bands.
    splitter, min_area
        As in `form_objects`.

    Yields
    ------
    columns : Columns
        Measurements of some of its objects.
    runs : ndarray of int32, shape (n, 4)
        ``y, x0, x1, label`` of their pixels in the mosaic; `label` as in `columns`.
    """
    bounds = np.array([patches.extents[number - 1] for patches, number in parts])
    box = Box(*(int(f(bounds[:, i])) for i, f in enumerate((np.min, np.max, np.min, np.max))))
    windows = fixed_windows(box)
    for window in windows:
        # A component larger than the window is assembled window by window, so that memory stays bounded.
        layers, mask = _assemble(window, parts, bands)
        labels, bits = split_component(layers, mask, splitter, min_area, cut=len(windows) > 1)
        yield _measure(labels, len(bits), layers, bits), runs_of(labels, window)


def runs_of(labels: npt.NDArray[np.int32], box: Box) -> npt.NDArray[np.int32]:
    """Runs ``(y, x0, x1, label)`` of equal non-zero labels along the rows, in the mosaic; shape (n, 4), int32."""
    wide = np.pad(labels, ((0, 0), (1, 1)))
    change = wide[:, 1:] != wide[:, :-1]
    y, start = np.nonzero(change & (wide[:, 1:] != 0))
    _, end = np.nonzero(change & (wide[:, :-1] != 0))
    return np.column_stack([y + box.y0, start + box.x0, end + box.x0, labels[y, start]]).astype(np.int32)


def _patches(
    layers: Layers, components: npt.NDArray[np.int32], is_open: npt.NDArray[np.bool_], extents: npt.NDArray[np.int32]
) -> Patches:
    box = layers.box
    count = int(np.count_nonzero(is_open))
    numbers = np.zeros(len(is_open) + 1, np.int32)
    numbers[1:][is_open] = np.arange(1, count + 1)
    parts = numbers[components]
    y, x = np.nonzero(parts)
    owner = parts[y, x]
    order = np.argsort(owner, kind="stable")
    y, x, owner = y[order], x[order], owner[order]
    return Patches(
        offsets=np.searchsorted(owner, np.arange(1, count + 2)),
        y=(y + box.y0).astype(np.int32),
        x=(x + box.x0).astype(np.int32),
        values=np.stack([plane[y, x] for plane in layers.planes]),
        flags=layers.flags[y, x],
        extents=extents[is_open, :4] + np.array([box.y0, box.y0, box.x0, box.x0], np.int32),
        edges=Edges(parts[0].copy(), parts[-1].copy(), parts[:, 0].copy(), parts[:, -1].copy()),
    )


def _assemble(window: Box, parts: Sequence[tuple[Patches, int]], bands: int) -> tuple[Layers, npt.NDArray[np.bool_]]:
    """The dense layers of a window of a component, and its pixels there."""
    depth = parts[0][0].values.shape[0]
    planes = np.zeros((depth, *window.shape), np.float32)
    flags = np.zeros(window.shape, np.uint8)
    mask = np.zeros(window.shape, bool)
    for patches, number in parts:
        if not Box(*patches.extents[number - 1].tolist()).intersect(window).size:
            continue
        pixels = slice(*patches.offsets[number - 1 : number + 1])
        y, x = patches.y[pixels] - window.y0, patches.x[pixels] - window.x0
        inside = (y >= 0) & (y < window.shape[0]) & (x >= 0) & (x < window.shape[1])
        y, x = y[inside], x[inside]
        planes[:, y, x] = patches.values[:, pixels][:, inside]
        flags[y, x] = patches.flags[pixels][inside]
        mask[y, x] = True
    return Layers.from_planes(window, planes, flags, bands), mask


def _measure(labels: npt.NDArray[np.int32], count: int, layers: Layers, bits: npt.NDArray[np.int32]) -> Columns:
    columns: Columns = _core.measure(
        labels,
        count,
        layers.detection,
        layers.flags,
        layers.flux,
        layers.sigma,
        (layers.box.y0, layers.box.x0),
    )
    columns["flags"] = columns["flags"] | bits[columns["label"] - 1]
    return columns
