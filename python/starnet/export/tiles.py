"""Tiles of sky on which exported networks are calibrated and compared."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.models.backend import Backend
from starnet.models.detector import Detector
from starnet.models.encoder import Encoder
from starnet.models.network_engine import Windows
from starnet.mosaic import Mosaic
from starnet.networks import VitEncoder
from starnet.recipe import Preprocessed, Recipe
from starnet.tiles import Box

#: Tiles of each mosaic; and of a simulated one, for tiny encoders, pixels on a side.
PER_MOSAIC, SIDE = 2, 480
SIMULATED = "simulated"


@dataclass(frozen=True)
class SkyTile:
    """A window of a mosaic as a network sees it.

    Attributes
    ----------
    origin : str
        `SIMULATED`, or the name of the first of its files.
    preprocessed : Preprocessed
        By the network's recipe; its box begins at 0, 0.
    bands : tuple of int
        Those that the network is shown, in its order.
    detector : Detector
        The mosaic's, fitted.
    """

    origin: str
    preprocessed: Preprocessed
    bands: tuple[int, ...]
    detector: Detector

    @property
    def image(self) -> NDArray[np.float32]:
        """What the network is shown, ``(nband, ny, nx)``."""
        return np.ascontiguousarray(self.preprocessed.image[list(self.bands)])


def simulated_tiles(backend: Backend, *, seed: int = 0, count: int | None = None) -> list[SkyTile]:
    """Windows of a simulated deep field of the network's bands, or of three of Hubble's.

    Raises
    ------
    StarnetError
        If GalSim is missing, or no preset has these bands.
    """
    from starnet.simulate import PRESETS, Field, write

    count = PER_MOSAIC if count is None else count

    wanted = backend.config.bands
    for preset in PRESETS.values():
        if set(wanted) <= {band.name for band in preset.bands}:
            break
    else:
        raise StarnetError(f"no simulated sky has the bands {', '.join(wanted)}: give real images of them with --tiles")
    side = _side(backend)
    names = wanted or tuple(band.name for band in preset.bands[:3])
    field = Field(preset.select(names), (side * count, side), seed)
    with tempfile.TemporaryDirectory(prefix="starnet-") as folder:
        made = write(field, folder).outputs
        return _tiles(backend, SIMULATED, [made[name] for name in names], count)


def real_tiles(backend: Backend, files: Sequence[str | Path], *, count: int | None = None) -> list[SkyTile]:
    """Windows of a mosaic, those with the most pixels of any value.

    Raises
    ------
    StarnetError
        If the files are not a mosaic, or lack a band of the network.
    """
    return _tiles(backend, Path(files[0]).name, files, PER_MOSAIC if count is None else count)


def _tiles(backend: Backend, origin: str, files: Sequence[str | Path], count: int) -> list[SkyTile]:
    mosaic = Mosaic.open(files)
    bands = Encoder.of(backend, [band.name for band in mosaic.bands]).bands
    recipe = Recipe.fit(mosaic, backend.config.recipe)
    detector = Detector().fit(mosaic, recipe)
    ny, nx = mosaic.shape
    side = _side(backend)
    boxes = [
        Box(y, min(y + side, ny), x, min(x + side, nx))
        for y in range(0, max(ny - side, 0) + 1, side)
        for x in range(0, max(nx - side, 0) + 1, side)
    ]
    found = [recipe.apply(mosaic, box) for box in boxes[:: max(len(boxes) // (4 * count), 1)]]
    # Of what was looked at, the best covered; in their own order.
    covered = np.array([one.valid.mean() for one in found])
    chosen = np.sort(np.argsort(-covered, kind="stable")[:count])
    return [
        SkyTile(origin, replace(one, box=Box(0, one.box.shape[0], 0, one.box.shape[1])), bands, detector)
        for one in (found[i] for i in chosen)
        if one.valid.any()
    ]


def _side(backend: Backend) -> int:
    """Of a window: for vision transformers, what an engine gives them."""
    if not isinstance(backend.config.encoder, VitEncoder):
        return -(-SIDE // backend.stride) * backend.stride
    windows = Windows.of(backend, Detector().halo)
    return windows.tile + 2 * windows.halo
