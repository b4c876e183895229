"""Pictures of samples: what a network is shown, and what it is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from starnet.outputs.canvas import composite
from starnet.outputs.overlay import OUTLINE, outlines
from starnet.outputs.png import to_bytes, write_png

_GAP = 6
_PAPER = 255
_HATCH = (130, 60, 60)
_EVERY = 8  # enlarged pixels from line to line of the hatching


def draw_samples(
    path: str | Path, *batches: Mapping[str, Tensor], zoom: int = 2, most: int = 8, recipe: str = "noise"
) -> None:
    """Write a PNG with a row for each sample and a column for each batch: before and after augmentation, say.

    Objects are outlined, pixels that are not valid are hatched. Of more than three bands, means of three groups are
    shown. Row 0 is at the bottom.

    Parameters
    ----------
    path : str or Path
        The file to make or to replace.
    *batches : mapping of Tensor
        ``pixels`` float32 ``(n, nband, ny, nx)``, ``labels`` int64 and ``valid`` bool ``(n, ny, nx)``, the reddest band
        first. Samples of different batches may differ in size.
    zoom : int
        Screen pixels of a pixel.
    most : int
        Rows, at most.
    recipe : {"noise", "seed"}
        How the images were made: asinh of noise units, or 0 to 1.

    Raises
    ------
    StarnetError
        If the file cannot be written.
    ValueError
        If there is nothing to draw.
    """
    rows = list(zip(*(_panels(batch, zoom, most, recipe) for batch in batches), strict=True))
    if not rows:
        raise ValueError("draw_samples: no samples, give a batch at least")
    side = max(max(panel.shape[:2]) for row in rows for panel in row) + _GAP
    page = np.full((len(rows) * side + _GAP, len(rows[0]) * side + _GAP, 3), _PAPER, np.uint8)
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            # A crop sits in the middle of its field.
            y, x = (
                place * side + _GAP + (side - _GAP - n) // 2 for place, n in zip((i, j), panel.shape[:2], strict=True)
            )
            page[y : y + panel.shape[0], x : x + panel.shape[1]] = panel
    write_png(path, page)


def _panels(batch: Mapping[str, Tensor], zoom: int, most: int, recipe: str) -> list[NDArray[np.uint8]]:
    pixels, labels, valid = (batch[name][:most].cpu().numpy() for name in ("pixels", "labels", "valid"))
    return [_panel(pixels[i], labels[i], valid[i], zoom, recipe)[::-1] for i in range(len(pixels))]


def _panel(
    pixels: NDArray[np.float32], labels: NDArray[np.integer[Any]], valid: NDArray[np.bool_], zoom: int, recipe: str
) -> NDArray[np.uint8]:
    """One sample, ``(ny * zoom, nx * zoom, 3)``."""
    if len(pixels) > 3:
        pixels = np.stack([group.mean(axis=0) for group in np.array_split(pixels, 3)])
    if recipe == "seed":
        shown = to_bytes(pixels if len(pixels) == 3 else pixels.mean(axis=0, keepdims=True).repeat(3, axis=0))
    else:
        shown = composite(pixels)

    def enlarged(values: NDArray[Any]) -> NDArray[Any]:
        return values.repeat(zoom, axis=0).repeat(zoom, axis=1)

    picture: NDArray[np.uint8] = enlarged(shown)
    y, x = np.indices(picture.shape[:2])
    picture[enlarged(~valid) & ((y + x) % _EVERY == 0)] = _HATCH
    picture[outlines(enlarged(labels))] = OUTLINE
    return picture
