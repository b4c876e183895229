"""A simulated field: any window of it can be made alone, and is the same in every window that holds it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.simulate import truth
from starnet.simulate.artefacts import Artefacts
from starnet.simulate.gallery import Gallery, hang
from starnet.simulate.noise import Noise
from starnet.simulate.paint import SIDES, Layout, Painter
from starnet.simulate.population import draw
from starnet.simulate.presets import Preset
from starnet.simulate.psf import otf
from starnet.simulate.streams import stream
from starnet.tiles import Box

CELL = 512  # side of the squares that draw their sources independently, in pixels
#: Labels of a cell's sources begin at a multiple of this.
LARGEST_CELL = 10_000
# Sources outside the field whose stamps may reach into it.
_MARGIN = -(-int(SIDES[-1]) // (2 * CELL))
_CELLS_HELD = 1024

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """A part of a simulated field.

    Attributes
    ----------
    box : Box
        Where it lies in the field.
    images : ndarray of float32, (nband, ny, nx)
        As observed.
    weights : ndarray of float32, (nband, ny, nx)
        Weight maps as the observatory would state them; 0 where there are no data.
    model : ndarray of float32, (nband, ny, nx)
        The sources alone, without noise, sky and damage.
    labels : ndarray of int32, (ny, nx)
        Whose a pixel is: ``label`` of `Field.sources`; 0 is sky.
    """

    box: Box
    images: Float32
    weights: Float32
    model: Float32
    labels: NDArray[np.int32]


@dataclass(frozen=True)
class Truth:
    """What is known of the sources of a window.

    Attributes
    ----------
    rows : ndarray
        A row a source; see `Field.truth_dtype`.
    masks : list of ndarray of int64
        Per row, the run lengths, in the whole field, of all pixels where the source alone exceeds 1 sigma.
    """

    rows: NDArray[np.void]
    masks: list[NDArray[np.int64]]


@dataclass(frozen=True)
class _Scene:
    """Sources with their components and stamps, in the order of their labels."""

    sources: NDArray[np.void]
    components: NDArray[np.void]
    layout: Layout
    labels: NDArray[np.int32]
    parents: NDArray[np.int32]


@lru_cache(maxsize=4)
def _painter(preset: Preset, stamps: Path | None) -> Painter:
    """The tables of a survey, shared by all its fields."""
    # As deep as a field gets: a sample of pixels far from each other is enough for the width of stamps.
    noise, sample = Noise(preset, 0), [Box(y, y + 1, x, x + 1) for y, x in product(range(0, 8192, 1024), repeat=2)]
    sigma = [min(float(noise.sigma(band, pixel)[0, 0]) for pixel in sample) for band in range(len(preset.bands))]

    def transfer(band: int, side: int, oversample: int) -> NDArray[np.complex64]:
        return otf(preset.bands[band], preset.pixel_scale, side, oversample)

    return Painter(transfer, sigma, Gallery(stamps) if stamps is not None else None)


@dataclass(frozen=True)
class Field:
    """A simulated mosaic.

    Parameters
    ----------
    preset : Preset
        The survey.
    size : tuple of int
        ``(ny, nx)`` in pixels.
    seed : int
        The same seed makes the same field, whichever windows of it are made, and where.
    stamps : Path, optional
        A GalSim ``RealGalaxyCatalog``, whose galaxies take the place of some of the analytic ones.
    """

    preset: Preset
    size: tuple[int, int]
    seed: int
    stamps: Path | None = None
    _cells: OrderedDict[tuple[int, int], _Scene] = field(
        default_factory=OrderedDict, init=False, repr=False, compare=False
    )

    _spectra: dict[int, list[Float32]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise StarnetError(f"a field of {self.size[1]} x {self.size[0]} pixels cannot be made: give a larger size")

    def __reduce__(self) -> tuple[Any, ...]:
        return Field, (self.preset, self.size, self.seed, self.stamps)

    @property
    def whole(self) -> Box:
        """All of it."""
        return Box(0, self.size[0], 0, self.size[1])

    @cached_property
    def noise(self) -> Noise:
        """Its noise."""
        return Noise(self.preset, self.seed)

    @cached_property
    def artefacts(self) -> Artefacts:
        """Its sky, gaps and damage."""
        return Artefacts(self.preset, self.seed)

    @property
    def painter(self) -> Painter:
        """Paints its sources."""
        return _painter(self.preset, self.stamps)

    @property
    def header(self) -> fits.Header:
        """Celestial WCS (gnomonic, north up) of the field, centred in GOODS-South."""
        ny, nx = self.size
        step = self.preset.pixel_scale / 3600
        return fits.Header(
            [
                ("CTYPE1", "RA---TAN"),
                ("CTYPE2", "DEC--TAN"),
                ("CRPIX1", (nx + 1) / 2),
                ("CRPIX2", (ny + 1) / 2),
                ("CRVAL1", 53.12),
                ("CRVAL2", -27.8),
                ("CD1_1", -step),
                ("CD1_2", 0.0),
                ("CD2_1", 0.0),
                ("CD2_2", step),
                ("CUNIT1", "deg"),
                ("CUNIT2", "deg"),
                ("RADESYS", "ICRS"),
                ("EQUINOX", 2000.0),
            ]
        )

    def window(self, box: Box) -> Window:
        """Make a part of the field.

        Parameters
        ----------
        box : Box
            Inside the field.

        Raises
        ------
        ValueError
            If it is not.
        """
        return self.window_and_truth(box, with_truth=False)[0]

    def window_and_truth(self, box: Box, *, with_truth: bool = True) -> tuple[Window, Truth]:
        """Make a part of the field, and list the sources whose centres lie in it.

        A source that lies outside the field belongs to the window with the field's nearest pixel.

        Parameters
        ----------
        box : Box
            Inside the field.
        with_truth : bool
            False leaves the list empty, and saves its time.
        """
        if box.clip(self.size) != box or box.size == 0:
            raise ValueError(f"{box} does not lie inside a field of {self.size}")
        scene, painter = self._scene(box), self.painter
        ivar = self.inverse_variance(box)
        weights = truth.detection_weights(ivar)
        model = np.zeros((len(self.preset.bands), *box.shape), np.float32)
        labels = truth.LabelMap(box)
        ledger = _Ledger(self, scene, box) if with_truth else None
        wanted = scene.layout.reaching(box)
        if ledger is not None:
            wanted |= ledger.owned
        for stamps in painter.stamps(scene.sources, scene.components, scene.layout, wanted):
            for index, pixels in zip(stamps.index.tolist(), stamps.pixels, strict=True):
                place = _box(scene.layout, index)
                part = place.intersect(box)
                if part.size:
                    flux, here = pixels[:, *part.slices_in(place)], part.slices_in(box)
                    model[:, *here] += flux
                    labels.add(int(scene.labels[index]), part, truth.detection(flux, weights[:, *here]))
            if ledger is not None:
                ledger.enter(stamps.index, stamps.pixels, ivar, weights)
        window = Window(box, *self._observe(box, model, ivar), model, labels.labels)
        return window, Truth(*ledger.close()) if ledger is not None else Truth(np.zeros(0, self.truth_dtype), [])

    @property
    def truth_dtype(self) -> np.dtype[Any]:
        """A row of `Truth`: a source, its optimal S/N, the pixels and box (y0, y1, x0, x1) of its mask, saturation."""
        nband = len(self.preset.bands)
        return np.dtype(
            [
                ("label", "i4"),
                ("y", "f8"),
                ("x", "f8"),
                ("kind", "u1"),
                ("flux", "f8", (nband,)),
                ("n", "f4"),
                ("re", "f4"),
                ("q", "f4"),
                ("pa", "f4"),
                ("z", "f4"),
                ("parent", "i4"),
                ("snr", "f4"),
                ("full_area", "i8"),
                ("box", "i4", (4,)),
                ("saturated", "?"),
            ]
        )

    def inverse_variance(self, box: Box) -> Float32:
        """True inverse variance of the pixels, (nband, ny, nx); 0 where there are no data and outside the field."""
        ivar = np.zeros((len(self.preset.bands), *box.shape), np.float32)
        inside = box.clip(self.size)
        if inside.size:
            for band in range(len(ivar)):
                covered = self.artefacts.coverage(band, inside)
                ivar[band][inside.slices_in(box)] = covered / self.noise.sigma(band, inside) ** 2
        return ivar

    def power(self, side: int) -> list[Float32]:
        """Power spectrum of each band's noise, (side, side // 2 + 1), for unit variance."""
        if side not in self._spectra:
            bands = range(len(self.preset.bands))
            self._spectra[side] = [self.noise.power(band, side).astype(np.float32) for band in bands]
        return self._spectra[side]

    def _observe(self, box: Box, model: Float32, ivar: Float32) -> tuple[Float32, Float32]:
        """Add sky and noise, and damage the image."""
        images, weights = np.empty_like(model), np.empty_like(model)
        for i, band in enumerate(self.preset.bands):
            covered = ivar[i] > 0
            # Photons of the sources are noise on top of the sky's: variance flux / exposure.
            photons = np.sqrt(1 + np.maximum(model[i], 0) * ivar[i] / np.float32(band.exposure))
            images[i] = model[i] + self.artefacts.sky(i, box) + self.noise.noise(i, box) * photons
            weights[i] = self.noise.weight(i, box)
            self.artefacts.damage(i, box, images[i], weights[i])
            images[i][~covered] = 0
            weights[i][~covered] = 0
        return images, weights

    def _scene(self, box: Box) -> _Scene:
        """All sources that may reach a box."""
        near = box.pad(_MARGIN * CELL)
        cells = [
            self._cell((iy, ix))
            for iy in range(near.y0 // CELL, -(-near.y1 // CELL))
            for ix in range(near.x0 // CELL, -(-near.x1 // CELL))
        ]
        offsets = np.cumsum([0, *(len(cell.sources) for cell in cells)])
        components = np.concatenate([cell.components for cell in cells])
        components["source"] += np.repeat(offsets[:-1], [len(cell.components) for cell in cells]).astype(np.int32)
        return _Scene(
            np.concatenate([cell.sources for cell in cells]),
            components,
            Layout.concatenate([cell.layout for cell in cells]),
            np.concatenate([cell.labels for cell in cells]),
            np.concatenate([cell.parents for cell in cells]),
        )

    def _cell(self, cell: tuple[int, int]) -> _Scene:
        """Sources of a cell; those drawn last are held."""
        if cell in self._cells:
            self._cells.move_to_end(cell)
            return self._cells[cell]
        population = draw(self.preset, self.seed, cell, CELL)
        sources = population.sources
        if len(sources) >= LARGEST_CELL:
            raise StarnetError(
                f"{len(sources)} sources in {CELL} x {CELL} pixels are too many: choose a brighter faintest magnitude"
            )
        columns = -(-self.size[1] // CELL) + 2 * _MARGIN
        number = (cell[0] + _MARGIN) * columns + cell[1] + _MARGIN
        labels = (number * LARGEST_CELL + 1 + np.arange(len(sources))).astype(np.int32)
        parents = np.where(sources["parent"] >= 0, number * LARGEST_CELL + 1 + sources["parent"], 0).astype(np.int32)
        components = population.components
        if self.painter.gallery is not None:
            rng = stream(self.seed, "stamp", cell=cell)
            sources, components = hang(self.painter.gallery, rng, sources, components, self.preset.pixel_scale)
        layout = self.painter.layout(sources, components)
        self._cells[cell] = _Scene(sources, components, layout, labels, parents)
        if len(self._cells) > _CELLS_HELD:
            self._cells.popitem(last=False)
        return self._cells[cell]


class _Ledger:
    """Takes down what is true of a window's own sources while they are painted."""

    def __init__(self, field: Field, scene: _Scene, box: Box) -> None:
        self.field, self.scene, self.box = field, scene, box
        ny, nx = field.size
        y = np.clip(np.floor(scene.sources["y"] + 0.5), 0, ny - 1)
        x = np.clip(np.floor(scene.sources["x"] + 0.5), 0, nx - 1)
        self.owned = np.asarray(
            (y >= box.y0) & (y < box.y1) & (x >= box.x0) & (x < box.x1) & scene.layout.reaching(field.whole)
        )
        self._saturation = [10 ** (-0.4 * (band.saturation - band.zero_point)) for band in field.preset.bands]
        self._snr = np.zeros(len(scene.sources))
        self._saturated = np.zeros(len(scene.sources), bool)
        self._boxes = np.zeros((len(scene.sources), 4), np.int32)
        self._masks: dict[int, NDArray[np.int64]] = {}

    def enter(self, indices: NDArray[np.int64], pixels: Float32, ivar: Float32, weights: Float32) -> None:
        """Take down the stamps of some sources; `ivar` and detection weights are those of the window."""
        own = self.owned[indices]
        if not own.any():
            return
        indices, pixels = indices[own], pixels[own]
        places = [_box(self.scene.layout, index) for index in indices.tolist()]
        inside = [place.intersect(self.box) == place for place in places]
        around = np.stack(
            [
                ivar[:, *place.slices_in(self.box)] if within else self.field.inverse_variance(place)
                for place, within in zip(places, inside, strict=True)
            ]
        )
        side = pixels.shape[-1]
        power = self.field.power(side)
        self._snr[indices] = truth.signal_to_noise(pixels, around, power)
        self._saturated[indices] = (pixels.max(axis=(2, 3)) > self._saturation).any(axis=1)
        for i, (index, place) in enumerate(zip(indices.tolist(), places, strict=True)):
            weight = weights[:, *place.slices_in(self.box)] if inside[i] else truth.detection_weights(around[i])
            seen = truth.detection(pixels[i], weight) > 1
            if seen.any():  # only inside the field: the inverse variance is 0 elsewhere
                rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
                box = Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
                mask, box = seen[box.slices], box.shift(place.y0, place.x0)
                self._boxes[index] = box.y0, box.y1, box.x0, box.x1
                self._masks[index] = truth.run_lengths(mask, box, self.field.size)

    def close(self) -> tuple[NDArray[np.void], list[NDArray[np.int64]]]:
        """Rows and masks, in the order of the labels."""
        own = np.flatnonzero(self.owned)
        rows = np.zeros(len(own), self.field.truth_dtype)
        for name in ("y", "x", "kind", "flux", "n", "re", "q", "pa", "z"):
            rows[name] = self.scene.sources[name][own]
        rows["label"], rows["parent"] = self.scene.labels[own], self.scene.parents[own]
        rows["snr"], rows["saturated"], rows["box"] = self._snr[own], self._saturated[own], self._boxes[own]
        empty = np.array([self.field.whole.size])
        masks = [self._masks.get(index, empty) for index in own.tolist()]
        rows["full_area"] = [int(counts[1::2].sum()) for counts in masks]
        return rows, masks


def _box(layout: Layout, index: int) -> Box:
    y0, x0, side = int(layout.y0[index]), int(layout.x0[index]), int(layout.side[index])
    return Box(y0, y0 + side, x0, x0 + side)
