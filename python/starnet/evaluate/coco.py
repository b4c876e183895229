"""Masks in COCO's JSON: overlapping ones too, as run-length encodings, compressed or not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.masks.runs import Ints, Runs
from starnet.tiles import Box

#: Masks that are decoded, and mask pixels that are turned from columns into rows, at once.
_BATCH, _CHUNK = 1 << 14, 1 << 22


@dataclass(frozen=True)
class MaskLabels:
    """Masks of one image; they may overlap.

    Attributes
    ----------
    name : str
        What messages call them.
    shape : tuple of int
        ``(ny, nx)`` in pixels.
    masks : Runs
        All of them; a mask's label is its annotation's ``id``, or its number in the file, from 1, where there are none.
    classes : dict or None
        Category of each label.
    """

    name: str
    shape: tuple[int, int]
    masks: Runs
    classes: dict[int, str] | None = None

    @cached_property
    def _area(self) -> Ints:
        """Pixels of the mask that a run belongs to."""
        _, mask = np.unique(self.masks.label, return_inverse=True)
        return np.bincount(mask, self.masks.stop - self.masks.start).astype(np.int64)[mask]

    def _within(self, y0: int, y1: int) -> slice:
        nx = self.shape[1]
        return slice(*np.searchsorted(self.masks.start, [y0 * nx, y1 * nx]))

    def runs(self, y0: int, y1: int) -> Runs:
        """See `LabelSource.runs`."""
        part = self._within(y0, y1)
        return Runs(self.masks.label[part], self.masks.start[part], self.masks.stop[part])

    def read(self, box: Box) -> NDArray[np.int64]:
        """See `LabelSource.read`."""
        runs, area = self.runs(box.y0, box.y1), self._area[self._within(box.y0, box.y1)]
        rows = np.zeros((box.y1 - box.y0, self.shape[1]), np.int64)
        # Of an index that is assigned several times the last value stays: that of the smallest mask.
        order = np.lexsort((runs.label, -area))
        pixels, which = _pixels(runs.start[order], runs.stop[order])
        rows.ravel()[pixels - box.y0 * self.shape[1]] = runs.label[order][which]
        return rows[:, box.x0 : box.x1]


def read_coco(path: Path, image: str | None = None) -> MaskLabels:
    """Read the masks of one image.

    Parameters
    ----------
    path : Path
        A COCO data set (an object with ``annotations``) or a list of results.
    image : str, optional
        Id or file name of the image, where the file is about several.

    Raises
    ------
    StarnetError
        If it is no such file, the image is not in it, or a mask is damaged or a polygon.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StarnetError(f"{path} cannot be read as JSON ({error}): give masks as COCO writes them") from error
    entries = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(entries, list) or not all(isinstance(one, dict) and "segmentation" in one for one in entries):
        raise StarnetError(f"{path} holds no masks: give a COCO data set with annotations, or a list of results")
    images: list[dict[str, Any]] = content.get("images", []) if isinstance(content, dict) else []
    chosen = _choose_image(path, entries, images, image)
    entries = [one for one in entries if one.get("image_id", chosen.get("id")) == chosen.get("id")]
    shape = _shape(path, entries, chosen)
    ids = [one.get("id") for one in entries]
    usable = all(type(i) is int and 0 < i < 1 << 31 for i in ids) and len(set(ids)) == len(ids)
    labels = np.asarray(ids if usable else range(1, len(ids) + 1), np.int64)
    return MaskLabels(
        str(path), shape, _masks(path, entries, labels, shape), _classes(content, entries, labels.tolist())
    )


def _choose_image(
    path: Path, entries: list[dict[str, Any]], images: list[dict[str, Any]], wanted: str | None
) -> dict[str, Any]:
    if not images:
        images = [{"id": i} for i in dict.fromkeys(one.get("image_id") for one in entries)]
    if wanted is not None:
        images = [one for one in images if wanted in (str(one.get("id")), one.get("file_name"))]
        if not images:
            raise StarnetError(f"{path} has no image [{wanted}]: give the id or the file name of one of its images")
    if len(images) > 1:
        raise StarnetError(f"{path} is about {len(images)} images: choose one, as in {path}[{images[0].get('id')}]")
    return images[0] if images else {}


