"""Cases of tiles, and of pixels as FITS files hold them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.io import fits

from starnet.bench.cases import OURS, Array, Call, Case, Contender, Target
from starnet.bench.peers import load
from starnet.bench.scene import Scene
from starnet.filters import extract_tiles, stitch, taper
from starnet.mosaic import Mosaic
from starnet.tiles import Box

TILE, OVERLAP = 682, 64


def boxes(shape: tuple[int, int]) -> list[Box]:
    """Windows of 682 px that overlap by 64 px and stick out of the image."""
    side = min(TILE, *shape)
    step = max(side - OVERLAP, 1)
    return [
        Box(y, y + side, x, x + side)
        for y in range(-OVERLAP // 2, shape[0] - OVERLAP // 2, step)
        for x in range(-OVERLAP // 2, shape[1] - OVERLAP // 2, step)
    ]


def tile_cases(scene: Scene) -> Iterator[Case]:
    """Cut into overlapping tiles, and blend them into one image."""

    def cut(pixels: Array, threads: int) -> Call:
        where = boxes(pixels.shape)
        out = np.empty((len(where), *where[0].shape), pixels.dtype)
        return lambda: extract_tiles(pixels, where, out=out, threads=threads)

    def numpy_cut(pixels: Array, _: int) -> Call:
        where = boxes(pixels.shape)
        out = np.empty((len(where), *where[0].shape), pixels.dtype)
        margin = max(-box.y0 for box in where), max(box.y1 - pixels.shape[0] for box in where)

        def run() -> Array:
            padded = np.pad(pixels, margin, mode="reflect")
            for tile, box in zip(out, where, strict=True):
                tile[...] = padded[box.pad(0).shift(margin[0], margin[0]).slices]
            return out

        return run

    def copy(pixels: Array, _: int) -> Call:
        where = boxes(pixels.shape)
        a, b = (np.ones((len(where), *where[0].shape), pixels.dtype) for _ in range(2))
        return lambda: np.copyto(b, a)

    yield Case(
        "tiles",
        "extract 682-px tiles",
        scene.image,
        Contender(OURS, "filters.extract_tiles", cut, threaded=True),
        (Contender("numpy", "pad, slices", numpy_cut), Contender("numpy", "copyto", copy, None, ranked=False)),
        (Target(0.9, "copy"),),
        least=1024,
    )

    def tiles(pixels: Array) -> tuple[list[Box], Array, Array]:
        where = boxes(pixels.shape)
        return where, extract_tiles(pixels, where), taper(where[0].shape, OVERLAP)

    def blend(pixels: Array, threads: int) -> Call:
        (where, cubes, weights), out = tiles(pixels), np.empty_like(pixels)
        shape = pixels.shape[0], pixels.shape[1]
        return lambda: stitch(cubes, where, shape, weights=weights, out=out, threads=threads)

    def numpy_blend(pixels: Array, _: int) -> Call:
        (where, cubes, weights), whole = tiles(pixels), Box(0, pixels.shape[0], 0, pixels.shape[1])
        out, total = np.empty_like(pixels), np.empty_like(pixels)

        def run() -> Array:
            out.fill(0)
            total.fill(0)
            for tile, box in zip(cubes, where, strict=True):
                part = box.intersect(whole)
                here = part.slices_in(box)
                out[part.slices] += weights[here] * tile[here]
                total[part.slices] += weights[here]
            return np.divide(out, total, out=out)

        return run

    yield Case(
        "tiles",
        "stitch 682-px tiles, weighted",
        scene.image,
        Contender(OURS, "filters.stitch", blend, threaded=True),
        (Contender("numpy", "sums, divide", numpy_blend),),
        (Target(5, "numpy"),),
        least=1024,
    )


def fits_cases(scene: Scene) -> Iterator[Case]:
    """A FITS image, big-endian, into a float32 array."""

    def ours(pixels: Array, _: int) -> Call:
        mosaic, (ny, nx) = Mosaic.open([written(pixels, scene.folder)]), pixels.shape
        return lambda: mosaic.read(Box(0, ny, 0, nx)).data[0]

    def astropy(pixels: Array, _: int) -> Call:
        path = written(pixels, scene.folder)
        return lambda: fits.getdata(path, memmap=False).astype(np.float32)

    def fitsio(pixels: Array, _: int) -> Call:
        path, read = str(written(pixels, scene.folder)), load("fitsio").read
        return lambda: read(path)

    yield Case(
        "fits",
        "FITS to float32",
        scene.image,
        Contender(OURS, "Mosaic.read", ours),
        (Contender("astropy", "io.fits.getdata", astropy), Contender("fitsio", "read", fitsio)),
        (Target(1, "best"),),
    )


def written(pixels: Array, folder: Path, name: str = "image") -> Path:
    """A FITS file with these pixels."""
    path = folder / f"{name}_{pixels.shape[0]}x{pixels.shape[1]}.fits"
    if not path.exists():
        fits.PrimaryHDU(pixels).writeto(path)
    return path
