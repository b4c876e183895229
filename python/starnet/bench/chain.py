"""Cases of the whole published chain: three FITS files in, 8-bit RGB tiles out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.io import fits

from starnet.bench.cases import OURS, Array, Call, Case, Contender, Target, middle, within
from starnet.bench.files_and_tiles import written
from starnet.bench.peers import load
from starnet.bench.scene import Scene
from starnet.filters import median_filter, percentiles, rolling_median, stack_rgb
from starnet.mosaic import Mosaic
from starnet.recipe import Recipe, SeedRecipe
from starnet.tiles import Box, TileGrid

TILE = 682


def chain_cases(scene: Scene, *, quick: bool) -> Iterator[Case]:
    """Rolling-median sky, clip, median filter, min-max, RGB: in memory, and as a recipe in bounded memory."""
    config = SeedRecipe()
    bands = middle(scene.bands, 768) if quick else scene.bands

    def paths(pixels: Array) -> list[Path]:
        return [written(band, scene.folder, f"band{i}") for i, band in enumerate(pixels)]

    def kernels(pixels: Array, threads: int) -> Call:
        files, whole = paths(pixels), Box(0, pixels.shape[1], 0, pixels.shape[2])

        def run() -> tuple[Array, ...]:
            data = Mosaic.open(files).read(whole).data
            spare = np.empty_like(data[0])
            lows, highs = [], []
            for band in data:
                rolling_median(band, config.sky_window, out=spare, threads=threads)
                np.subtract(band, spare, out=band)
                low, high = np.asarray(percentiles(band, config.clip, threads=threads), np.float32)
                np.clip(band, low, high, out=spare)
                median_filter(spare, config.median_size, out=band, threads=threads)
                lows.append(float(band.min()))
                highs.append(float(band.max()))
            picture = stack_rgb(data, lo=lows, hi=highs, dtype=np.uint8, threads=threads)
            return _tiles(picture)

        return run

    def recipe(pixels: Array, threads: int) -> Call:
        files, shape = paths(pixels), (pixels.shape[1], pixels.shape[2])

        def run() -> tuple[Array, ...]:
            mosaic = Mosaic.open(files)
            fitted = Recipe.fit(mosaic, config, threads=threads)
            images = (fitted.apply(mosaic, tile.core, threads=threads).image for tile in TileGrid(shape, TILE))
            return tuple(stack_rgb(image, lo=0, hi=1, dtype=np.uint8, threads=threads) for image in images)

        return run

    def published(pixels: Array, _: int) -> Call:
        files, ndimage = paths(pixels), load("scipy", "ndimage")

        def run() -> tuple[Array, ...]:
            planes = []
            for path in files:
                band = fits.getdata(path, memmap=False).astype(np.float32)
                band -= ndimage.median_filter(band, size=config.sky_window)
                low, high = np.percentile(band, config.clip).astype(np.float32)
                band = ndimage.median_filter(np.clip(band, low, high), size=config.median_size)
                planes.append((band - band.min()) / (band.max() - band.min()))
            return _tiles((np.stack(planes, axis=-1) * np.float32(255) + np.float32(0.5)).astype(np.uint8))

        return run

    target = Target(100, "scipy")
    peer = Contender("scipy", "astropy + scipy, as published", published)
    # The recipe scales in another order: a step of 8 bits is allowed.
    close = Contender("scipy", peer.function, published, within(0, 1, "equal to one level of 255"))
    name = "seed chain, FITS to RGB tiles"
    yield Case(
        "chain",
        name,
        bands,
        Contender(OURS, "filters, in memory", kernels, threaded=True),
        (peer,),
        (target, Target(1.8, f"{name}, 1 thread", on_all_threads=True)),
        least=192,
    )
    yield Case(
        "chain",
        "seed chain, bounded memory",
        bands,
        Contender(OURS, "Recipe.fit, Recipe.apply", recipe, threaded=True),
        (close,),
        (),
        least=192,
    )


def _tiles(picture: Array) -> tuple[Array, ...]:
    grid = TileGrid((picture.shape[0], picture.shape[1]), TILE)
    return tuple(np.ascontiguousarray(picture[tile.core.slices]) for tile in grid)
