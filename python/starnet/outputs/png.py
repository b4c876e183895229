"""PNG files: the same pixels make the same bytes."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from starnet.atomic import replacing

Origin = Literal["lower", "upper"]


def write_png(path: str | Path, pixels: NDArray[np.uint8], *, origin: Origin = "upper") -> None:
    """Write an 8-bit picture.

    Parameters
    ----------
    path : str or Path
        The file to make or to replace.
    pixels : ndarray
        uint8 ``(ny, nx, 3)`` for colour, ``(ny, nx)`` for grey.
    origin : {"upper", "lower"}
        Where row 0 is shown: at the top as in raster images, or at the bottom as in FITS viewers.

    Raises
    ------
    StarnetError
        If the file cannot be written; nothing is left of it then.
    """
    if origin not in ("lower", "upper"):
        raise ValueError(f"origin must be 'lower' or 'upper', not {origin!r}")
    picture = Image.fromarray(np.ascontiguousarray(pixels[::-1] if origin == "lower" else pixels))
    with replacing(path) as partial, partial.open("wb") as file:
        # Pictures of the sky are noise, which repeats no strings: runs and Huffman codes alone make files as small as
        # the default, in a third of the time.
        picture.save(file, format="PNG", compress_type=zlib.Z_RLE)


def write_rgb_tile(path: str | Path, image: NDArray[np.floating[Any]], *, origin: Origin = "upper") -> None:
    """Write what a model sees as an 8-bit RGB picture.

    Parameters
    ----------
    path : str or Path
        The file to make or to replace.
    image : ndarray
        Floats ``(3, ny, nx)``, red first, 0 to 1; what is outside is clipped, NaN is black.
    origin : {"upper", "lower"}
        Where row 0 is shown; at the top by default, so that the picture read back is `image`.

    Raises
    ------
    StarnetError
        If the file cannot be written.
    ValueError
        If `image` has another shape.
    """
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"image must be (3, ny, nx), not {image.shape}")
    write_png(path, to_bytes(image), origin=origin)


def to_bytes(image: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Round floats ``(n, ny, nx)`` from 0 to 1 to uint8 ``(ny, nx, n)``; NaN becomes 0."""
    levels = np.clip(np.nan_to_num(image, nan=0.0, posinf=1.0, neginf=0.0), 0, 1) * 255 + 0.5
    return np.moveaxis(levels.astype(np.uint8), 0, -1)
