"""A network to a bundle that is the same network, or to nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starnet import bundle
from starnet.errors import StarnetError
from starnet.export import parity
from starnet.export.graphs import Graph, graphs
from starnet.export.onnx_files import OPSET, check_opset, write
from starnet.export.parity import GATES, Gate, Parity
from starnet.export.quantise import Inputs, quantise
from starnet.export.tiles import SIMULATED, SkyTile, real_tiles, simulated_tiles
from starnet.models.network_engine import Windows
from starnet.models.session import SessionBackend
from starnet.models.torch_backend import TorchBackend
from starnet.networks import NETWORKS, VitEncoder, checkpoints
from starnet.networks.network import Network
from starnet.train.config import TrainConfig
from starnet.train.documents import as_mapping
from starnet.train.sources import load_sources, pixel_scales
from starnet.weights import KNOWN, find_weights

Progress = Callable[[str, int, int], None]
#: Simulated fields of which calibration takes tiles; their seeds are not those of the comparison.
CALIBRATION = 4
#: What stays in float32 of the graphs that int8 quantises, attempt by attempt.
FLOATS = ("nothing", "first and last layers", "the finest level", "the two finest levels")


@dataclass(frozen=True)
class Exported:
    """What `export` made.

    Attributes
    ----------
    folder : Path
        The bundle.
    files : dict of str to int
        Their sizes in bytes.
    precision : str
        Of weights and arithmetic.
    opset : int
        Of ONNX.
    parity : Parity
        How it compares with the network.
    seconds : dict of str to float
        Time by stage.
    """

    folder: Path
    files: dict[str, int]
    precision: str
    opset: int
    parity: Parity
    seconds: dict[str, float]


def export(
    network: Network | str | Path,
    folder: str | Path,
    *,
    precision: str = "fp32",
    opset: int = OPSET,
    tiles: Sequence[str | Path] = (),
    checkpoint: str | Path | None = None,
    with_weights: bool = False,
    licence: str | None = None,
    training: Sequence[str | Path] = (),
    gate: Gate | None = None,
    force: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write a network as a model bundle, if it finds the same objects there.

    Parameters
    ----------
    network : Network, str or Path
        A network, its name (then its weights are `checkpoint`, or in the cache folder), or a file of weights.
    folder : str or Path
        The bundle; whole or not at all.
    precision : str
        ``"fp32"``, ``"fp16"`` or ``"int8"``; inputs and outputs are float32. In ``"int8"`` prompts and masks stay in
        float32.
    opset : int
        Of ONNX.
    tiles : sequence of str or Path
        Images of one field, one band each: sky to compare on, and for int8 to calibrate with, beside simulated sky.
    checkpoint : str or Path, optional
        File of the weights.
    with_weights : bool
        Whether the bundle holds its weights for torch too, in 16 bits. The graphs are made of these very weights; the
        gate compares them with the network as it was before they were rounded.
    licence : str, optional
        SPDX identifier of the weights' licence; by default as their file says.
    training : sequence of str or Path
        The files of `starnet train` that made the weights, one after the other: they are kept in the bundle.
    gate : Gate, optional
        What the comparison must reach; by default `GATES` of the precision, and of the weights.
    force : bool
        Whether a bundle that is there is replaced.
    threads : int, optional
        Of torch and ONNX Runtime.
    progress : callable, optional
        Called with (stage, steps done, all steps).

    Raises
    ------
    StarnetError
        If a package is missing, the weights cannot be read, the folder is taken, or the bundle is not the same network.
    """
    bundle.check_target(folder, force=force)
    if precision not in GATES:
        raise StarnetError(f"precision {precision!r} is unknown: choose {', '.join(GATES)}")
    check_opset(opset)
    clock = _Clock(progress)
    backend, source = _load(network, checkpoint, threads)
    source |= {} if licence is None else {"licence": licence}
    source |= _trained(training)
    network = checkpoints.rounded(backend.network) if with_weights else backend.network
    with clock("tiles"):
        sky = simulated_tiles(backend) + (real_tiles(backend, tiles) if tiles else [])
    about = _about(network, source, precision, opset)
    with bundle.writing(folder, force=force) as partial:
        if with_weights:
            checkpoints.save(network, partial / bundle.WEIGHTS, source, half=True)

        def opened(where: Path) -> SessionBackend:
            # The gate sees the bundle as its user will.
            bundle.seal(where, about)
            return SessionBackend(where, device="cpu", threads=threads, spinning=True)

        def compared() -> Parity:
            exported = opened(partial)
            with clock("compare"):
                return parity.compare(backend, exported, sky, progress)

        made = graphs(network, half=precision == "fp16")
        plain = partial / "float32" if precision == "int8" else partial
        plain.mkdir(exist_ok=True)
        for done, graph in enumerate(made, start=1):
            with clock("graphs", done, len(made)):
                write(graph, plain, opset)
        passed = gate or GATES["fp16" if with_weights and precision == "fp32" else precision]
        if precision == "int8":
            with clock("calibration"):
                given = [tile for tile in sky if tile.origin != SIMULATED]
                samples = _samples(opened(plain), [*simulated_tiles(backend, seed=1, count=CALIBRATION), *given])
            # As much on eight bits as the gate lets through: the finest levels take most time, and need most bits.
            for floats in range(len(FLOATS)):
                with clock("quantise"):
                    _quantise(plain, partial, made, samples, floats)
                found = compared()
                if found.failure(passed) is None:
                    break
            about["float"] = FLOATS[floats]
            shutil.rmtree(plain)
        else:
            found = compared()
        parity.check(found, passed, network.config.name)
        about["parity"] = {**found.as_dict(), "gate": {"iou": passed.iou, "flux": passed.flux}}
        bundle.seal(partial, about)
    files = {path.name: path.stat().st_size for path in sorted(Path(folder).iterdir())}
    return Exported(Path(folder), files, precision, opset, found, clock.seconds)


