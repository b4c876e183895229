"""Copies of a mosaic's bands with other pixels, written strip by strip; their weight maps stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from starnet.atomic import replacing
from starnet.inject.scene import Scene
from starnet.inject.target import Target
from starnet.io.hdus import find_hdu, is_fits, read_hdus, read_head
from starnet.mosaic import Band, Mosaic
from starnet.outputs.fits_blocks import descriptive_cards, header_bytes, padding
from starnet.tiles import Box

Float32 = NDArray[np.float32]
#: What becomes of the pixels ``(nband, ny, nx)`` of a box.
Change = Callable[[Box, Float32], Float32]
Progress = Callable[[str, int, int], None]

#: Rows of a strip: the random numbers of photons are drawn by strips.
_ROWS = 256


def with_light(scene: Scene, gain: Mapping[str, float], seed: list[int]) -> Change:
    """Adds the light of a scene.

    Parameters
    ----------
    scene : Scene
        The sources.
    gain : mapping
        Photo-electrons of one image unit, by band: the sources then bring their photons' noise, of variance
        ``light / gain``. None in the bands that are left out.
    seed : list of int
        Of that noise.
    """
    bands = [band.name for band in scene.target.mosaic.bands]

    def change(box: Box, pixels: Float32) -> Float32:
        light = scene.light(box)
        pixels += light
        for i, name in enumerate(bands):
            if name in gain:
                rng = np.random.default_rng([*seed, i, box.y0])
                deviates = rng.standard_normal(box.shape, dtype=np.float32)
                pixels[i] += deviates * np.sqrt(np.maximum(light[i], 0) / np.float32(gain[name]))
        return pixels

    return change


def mirrored(target: Target) -> Change:
    """Turns the image over at its sky: noise of a symmetric distribution stays what it is, sources become holes."""

    def change(box: Box, pixels: Float32) -> Float32:
        for i, sky in enumerate(target.recipe.skies):
            np.subtract(2 * sky.background.level(box), pixels[i], out=pixels[i])
        return pixels

    return change


def write_copies(
    mosaic: Mosaic, directory: Path, change: Change, stage: str, progress: Progress | None = None
) -> list[str]:
    """Write changed copies of all bands; those that are there already are kept.

    Returns
    -------
    list of str
        Inputs for `starnet.pipeline.segment`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{band.name.lower()}.fits" for band in mosaic.bands]
    if not all(path.exists() for path in paths):
        _write(mosaic, paths, change, stage, progress)
    return [f"{band.name}={path}[SCI]" for band, path in zip(mosaic.bands, paths, strict=True)]


def _write(mosaic: Mosaic, paths: list[Path], change: Change, stage: str, progress: Progress | None) -> None:
    ny, nx = mosaic.shape
    boxes = [Box(y0, min(y0 + _ROWS, ny), 0, nx) for y0 in range(0, ny, _ROWS)]
    with ExitStack() as stack:
        files = [stack.enter_context(stack.enter_context(replacing(path)).open("wb")) for path in paths]
        for file, band in zip(files, mosaic.bands, strict=True):
            file.write(b"".join(header_bytes(header) for header in _headers(band)))
        for box in boxes:
            pixels = np.stack([band.science.read(box) for band in mosaic.bands])
            for file, image in zip(files, change(box, pixels), strict=True):
                file.write(image.astype(">f4").data)
            if progress is not None:
                progress(stage, box.y1 * nx, ny * nx)
        for file, band in zip(files, mosaic.bands, strict=True):
            file.write(bytes(padding(4 * ny * nx)))
            if band.flags is not None:
                file.write(header_bytes(_flag_header(band)))
                for box in boxes:
                    file.write(band.flags.plane.read(box, np.empty(box.shape, np.int32)).astype(">i4").data)
                file.write(bytes(padding(4 * ny * nx)))


def weights(mosaic: Mosaic) -> list[str | None] | str:
    """The weight maps of a mosaic, as its copies have to be told of them."""
    found = [
        f"{band.weight_source.kind}={band.weight_source.path.resolve()}[{band.weight_source.hdu}]"
        if band.weight_source is not None
        else None
        for band in mosaic.bands
    ]
    return found if any(found) else "none"


def _headers(band: Band) -> list[fits.Header]:
    """An empty primary HDU and the image, with what the band's own headers say of unit, zero point, filter and WCS."""
    primary = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)])
    image = _image_header(band, "SCI", -32)
    if is_fits(read_head(band.path)):
        hdus = read_hdus(band.path)
        own = find_hdu(hdus, band.hdu)
        if own.index:
            primary.extend(descriptive_cards(hdus[0].header))
        if "BUNIT" in own.header:
            image["BUNIT"] = own.header["BUNIT"]
        image.extend(descriptive_cards(own.header))
    image["ORIGIN"] = ("StarNet", "simulated sources were painted into this image")
    return [primary, image]


def _flag_header(band: Band) -> fits.Header:
    """Of the quality plane, with the names of its bits."""
    assert band.flags is not None
    plane = band.flags.plane
    header = _image_header(band, "DQ", 32)
    own = find_hdu(read_hdus(plane.path), plane.hdu).header
    header.extend(card for card in own.cards if card.keyword.startswith("MP_"))
    return header


def _image_header(band: Band, name: str, bits: int) -> fits.Header:
    ny, nx = band.science.shape
    cards = [("XTENSION", "IMAGE"), ("BITPIX", bits), ("NAXIS", 2), ("NAXIS1", nx), ("NAXIS2", ny)]
    return fits.Header([*cards, ("PCOUNT", 0), ("GCOUNT", 1), ("EXTNAME", name)])
