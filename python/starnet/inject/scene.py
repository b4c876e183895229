"""Painted sources: their light in any window of the mosaic, and what each of them is without the noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.evaluate.coco import MaskLabels
from starnet.inject.sources import Pool, Sources, magnitude
from starnet.inject.target import Target
from starnet.masks.runs import Runs
from starnet.simulate import truth
from starnet.simulate.paint import Layout, Painter
from starnet.tiles import Box

Floats = NDArray[np.float64]

#: How many sources tell which magnitudes are of interest, and how far these reach.
_PILOT, _BRIGHTER, _FAINTER = 200, 6, 1


@dataclass(frozen=True)
class Seen:
    """What the sources of a scene are without noise, one value each.

    Attributes
    ----------
    masks : MaskLabels
        Pixels where a source alone exceeds 1 sigma of the noise-weighted detection image
        (`starnet.simulate.truth.detection`), as measured on the mosaic; the label is the source's number, from 1.
    area : ndarray of int64
        Pixels of the mask.
    size : ndarray of float64
        1-sigma extent along the major axis, from the second moments of the detection image in the mask, in pixels: what
        a catalog's ``semimajor_axis`` would be without noise. NaN without a mask.
    radius : ndarray of float64
        Of a disk of as many pixels as hold half of the light in the reference band, in pixels.
    snr : ndarray of float64
        Of the optimal filter over all bands, were the noise white.
    """

    masks: MaskLabels
    area: NDArray[np.int64]
    size: Floats
    radius: Floats
    snr: Floats


@dataclass(frozen=True)
class Scene:
    """Sources in their places.

    Attributes
    ----------
    target : Target
        The mosaic.
    sources : Sources
        With positions in its pixels.
    """

    target: Target
    sources: Sources

    @cached_property
    def painter(self) -> Painter:
        """Paints them."""
        return self.target.painter()

    @cached_property
    def layout(self) -> Layout:
        """Where their stamps lie."""
        return self.painter.layout(self.sources.sources, self.sources.components)

    def light(self, box: Box) -> NDArray[np.float32]:
        """All of them in a window, ``(nband, ny, nx)``; the same pixels in any window."""
        model = np.zeros((len(self.target.preset.bands), *box.shape), np.float32)
        wanted = self.layout.reaching(box)
        for stamps in self.painter.stamps(self.sources.sources, self.sources.components, self.layout, wanted):
            for index, pixels in zip(stamps.index.tolist(), stamps.pixels, strict=True):
                place = self._place(index)
                part = place.intersect(box)
                if part.size:
                    model[:, *part.slices_in(box)] += pixels[:, *part.slices_in(place)]
        return model

    def look(self) -> Seen:
        """Look at each source alone."""
        n, shape = len(self.sources), self.target.mosaic.shape
        area, (size, radius, snr) = np.zeros(n, np.int64), np.full((3, n), np.nan)
        labels, starts, stops = ([np.zeros(0, np.int64)] for _ in range(3))
        everyone = np.ones(n, bool)
        for stamps in self.painter.stamps(self.sources.sources, self.sources.components, self.layout, everyone):
            for index, pixels in zip(stamps.index.tolist(), stamps.pixels, strict=True):
                radius[index] = _half_light_radius(pixels[self.target.reference])
                place = self._place(index)
                box = place.clip(shape)
                if not box.size:
                    continue
                pixels = pixels[:, *box.slices_in(place)]
                sigma = self.target.recipe.apply(self.target.mosaic, box).sigma
                ivar = np.float32(1) / (sigma * sigma)  # 0 where there are no data: sigma is infinite there
                snr[index] = np.sqrt(np.sum(pixels.astype(float) ** 2 * ivar))
                image = truth.detection(pixels, truth.detection_weights(ivar))
                mask = image > 1
                area[index] = np.count_nonzero(mask)
                if area[index]:
                    size[index] = _extent(image, mask)
                    start, stop = _runs(mask, box, shape[1])
                    labels.append(np.full(len(start), index + 1))
                    starts.append(start)
                    stops.append(stop)
        label, start, stop = (np.concatenate(parts) for parts in (labels, starts, stops))
        order = np.argsort(start, kind="stable")
        masks = MaskLabels("the injected sources", shape, Runs(label[order], start[order], stop[order]))
        return Seen(masks, area, size, radius, snr)

    def _place(self, index: int) -> Box:
        y0, x0, side = (int(v[index]) for v in (self.layout.y0, self.layout.x0, self.layout.side))
        return Box(y0, y0 + side, x0, x0 + side)


def default_range(target: Target, seed: int) -> tuple[float, float]:
    """From magnitudes where everything is found to those where nothing is.

    They lie around the median magnitude at which sources of the preset's sky have an S/N of 5 in all bands together,
    were the noise white: 6 mag brighter, and 1 mag fainter, as the noise of most mosaics is correlated and hides more.
    """
    sigma = np.array([sky.background.median_rms for sky in target.recipe.skies])
    middle = target.zero_point - 2.5 * np.log10(50 * sigma[target.reference])
    for _ in range(2):  # colours and sizes change with the magnitude: around the first answer once more
        pool = Pool.fill(target, (middle - 1, middle + 1), "flat", seed)
        scene = Scene(target, pool.choose(_PILOT, 0))
        if not len(scene.sources):
            raise StarnetError("hardly a pixel of the reference band has data: name another with --band")
        mag, snr = magnitude(target, scene.sources), np.empty(len(scene.sources))
        everyone = np.ones(len(snr), bool)
        for stamps in scene.painter.stamps(scene.sources.sources, scene.sources.components, scene.layout, everyone):
            snr[stamps.index] = np.sqrt(((stamps.pixels / sigma[:, None, None]) ** 2).sum(axis=(1, 2, 3)))
        middle = float(np.median(mag + 2.5 * np.log10(snr / 5)))
    return round(2 * (middle - _BRIGHTER)) / 2, round(2 * (middle + _FAINTER)) / 2


def _half_light_radius(image: NDArray[np.float32]) -> float:
    """Radius of the disk of as many pixels, the brightest ones, as hold half of the light; parts of a pixel count."""
    light = np.cumsum(np.sort(image, axis=None)[::-1], dtype=float)
    return float(np.sqrt(np.interp(0.5 * light[-1], np.append(0, light), np.arange(light.size + 1)) / np.pi))


def _extent(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """As `starnet.catalog` has it: square root of the larger eigenvalue of the second moments."""
    y, x = np.nonzero(mask)
    weight = image[mask].astype(float)
    dy, dx = (v - np.average(v, weights=weight) for v in (y, x))
    xx, yy, xy = (np.average(v, weights=weight) for v in (dx * dx, dy * dy, dx * dy))
    if xx * yy - xy * xy < 0.00694:
        xx, yy = xx + 1 / 12, yy + 1 / 12
    return float(np.sqrt((xx + yy) / 2 + np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)))


def _runs(mask: NDArray[np.bool_], box: Box, nx: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and one after the last of each run of a mask, counted along the rows of an image `nx` pixels wide."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    y, first = np.nonzero(edges == 1)
    _, last = np.nonzero(edges == -1)
    row = (y + box.y0) * nx + box.x0
    return row + first, row + last