def _shape(path: Path, entries: list[dict[str, Any]], image: dict[str, Any]) -> tuple[int, int]:
    size: Any
    if "height" in image and "width" in image:
        size = [image["height"], image["width"]]
    else:
        size = _encoding(path, entries[0])["size"] if entries else None
    if size is None:
        raise StarnetError(f"{path} says nothing about the size of its image: give it a list of images, as COCO has")
    if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int and n > 0 for n in size)):
        raise StarnetError(f"{path} has an image of the size {size}: give its height and width in pixels")
    return size[0], size[1]


def _encoding(path: Path, entry: dict[str, Any]) -> dict[str, Any]:
    encoding = entry["segmentation"]
    if isinstance(encoding, list):
        raise StarnetError(f"{path} has polygons: write its masks as run-length encodings (pycocotools' annToRLE)")
    if not isinstance(encoding, dict) or "counts" not in encoding or "size" not in encoding:
        raise StarnetError(f"{path} has a mask without counts and size: write it as a run-length encoding")
    return encoding


def _classes(content: Any, entries: list[dict[str, Any]], labels: list[int]) -> dict[int, str] | None:
    if not entries or not all("category_id" in one for one in entries):
        return None
    categories = content.get("categories", []) if isinstance(content, dict) else []
    names = {one.get("id"): str(one.get("name")) for one in categories}
    found = [one["category_id"] for one in entries]
    return {label: names.get(i, str(i)) for label, i in zip(labels, found, strict=True)}


def _masks(path: Path, entries: list[dict[str, Any]], labels: Ints, shape: tuple[int, int]) -> Runs:
    """All masks, along rows."""
    parts = [Runs(*np.empty((3, 0), np.int64))]
    for begin in range(0, len(entries), _BATCH):
        mask, start, stop = _columns(path, entries[begin : begin + _BATCH], begin, shape)
        pixels = np.cumsum(stop - start)
        # Whole masks, as many as have about so many pixels.
        group = np.searchsorted(mask, mask[np.searchsorted(pixels, np.arange(_CHUNK, pixels.max(initial=0), _CHUNK))])
        for a, b in pairwise([0, *dict.fromkeys(group.tolist()), len(mask)]):
            parts.append(_along_rows(mask[a:b], start[a:b], stop[a:b], shape))
    k, start, stop = (np.concatenate([getattr(one, field) for one in parts]) for field in ("label", "start", "stop"))
    order = np.argsort(start, kind="stable")
    return Runs(labels[k[order]], start[order], stop[order])


def _columns(path: Path, entries: list[dict[str, Any]], first: int, shape: tuple[int, int]) -> tuple[Ints, Ints, Ints]:
    """Runs of some masks, the first of which has the number `first`: mask, and begin and end counted ``x * ny + y``."""
    encodings = [_encoding(path, one) for one in entries]
    other = next((k for k, one in enumerate(encodings) if tuple(one["size"]) != shape), None)
    if other is not None:
        raise StarnetError(
            f"{path} has masks of other sizes than its image, {list(shape)}: mask {first + other + 1} of them"
        )
    size = shape[0] * shape[1]
    counts, mask, sound = decode_counts([one["counts"] for one in encodings])
    sound &= np.bincount(mask, counts, len(sound)) == size
    sound[mask[(counts < 0) | (counts > size)]] = False
    if not sound.all():
        number = first + int(np.argmin(sound)) + 1
        raise StarnetError(f"{path} has a damaged mask, number {number}: its runs are not those of {list(shape)}")
    ends = np.cumsum(counts) - mask * size
    # Sky, mask, sky, mask ...: of no length, too.
    filled = np.flatnonzero((_rank(mask) % 2 == 1) & (counts > 0))
    return first + mask[filled], ends[filled - 1], ends[filled]