def ungated(network: Network, folder: str | Path, *, opset: int = OPSET) -> Path:
    """Writes a network as a bundle in float32 that nothing was compared with: for who compares it himself.

    Parameters
    ----------
    network : Network
        Is not changed.
    folder : str or Path
        The bundle.
    opset : int
        Of ONNX.
    """
    with bundle.writing(folder) as partial:
        for graph in graphs(network):
            write(graph, partial, opset)
        bundle.seal(partial, _described(network, "fp32", opset))
    return Path(folder)


class _Clock:
    """Time by stage, and what `progress` is told of it."""

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self.progress = progress

    def __call__(self, stage: str, done: int = 1, total: int = 1) -> _Clock:
        self.stage, self.step = stage, (done, total)
        return self

    def __enter__(self) -> None:
        self.start = time.monotonic()

    def __exit__(self, kind: object, *_: object) -> None:
        self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + time.monotonic() - self.start
        if kind is None and self.progress and self.stage != "compare":
            self.progress(self.stage, *self.step)


def _load(
    network: Network | str | Path, checkpoint: str | Path | None, threads: int | None
) -> tuple[TorchBackend, dict[str, Any]]:
    """The network on the CPU, and what its file says of it."""
    if isinstance(network, Network):
        return TorchBackend(network, device="cpu", threads=threads), {}
    named = str(network) in NETWORKS
    if named:
        checkpoint = find_weights(str(network), checkpoint)
    elif checkpoint is not None:
        raise StarnetError(f"{network} is a file of weights already: leave --checkpoint out")
    content = checkpoints.read(checkpoint if named and checkpoint is not None else network)
    made = checkpoints.fit(content, expected=NETWORKS[str(network)] if named else None)
    known = next((one for one in KNOWN.values() if one.file_name == content.path.name), None)
    about = {"file": content.path.name, **content.metadata}
    if known is not None:
        about["licence"] = known.licence
    return TorchBackend(made, device="cpu", threads=threads), about


def _trained(files: Sequence[str | Path]) -> dict[str, Any]:
    """What a bundle says of trainings: their settings, and the range of the pixels that they saw, in arcsec."""
    if not files:
        return {}
    configs = [TrainConfig.load(path) for path in files]
    seen = [scale for config in configs for scale in pixel_scales(load_sources(config.data.train)) or ()]
    return {
        "configs": [as_mapping(config) for config in configs],
        **({"pixel_scales": [min(seen), max(seen)]} if seen else {}),
    }


def _samples(session: SessionBackend, tiles: Sequence[SkyTile]) -> dict[str, list[Inputs]]:
    """What the graphs that are quantised take: the encoder's and, of vision transformers, the head's."""
    images = [{name: array.copy() for name, array in session.encoder_inputs(tile.image).items()} for tile in tiles]
    found = {bundle.ENCODER: images}
    if isinstance(session.config.encoder, VitEncoder) and session.config.instance_head:
        features = (session.to_arrays(session.encode(tile.image)) for tile in tiles)
        found[bundle.INSTANCES] = [
            {**arrays, "frame": image["frame"]} for arrays, image in zip(features, images, strict=True)
        ]
    return found


def _quantise(
    plain: Path, folder: Path, made: Sequence[Graph], samples: Mapping[str, Sequence[Inputs]], floats: int
) -> None:
    """Graphs with samples on eight bits, but for the first of `FLOATS`; the others as they are."""
    for graph in made:
        if graph.file in samples:
            levels = [name for level in graph.fine[: max(floats - 1, 0)] for name in level]
            quantise(plain / graph.file, folder / graph.file, samples[graph.file], levels if floats else None)
        else:
            for path in plain.glob(f"{graph.file}*"):
                shutil.copy(path, folder)


def _about(network: Network, source: dict[str, Any], precision: str, opset: int) -> dict[str, Any]:
    """What ``bundle.json`` says, beside the files and what the gate finds."""
    training = {key: value for key, value in source.items() if key not in ("figures", "licence")}
    return {
        **_described(network, precision, opset),
        "made": {name: version(name) for name in ("starnet", "torch", "onnx", "onnxruntime")},
        "licence": source.get("licence"),
        "training": training,
        "quality": source.get("figures", {}),
    }


def _described(network: Network, precision: str, opset: int) -> dict[str, Any]:
    """What a session must know."""
    config = network.config
    return {
        "network": config.as_dict(),
        "bands": list(config.bands),
        "recipe": config.recipe,
        "precision": precision,
        "opset": opset,
        "tile": Windows.of(TorchBackend(network, device="cpu"), 0).tile,
        "stride": network.stride,
        "reach": network.reach,
        "cell": network.image_encoder.cell,
        "prompt_window": network.prompt_window,
    }
