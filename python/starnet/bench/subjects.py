"""What `starnet bench --inference` runs: the same weights in ONNX Runtime and in torch, on the same tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from starnet.bundle import is_bundle
from starnet.errors import StarnetError
from starnet.models.backend import Backend
from starnet.models.detector import Detector
from starnet.models.encoder import Encoder
from starnet.models.network_engine import Windows
from starnet.models.session import SessionBackend
from starnet.mosaic import Mosaic
from starnet.networks import NETWORKS, require_torch
from starnet.recipe import Preprocessed, Recipe
from starnet.tiles import Box
from starnet.weights import EMBEDDED

if TYPE_CHECKING:
    from starnet.models.torch_backend import TorchBackend

SEED = 2026


@dataclass(frozen=True)
class Subject:
    """One model.

    Attributes
    ----------
    name : str
        The network's, and where its weights come from.
    bundle : Path
        Its graphs.
    weights : Path or None
        Its weights as torch reads them; None of a bundle without them.
    session : SessionBackend
        ONNX Runtime.
    torch : TorchBackend or None
        The network itself.
    """

    name: str
    bundle: Path
    weights: Path | None
    session: SessionBackend
    torch: TorchBackend | None


@dataclass(frozen=True)
class Sky:
    """A mosaic, and the recipes by which its windows are shown.

    Attributes
    ----------
    files : tuple of str
        Its bands.
    mosaic : Mosaic
        The same, opened.
    description : str
        Where the pixels come from.
    """

    files: tuple[str, ...]
    mosaic: Mosaic
    description: str
    _recipes: dict[str, tuple[Recipe, Detector]] = field(default_factory=dict)

    @classmethod
    def opened(cls, files: Sequence[str]) -> Sky:
        """The user's."""
        mosaic = Mosaic.open(files)
        ny, nx = mosaic.shape
        return cls(tuple(files), mosaic, f"{', '.join(files)}: {nx} x {ny} px, {len(mosaic.bands)} bands")

    @classmethod
    def simulated(cls, folder: Path, side: int, bands: Sequence[str] = ()) -> Sky:
        """A deep field of the named bands, or of three of Hubble's."""
        try:
            from starnet.simulate import PRESETS, Field, write
        except ModuleNotFoundError as error:
            raise StarnetError(
                f"a simulated field needs {error.name}: pip install 'starnet[sim]', or give FITS images"
            ) from error
        preset = next((one for one in PRESETS.values() if set(bands) <= {band.name for band in one.bands}), None)
        if preset is None:
            raise StarnetError(f"no simulated sky has the bands {', '.join(bands)}: give FITS images of them")
        names = tuple(bands) or tuple(band.name for band in preset.bands[:3])
        made = write(Field(preset.select(names), (side, side), SEED), folder).outputs
        files = tuple(str(made[name]) for name in names)
        text = f"simulated: {side} x {side} px, bands {', '.join(names)}, seed {SEED}"
        return cls(files, Mosaic.open(files), text)

    def tile(self, backend: Backend) -> Tile:
        """The window in its middle that an engine would give a network."""
        names = [band.name for band in self.mosaic.bands]
        encoder = Encoder.of(backend, names)
        name = backend.config.recipe
        if name not in self._recipes:
            recipe = Recipe.fit(self.mosaic, name)
            self._recipes[name] = recipe, Detector().fit(self.mosaic, recipe)
        recipe, detector = self._recipes[name]
        windows = Windows.of(backend, detector.halo)
        ny, nx = self.mosaic.shape
        side = windows.tile + 2 * windows.halo
        h, w = min(side, ny), min(side, nx)
        y, x = (ny - h) // 2, (nx - w) // 2
        shown = recipe.apply(self.mosaic, Box(y, y + h, x, x + w))
        if not shown.valid.any():
            raise StarnetError(f"{self.files[0]} has no pixels in its middle {w} x {h}: give another image")
        return Tile(shown, encoder.bands, detector)


@dataclass(frozen=True)
class Tile:
    """A window as a network sees it.

    Attributes
    ----------
    preprocessed : Preprocessed
        In pixels of the mosaic.
    bands : tuple of int
        Those that the network is shown.
    detector : Detector
        The mosaic's, fitted.
    """

    preprocessed: Preprocessed
    bands: tuple[int, ...]
    detector: Detector

    @property
    def image(self) -> npt.NDArray[np.float32]:
        """``(nband, ny, nx)``."""
        return np.ascontiguousarray(self.preprocessed.image[list(self.bands)])


def subject(model: str, folder: Path, *, device: str, threads: int) -> Subject:
    """A model by name, file or folder.

    Parameters
    ----------
    model : str
        A bundle, a file of weights, or a network's name, which gets random weights if none come with the package.
    folder : Path
        For the bundles that are made; they are not gated, for outputs are compared before they are timed.
    device : str
        As for `SessionBackend`; torch gets the same, without TensorRT.
    threads : int
        Of either.

    Raises
    ------
    StarnetError
        If there is no such model or device, or a package is missing.
    """
    if model in EMBEDDED or (model not in NETWORKS and is_bundle(model)):
        where = EMBEDDED.get(model, Path(model))
        session = SessionBackend(where, device=device, threads=threads)
        source = "as it comes with the package" if model in EMBEDDED else model
        name = f"{session.config.name} ({source}, {session.bundle.precision})"
        weights = session.bundle.weights
        return Subject(name, where, weights, session, None if weights is None else _beside(session, weights))
    if model not in NETWORKS and not Path(model).suffix:
        raise StarnetError(
            f"model {model!r} is unknown: choose {', '.join(NETWORKS)} (SAM's with random weights), a file of weights, "
            "or the folder of a bundle"
        )
    require_torch()
    from starnet.export import require_onnx

    require_onnx()
    import torch

    from starnet.export.exporting import ungated
    from starnet.networks import checkpoints
    from starnet.networks.network import build

    if model in NETWORKS:
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            network = build(NETWORKS[model]).eval()
        weights = folder / f"{model}.safetensors"
        checkpoints.save(network, weights)
        name = f"{model} (random weights)"
    else:
        weights = Path(model)
        network = checkpoints.load(model)
        name = f"{network.config.name} ({model})"
    bundle = ungated(network, folder / f"{network.config.name}-{len(list(folder.iterdir()))}")
    session = SessionBackend(bundle, device=device, threads=threads)
    return Subject(name, bundle, weights, session, _beside(session, weights))


def _beside(session: SessionBackend, weights: Path) -> TorchBackend:
    """The network itself, where the session runs: torch must not take a GPU that ONNX Runtime did not."""
    require_torch()
    from starnet.models.torch_backend import TorchBackend

    return TorchBackend.load(weights, device=session.device.split(" ")[0])