def decode_counts(masks: list[str | list[int]]) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Lengths of the runs of masks: sky, mask, sky, ... along columns.

    Parameters
    ----------
    masks : list of str or list
        For each mask COCO's compressed letters, or the numbers themselves.

    Returns
    -------
    counts : ndarray of int64
        Those of all masks, one mask after the other.
    mask : ndarray of int64
        Which mask each belongs to, from 0.
    sound : ndarray of bool
        For each mask, whether it could be decoded.

    References
    ----------
    ``rleFrString`` in pycocotools' maskApi.c: six bits a letter from ``0`` on, of which the highest says that the
    number goes on; from the fourth number on, differences to the last but one.
    """
    sound = np.ones(len(masks), bool)
    texts, numbers = [b"0"] * len(masks), {}
    for k, one in enumerate(masks):
        if isinstance(one, str) and one:
            texts[k] = one.encode("utf-8", "replace")
        elif isinstance(one, list) and all(type(n) is int and abs(n) < 1 << 60 for n in one):
            numbers[k] = np.asarray(one, np.int64)
        else:
            sound[k] = False
    length = np.array([len(text) for text in texts], np.int64)
    codes = np.frombuffer(b"".join(texts), np.uint8).astype(np.int64) - 48
    of_code = np.repeat(np.arange(len(masks)), length)
    last = codes & 0x20 == 0
    sound[of_code[(codes < 0) | (codes > 63)]] = False
    final = np.cumsum(length) - 1
    sound &= last[final]
    last[final] = True
    ends = np.flatnonzero(last)
    begins = np.append(0, ends[:-1] + 1)
    digits = ends - begins + 1
    mask = of_code[ends]
    sound[mask[digits > 12]] = False
    digits = np.minimum(digits, 12)
    place = np.minimum(_rank(np.repeat(np.arange(len(ends)), np.diff(np.append(begins, len(codes))))), 11)
    values = np.add.reduceat((codes & 31) << 5 * place, begins)
    values -= np.where(codes[ends] & 0x10 != 0, 1 << 5 * digits, 0)
    # The first number stands alone; of the others, the second, fourth ... are differences, and the third, fifth ...
    rank = _rank(mask)
    lane = 3 * mask + np.where(rank == 0, 0, 2 - rank % 2)
    order = np.argsort(lane, kind="stable")
    sums = np.cumsum(values[order])
    begin = np.flatnonzero(np.append(True, np.diff(lane[order]) > 0))
    values[order] = sums - np.repeat((sums - values[order])[begin], np.diff(np.append(begin, len(sums))))
    if numbers:
        plain = ~np.isin(mask, list(numbers))
        values = np.concatenate([values[plain], *numbers.values()])
        mask = np.concatenate([mask[plain], *(np.full(len(one), k) for k, one in numbers.items())])
        order = np.argsort(mask, kind="stable")
        values, mask = values[order], mask[order]
    return values, mask, sound


def _rank(group: Ints) -> Ints:
    """How many of the same group come before each, where groups lie together."""
    index = np.arange(len(group))
    begins = np.append(True, np.diff(group) != 0)[: len(group)]
    return index - np.maximum.accumulate(np.where(begins, index, 0))


def _along_rows(mask: Ints, start: Ints, stop: Ints, shape: tuple[int, int]) -> Runs:
    """Runs along rows from runs along columns."""
    ny, nx = shape
    pixels, which = _pixels(start, stop)
    x, y = np.divmod(pixels, ny)
    first_mask = int(mask[0]) if len(mask) else 0
    # One number for mask and pixel: the masks of a chunk are so few, or so small, that 64 bits hold it.
    key = np.sort((mask[which] - first_mask) * (ny * nx) + y * nx + x)
    begins = np.append(True, np.diff(key) != 1) | (key % nx == 0) if len(key) else np.empty(0, bool)
    first = np.flatnonzero(begins)
    length = np.diff(np.append(first, len(key)))
    k, position = np.divmod(key[first], ny * nx)
    return Runs(k + first_mask, position, position + length)


def _pixels(start: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """Every pixel of some runs, and the run it is of."""
    length = stop - start
    which = np.repeat(np.arange(len(start)), length)
    before = np.cumsum(length) - length
    return np.arange(len(which)) - before[which] + start[which], which
