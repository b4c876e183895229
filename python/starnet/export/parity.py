"""Whether an exported network is the network: the same objects, and the same fluxes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.export.tiles import SkyTile
from starnet.instances import form_objects
from starnet.layers import Layers
from starnet.models.backend import Backend
from starnet.models.dense import Dense
from starnet.models.encoder import Encoder
from starnet.prompts import peaks

#: Prompts of a tile: as many as matter, since one takes a vision transformer's decoder a second on a small machine.
PROMPTS = 16
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gate:
    """What an export must reach.

    Attributes
    ----------
    iou : float
        Least mean IoU of objects, and of masks, with the network's own.
    flux : float
        Largest mean of the differences of the objects' fluxes.
    """

    iou: float
    flux: float

    def __post_init__(self) -> None:
        if not 0 < self.iou <= 1 or not self.flux > 0:
            raise ValueError(f"iou={self.iou}, flux={self.flux}: must be within 0 to 1, and positive")


#: float16 has 11 bits, so that logits near 0 change sign over a few pixels of an object's border; int8 has 8.
GATES = {"fp32": Gate(0.99, 1e-3), "fp16": Gate(0.99, 1e-2), "int8": Gate(0.9, 0.1)}


@dataclass(frozen=True)
class Agreement:
    """Of objects of two networks.

    Attributes
    ----------
    count : int
        Objects, of either.
    iou_mean, iou_worst : float
        With the other's object that overlaps most; 0 where there is none.
    flux, flux_worst : float
        Mean and largest difference of the fluxes of an object in a band, in units of its flux or, if that is larger,
        its noise; 1 at most, as for an object that the other has not.
    """

    count: int
    iou_mean: float
    iou_worst: float
    flux: float
    flux_worst: float


@dataclass(frozen=True)
class Parity:
    """What a comparison found.

    Attributes
    ----------
    tiles : dict of str to int
        Tiles by origin.
    objects : Agreement or None
        Of the instance head's label maps; None where there is no head.
    masks : Agreement
        Of prompts at the peaks of sources: three masks each of points, one of boxes.
    """

    tiles: dict[str, int]
    objects: Agreement | None
    masks: Agreement

    def as_dict(self) -> dict[str, object]:
        """JSON-able."""
        return asdict(self)

    def failure(self, gate: Gate) -> str | None:
        """What does not reach the gate."""
        for name, found in (("objects", self.objects), ("masks of prompts", self.masks)):
            if found is None:
                continue
            if not found.count:
                return f"there are no {name} to compare: give tiles of sky on which it finds some with --tiles"
            if found.iou_mean < gate.iou:
                return f"the mean IoU of its {name} with the network's is {found.iou_mean:.4f}, and must be {gate.iou}"
            if found.flux > gate.flux:
                return f"the fluxes of its {name} differ by {found.flux:.2g} in the mean, and {gate.flux} is the most"
        return None


@dataclass
class _Tally:
    """Pairs of objects, tile by tile; a row is an object."""

    iou: list[Floats] = field(default_factory=list)
    fluxes: list[Floats] = field(default_factory=list)
    others: list[Floats] = field(default_factory=list)
    noise: list[Floats] = field(default_factory=list)

    def add(self, iou: Floats, fluxes: Floats, others: Floats, noise: Floats) -> None:
        """Of n objects: ``(n,)``, and ``(n, nband)`` of the rest."""
        for have, new in zip(
            (self.iou, self.fluxes, self.others, self.noise), (iou, fluxes, others, noise), strict=True
        ):
            have.append(new)

    def agreement(self) -> Agreement:
        """Of all of them."""
        if not sum(map(len, self.iou)):
            return Agreement(0, 0.0, 0.0, 0.0, 0.0)
        iou, fluxes, others, noise = map(np.concatenate, (self.iou, self.fluxes, self.others, self.noise))
        difference = np.abs(fluxes - others)
        relative = np.minimum(difference / np.maximum(np.maximum(np.abs(fluxes), noise), 1e-30), 1)
        return Agreement(len(iou), float(iou.mean()), float(iou.min()), float(relative.mean()), float(relative.max()))


def compare(
    network: Backend,
    exported: Backend,
    tiles: Sequence[SkyTile],
    progress: Callable[[str, int, int], None] | None = None,
) -> Parity:
    """Runs both on the same tiles.

    Parameters
    ----------
    network, exported : Backend
        The network, and what was made of it.
    tiles : sequence of SkyTile
        Preprocessed for the network.
    progress : callable, optional
        Called with (stage, tiles done, all tiles).
    """
    objects, masks = _Tally(), _Tally()
    origins: dict[str, int] = {}
    for done, tile in enumerate(tiles, start=1):
        origins[tile.origin] = origins.get(tile.origin, 0) + 1
        if network.config.instance_head:
            _add_labels(objects, tile, _labels(network, tile), _labels(exported, tile))
        _add_masks(masks, tile, network, exported)
        if progress:
            progress("compare", done, len(tiles))
    head = objects.agreement() if network.config.instance_head else None
    return Parity(origins, head, masks.agreement())


def check(parity: Parity, gate: Gate, name: str) -> None:
    """Refuses an export that is not the network.

    Raises
    ------
    StarnetError
        If objects, masks or fluxes differ by more than the gate lets through.
    """
    if failure := parity.failure(gate):
        raise StarnetError(f"the export of {name} is not the same as the network, and was not kept: {failure}")


def _labels(backend: Backend, tile: SkyTile) -> NDArray[np.int32]:
    """The label map of a tile, as the engine of instance heads forms it."""
    pre = tile.preprocessed
    engine = Dense(Encoder(backend, tile.bands), detector=tile.detector)
    maps = engine.maps(pre)
    layers = Layers.of(pre, maps, pre.box.shape, pre.box)
    return form_objects(layers, maps.foreground, pre.box.shape, engine.splitter, engine.min_area).labels


def _add_labels(tally: _Tally, tile: SkyTile, ours: NDArray[np.int32], theirs: NDArray[np.int32]) -> None:
    """Each object with the one that overlaps most, from both sides: neither may have more than the other."""
    for one, other in ((ours, theirs), (theirs, ours)):
        n, m = int(one.max()), int(other.max())
        both = np.bincount((one.astype(np.int64) * (m + 1) + other).ravel(), minlength=(n + 1) * (m + 1))
        both = both.reshape(n + 1, m + 1)
        union = both.sum(axis=1)[1:, None] + both.sum(axis=0)[None, 1:] - both[1:, 1:]
        iou = np.hstack([np.zeros((n, 1)), both[1:, 1:] / np.maximum(union, 1)])
        match = iou.argmax(axis=1)
        fluxes, noise = _fluxes(tile, one, n)
        others, _ = _fluxes(tile, other, m)
        tally.add(iou[np.arange(n), match], fluxes[1:], np.where(match[:, None] > 0, others[match], 0.0), noise[1:])


def _fluxes(tile: SkyTile, labels: NDArray[np.int32], count: int) -> tuple[Floats, Floats]:
    """Flux and noise of objects 0 (none) to count in each band, ``(count + 1, nband)``."""
    flux, noise = _planes(tile)
    flat = labels.ravel()

    def total(planes: Floats) -> Floats:
        return np.stack([np.bincount(flat, plane.ravel(), count + 1) for plane in planes], axis=1)

    return total(flux), np.sqrt(total(noise))


def _planes(tile: SkyTile) -> tuple[Floats, Floats]:
    """Flux and variance of the pixels; 0 where there are none."""
    pre = tile.preprocessed
    flux = np.where(pre.valid, pre.flux, 0).astype(np.float64)
    return flux, np.where(pre.valid, pre.sigma, 0).astype(np.float64) ** 2


def _add_masks(tally: _Tally, tile: SkyTile, network: Backend, exported: Backend) -> None:
    pre, image = tile.preprocessed, tile.image
    box = pre.box
    found = peaks(tile.detector.image(pre), box, box, box.shape, with_boxes=True)
    found = found.select(np.linspace(0, len(found) - 1, min(len(found), PROMPTS)).astype(np.int64))
    if not len(found):
        return
    flux, noise = _planes(tile)
    sides = [(one, one.encode(image)) for one in (network, exported)]
    nowhere = np.full_like(found.boxes, np.nan)
    for prompts, multimask in ((found.with_boxes(nowhere), True), (found, False)):
        one, other = (backend.decode(features, prompts, multimask=multimask) for backend, features in sides)
        for ours, theirs, (y, x) in zip(one.logits > 0, other.logits > 0, one.origins, strict=True):
            here = (slice(None), slice(y, y + ours.shape[1]), slice(x, x + ours.shape[2]))
            pixels, variance = flux[here], noise[here]
            ny, nx = pixels.shape[1:]
            for a, b in zip(ours[:, :ny, :nx], theirs[:, :ny, :nx], strict=True):
                if union := np.count_nonzero(a | b):
                    sums = [np.array([(plane * mask).sum() for plane in pixels])[None] for mask in (a, b)]
                    error = np.sqrt([(plane * a).sum() for plane in variance])[None]
                    tally.add(np.array([np.count_nonzero(a & b) / union]), sums[0], sums[1], error)
