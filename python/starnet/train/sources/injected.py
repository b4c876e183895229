"""Samples of simulated sources in a real sky."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from starnet.errors import StarnetError
from starnet.evaluate.labels import LabelSource, open_labels
from starnet.inject.sources import Sources
from starnet.inject.target import Target, adapt
from starnet.models.detector import Detector
from starnet.mosaic import Mosaic, Pixels, Weights
from starnet.recipe import Preprocessed, Recipe
from starnet.simulate import load_preset, truth
from starnet.simulate.field import CELL
from starnet.simulate.gallery import Gallery, hang
from starnet.simulate.paint import Layout, Painter
from starnet.simulate.population import draw
from starnet.splits import AreaSplit
from starnet.tiles import Box
from starnet.train.correlation import correlation, power
from starnet.train.samples import LANES, Bools, Float32, Sample, drawn_box
from starnet.train.sources.maps import in_part
from starnet.train.sources.simulated import Scene

_LAGS = 8  # pixels over which noise is correlated
_NOISE_BOXES, _NOISE_SIDE = 16, 512  # where that is measured
_RIM = 64  # pixels around a field of which the noise is known: most stamps of the sources at its edges lie in there
# A real object is where the detection image exceeds the lower of these in one piece with the higher, and a rim.
_FAINT, _SURE, _EDGE = 1.5, 4.0, 2


@dataclass(frozen=True)
class Injected:
    """Crops of a real mosaic that simulated sources are painted into.

    Noise, sky and artefacts are real, and the truth is that of the simulated sources, by the rules of `Simulated`, with
    the noise that was measured on the mosaic, its correlation included. The objects that are there already are ignored.

    Attributes
    ----------
    target : Target
        The mosaic, as a survey.
    boxes : tuple of Box
        Where crops may lie, each inside one of them.
    there : LabelSource, optional
        The objects that are there; without it, what is found by a threshold. Fainter ones stay part of the sky.
    side : int
        Side of the squares that sources are painted into, in pixels.
    crops_per_field : int
        Samples in a row that are cut from one of them.
    stamps : Path, optional
        Real galaxies to paint with; see `starnet.simulate.Field`.
    """

    target: Target
    boxes: tuple[Box, ...]
    there: LabelSource | None = None
    side: int = 512
    crops_per_field: int = 4
    stamps: Path | None = None
    _held: dict[tuple[int, int], Scene] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.crops_per_field < 1 or self.side < 1:
            raise ValueError("crops_per_field and the side of a field must be 1 or more")
        if self.there is not None and self.there.shape != self.target.mosaic.shape:
            (ny, nx), (my, mx) = self.there.shape, self.target.mosaic.shape
            raise StarnetError(
                f"{self.there.name} has {nx} x {ny} pixels, but the images have {mx} x {my}: give those of one grid"
            )

    def __getstate__(self) -> dict[str, Any]:
        made = ("painter", "detector", "noise")  # those made when they are first asked for are large
        return {name: value for name, value in self.__dict__.items() if name not in made} | {"_held": {}}

    @property
    def bands(self) -> tuple[str, ...]:
        """Those of the mosaic."""
        return self.target.recipe.bands

    @cached_property
    def painter(self) -> Painter:
        """Paints the sources, as deep as the mosaic is."""
        plain = self.target.painter()
        return plain if self.stamps is None else Painter(plain.transfer, plain.sigma.tolist(), Gallery(self.stamps))

    @cached_property
    def detector(self) -> Detector:
        """Finds what is there."""
        return Detector().fit(self.target.mosaic, self.target.recipe)

    @cached_property
    def noise(self) -> NDArray[np.float64]:
        """Correlation of each band's noise, ``(nband, 17, 17)``: the mean of some of the boxes'."""
        every = -(-len(self.boxes) // _NOISE_BOXES)
        found = []
        for box in self.boxes[::every]:
            part = Box(box.y0, box.y0 + _NOISE_SIDE, box.x0, box.x0 + _NOISE_SIDE).intersect(box)
            shown = self.target.recipe.apply(self.target.mosaic, part)
            found.append(correlation(shown.snr, ~self._objects(part, shown), _LAGS))
        return np.asarray(np.mean(found, axis=0))

    def within(self, split: AreaSplit | None = None, part: str = "") -> Injected:
        """The same, inside the squares of a part of a split; see `Mapped.within`."""
        return self if split is None else replace(self, boxes=in_part(split, part, self.target.mosaic.shape))

    def sample(self, index: int, size: int, seed: int) -> Sample:
        """See `Source.sample`."""
        key = seed, index // self.crops_per_field
        if key not in self._held:
            self._held[key] = self._make(*key)
            if len(self._held) > LANES:
                self._held.pop(next(iter(self._held)))
        scene = self._held[key]
        rng = np.random.default_rng([seed, index])
        shape = scene.labels.shape
        here = drawn_box(rng, shape, size, lambda box: bool(scene.ignore[box.slices].mean() <= 0.5)).slices
        return Sample.of(scene.image[:, *here], scene.labels[here], scene.ignore[here], size)

    def _make(self, seed: int, number: int) -> Scene:
        rng = np.random.default_rng([seed, number, 1])
        region = self._region(rng)
        mosaic, recipe = self.target.mosaic, self.target.recipe
        box = region.pad(recipe.halo).clip(mosaic.shape)
        light, labels, rows = self._paint(int(rng.integers(1 << 62)), box)
        exposure = np.array([band.exposure for band in self.target.preset.bands], np.float32)[:, None, None]
        photons = rng.standard_normal(light.shape, dtype=np.float32) * np.sqrt(np.maximum(light, 0) / exposure)
        shown = recipe.apply(_Lit(mosaic, box, light + photons), region)
        rows["y"], rows["x"] = rows["y"] + box.y0 - region.y0, rows["x"] + box.x0 - region.x0
        scene = Scene.of(shown, labels[region.slices_in(box)], rows)
        around = region.pad(_RIM).clip(mosaic.shape)
        objects = self._objects(around, recipe.apply(mosaic, around))[region.slices_in(around)]
        return replace(scene, ignore=scene.ignore | objects)

    def _region(self, rng: np.random.Generator) -> Box:
        """A square inside one of the boxes, each as likely as it is large."""
        area = np.cumsum([box.size for box in self.boxes])
        box = self.boxes[int(np.searchsorted(area, rng.integers(area[-1]), "right"))]

        def seen(part: Box) -> bool:
            return bool(self.target.mosaic.read(part.shift(box.y0, box.x0)).valid.any(axis=0).mean() >= 0.5)

        return drawn_box(rng, box.shape, self.side, seen).shift(box.y0, box.x0)

    def _paint(self, seed: int, box: Box) -> tuple[Float32, NDArray[np.int32], NDArray[np.void]]:
        """Light of new sources in a box, whose each pixel is, and what they are."""
        sources, layout = self._population(seed, box.shape)
        around = box.pad(_RIM)
        inside = around.clip(self.target.mosaic.shape)
        ivar = np.zeros((len(self.bands), *around.shape), np.float32)
        sigma = self.target.recipe.apply(self.target.mosaic, inside).sigma
        ivar[:, *inside.slices_in(around)] = np.float32(1) / (sigma * sigma)
        # From here on in pixels of the box, where the sources are.
        box, around = Box(0, box.shape[0], 0, box.shape[1]), around.shift(-box.y0, -box.x0)
        weights = truth.detection_weights(ivar)
        light, labels = np.zeros((len(self.bands), *box.shape), np.float32), truth.LabelMap(box)
        snr, wanted = np.zeros(len(sources)), layout.reaching(box)
        spectra = cache(lambda side: [power(band, side) for band in self.noise])
        for index, place, pixels in _stamps(self.painter, sources, layout, wanted):
            part, known = place.intersect(box), place.intersect(around)
            flux = pixels[:, *part.slices_in(place)]
            light[:, *part.slices_in(box)] += flux
            labels.add(index + 1, part, truth.detection(flux, weights[:, *part.slices_in(around)]))
            # Beyond the rim a pixel counts for nothing: what reaches so far is bright enough without.
            own = np.zeros_like(pixels)
            own[:, *known.slices_in(place)] = ivar[:, *known.slices_in(around)]
            snr[index] = truth.signal_to_noise(pixels[None], own[None], spectra(pixels.shape[-1]))[0]
        rows = np.zeros(len(sources), [("label", "i4"), ("kind", "u1"), ("y", "f8"), ("x", "f8"), ("snr", "f8")])
        rows["label"], rows["snr"] = np.arange(1, len(sources) + 1), snr
        for name in ("kind", "y", "x"):
            rows[name] = sources.sources[name]
        return light, labels.labels, rows

    def _population(self, seed: int, shape: tuple[int, int]) -> tuple[Sources, Layout]:
        """Sources in and around a box whose first pixel is 0, 0, and where their stamps lie."""
        preset, parts = self.target.preset, []
        rows, columns = (range(-1, -(-length // CELL) + 1) for length in shape)
        for cell in product(rows, columns):
            drawn = draw(preset, seed, cell, CELL)
            sources, components = drawn.sources, drawn.components
            components = components[np.argsort(components["source"], kind="stable")]
            if self.painter.gallery is not None:
                rng = np.random.default_rng([seed, *(one + 1 for one in cell)])
                sources, components = hang(self.painter.gallery, rng, sources, components, preset.pixel_scale)
            parts.append(Sources(sources, components))
        everyone = Sources.concatenate(parts)
        return everyone, self.painter.layout(everyone.sources, everyone.components)

    def _objects(self, box: Box, shown: Preprocessed) -> Bools:
        """Real objects, and a rim around them."""
        if self.there is not None:
            objects = self.there.read(box) > 0
        else:
            image = self.detector.image(shown)
            pieces, count = ndimage.label(image > _FAINT, np.ones((3, 3)))
            sure = np.zeros(count + 1, bool)
            sure[np.unique(pieces[image > _SURE])] = True
            objects = sure[pieces]
        grown: Bools = ndimage.binary_dilation(objects, np.ones((3, 3)), _EDGE)
        return grown


def of_mosaic(
    images: Sequence[str | Path],
    *,
    weights: Weights = None,
    instrument: str | None = None,
    labels: str | Path | None = None,
    recipe: str | Path = "noise",
    preset: str | None = None,
    pixel_scale: float | None = None,
    zero_points: Mapping[str, float] | None = None,
    psf: Mapping[str, str | Path] | None = None,
    **more: Any,
) -> Injected:
    """Simulated sources in real images.

    Parameters
    ----------
    images, weights, instrument
        As for `Mosaic.open`.
    labels : str or Path, optional
        As for `starnet.evaluate.open_labels`: the objects that are there, which are ignored.
    recipe : str or Path
        A recipe's name, or its YAML file; fitted to the whole mosaic, without the sources, unless it was already.
    preset, pixel_scale, zero_points, psf
        As for `starnet.inject.target.adapt`.
    **more
        `side`, `crops_per_field` and `stamps` of `Injected`.

    Raises
    ------
    StarnetError
        If a file cannot be used, or the images are not known well enough for sources to be painted.
    """
    mosaic = Mosaic.open(images, instrument=instrument, weights=weights)
    survey, _ = adapt(mosaic, preset=preset, pixel_scale=pixel_scale, zero_points=zero_points, psf=psf)
    # Photo-electrons of one unit of the images, not of the survey's.
    own = load_preset(preset or survey.name).select(tuple(band.name for band in survey.bands)).bands
    bands = tuple(
        replace(band, exposure=band.exposure * 10 ** (0.4 * (plain.zero_point - band.zero_point)))
        for band, plain in zip(survey.bands, own, strict=True)
    )
    target = Target(mosaic, replace(survey, bands=bands), Recipe.fit(mosaic, recipe))
    return Injected(target, (mosaic.whole,), None if labels is None else open_labels(labels), **more)


class _Lit(Mosaic):
    """A mosaic with more light in a box, outside of which it is not read."""

    def __init__(self, mosaic: Mosaic, box: Box, light: Float32) -> None:
        self.__dict__.update(mosaic.__dict__)
        self._plain, self._box, self._light = mosaic, box, light

    def read(self, box: Box) -> Pixels:
        """See `Mosaic.read`."""
        pixels = self._plain.read(box)
        pixels.data += self._light[:, *box.slices_in(self._box)]
        return pixels


def _stamps(painter: Painter, sources: Sources, layout: Layout, wanted: Bools) -> Iterator[tuple[int, Box, Float32]]:
    """Number of a source, the place of its stamp, and its pixels ``(nband, side, side)``."""
    for stamps in painter.stamps(sources.sources, sources.components, layout, wanted):
        for index, pixels in zip(stamps.index.tolist(), stamps.pixels, strict=True):
            y0, x0, side = (int(one[index]) for one in (layout.y0, layout.x0, layout.side))
            yield index, Box(y0, y0 + side, x0, x0 + side), pixels
