"""Engines by name or file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from starnet.bundle import Bundle
from starnet.errors import StarnetError
from starnet.models.backend import Backend
from starnet.models.base import Model
from starnet.models.classical import Classical
from starnet.models.dense import Dense
from starnet.models.detector import Detector
from starnet.models.encoder import Encoder
from starnet.models.prompted import Prompted
from starnet.models.prompting import Prompting
from starnet.mosaic import Mosaic
from starnet.networks import NETWORKS
from starnet.prompts import Prompts
from starnet.weights import EMBEDDED, find_weights

#: Engines that need no network.
MODELS: dict[str, Callable[..., Model]] = {"classical": Classical}
#: The engine of whoever names none: it comes with the package.
DEFAULT_MODEL = "tiny"
#: What a file of weights may end with.
SUFFIXES = (".safetensors", ".pth", ".pt")

T = TypeVar("T")


@dataclass(frozen=True)
class NetworkOptions:
    """How a network is run; none of them is for an engine without one.

    Parameters
    ----------
    checkpoint : str or Path, optional
        The file of its weights, or their name. By default those that come with the package, as a bundle, else looked
        for in the cache folder.
    prompts : str, Path or Prompts, optional
        ``"head"`` (the instance head alone), ``"grid"``, ``"peaks"``, ``"centres"``, or a table: see
        `starnet.models.prompting`. ``"head"`` by default where the network has one, else ``"peaks"``.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``; for a bundle ``"tensorrt"``, ``"tensorrt:N"``, and several as
        in ``"cuda:0,cuda:1"`` besides.
    embeddings : str or Path, optional
        Folder where embeddings are kept for later runs.
    threads : int, optional
        For the network; as torch is set up, or all cores of a bundle, by default.
    """

    checkpoint: str | Path | None = None
    prompts: str | Path | Prompts | None = None
    device: str = "auto"
    embeddings: str | Path | None = None
    threads: int | None = None


def get_model(
    model: str | Path | Backend, mosaic: Mosaic, options: NetworkOptions = NetworkOptions(), **parameters: Any
) -> Model | Prompted:
    """The engine of this name, for a mosaic.

    Parameters
    ----------
    model : str, Path or Backend
        One of `MODELS` or of `starnet.networks.NETWORKS`, a file of weights, a bundle's folder, or what runs a network.
    mosaic : Mosaic
        Whose bands and WCS networks and prompts need.
    options : NetworkOptions
        How a network is run.
    **parameters
        The engine's parameters; its defaults where left out.

    Raises
    ------
    StarnetError
        If there is no such engine, its weights are missing, or it does not take a parameter or its value.
    """
    if isinstance(model, str) and model in MODELS:
        for name in ("checkpoint", "prompts", "device", "embeddings"):
            if getattr(options, name) not in (None, "auto"):
                raise StarnetError(f"model {model} has no network: leave --{name} out, or choose another --model")
        return _made(MODELS[model], f"model {model}", parameters)
    names = [band.name for band in mosaic.bands]
    backend = open_backend(model, options, names) if isinstance(model, str | Path) else model
    prompts = options.prompts or ("head" if backend.config.instance_head else "peaks")
    name = f"model {backend.config.name} with --prompts {prompts if isinstance(prompts, str) else 'of a table'}"
    if prompts in ("head", "centres") and not backend.config.instance_head:
        raise StarnetError(
            f"model {backend.config.name} has no instance head: choose --prompts grid, peaks, or a table"
        )
    folder = None if options.embeddings is None else Path(options.embeddings)
    shared = {
        "encoder": Encoder.of(backend, names, folder),
        "detector": _made(Detector, name, _taken(parameters, "kernel_fwhm", "noise")),
    }
    if prompts == "head":
        return _made(Dense, name, parameters, **shared)
    with _explained(name):
        prompting = Prompting.of(prompts, mosaic, **_taken(parameters, *Prompting.PARAMETERS))
    return _made(Prompted, name, parameters, prompting=prompting, **shared)


def _taken(parameters: dict[str, Any], *names: str) -> dict[str, Any]:
    """Those of the parameters, which are taken out."""
    return {name: parameters.pop(name) for name in names if name in parameters}


def _made(make: Callable[..., T], name: str, parameters: Mapping[str, Any], **given: Any) -> T:
    known = [key for key in inspect.signature(make).parameters if key not in given]
    if unknown := [key for key in parameters if key not in known]:
        shared = list(Prompting.PARAMETERS) if "prompting" in given else []
        known += [*shared, *(["kernel_fwhm"] if "detector" in given else [])]
        others = [one for one, other in MODELS.items() if unknown[0] in inspect.signature(other).parameters]
        mend = f"choose --model {others[0]}, which does" if others and make not in MODELS.values() else "leave it out"
        raise StarnetError(f"{name} takes no {unknown[0]} (it has {', '.join(known)}): {mend}")
    with _explained(name):
        return make(**given, **parameters)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Says whose parameters they were."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise StarnetError(f"{name}: {error}") from error


def open_backend(
    model: str | Path, options: NetworkOptions = NetworkOptions(), bands: Sequence[str] | None = None
) -> Backend:
    """What runs a network.

    Parameters
    ----------
    model : str or Path
        One of `starnet.networks.NETWORKS`, a file of weights, or a bundle's folder.
    options : NetworkOptions
        Of which checkpoint, device and threads are used.
    bands : sequence of str, optional
        What the images have, for a bundle to check.

    Raises
    ------
    StarnetError
        If there is no such network, its weights are missing, or what runs it is.
    """
    # `--model tiny` is the network whatever folder lies here; `--model tiny/` is the folder.
    if model in EMBEDDED and options.checkpoint is None:
        return _session(EMBEDDED[str(model)], options, bands)
    if model not in NETWORKS and Path(model).is_dir():
        if options.checkpoint is not None:
            raise StarnetError(f"model {model} is a bundle, with its weights: leave --checkpoint out")
        return _session(Path(model), options, bands)
    is_file = Path(model).suffix.lower() in SUFFIXES
    if not is_file and model not in NETWORKS:
        raise StarnetError(
            f"model {str(model)!r} is unknown: choose one of {', '.join([*MODELS, *NETWORKS])}, a file of weights "
            f"({', '.join(SUFFIXES)}), or the folder of a bundle"
        )
    if is_file and options.checkpoint is not None:
        raise StarnetError(f"model {model} is a file of weights already: leave --checkpoint out")
    checkpoint = None if is_file else find_weights(str(model), options.checkpoint)
    # torch takes seconds and hundreds of megabytes to import: only whoever runs a network pays for it.
    try:
        from starnet.models.torch_backend import TorchBackend
    except ModuleNotFoundError as error:
        raise StarnetError(f"model {model} needs {error.name}: pip install 'starnet[train]'") from error
    return TorchBackend.load(
        Path(model) if is_file else model, checkpoint=checkpoint, device=options.device, threads=options.threads
    )


def _session(folder: Path, options: NetworkOptions, bands: Sequence[str] | None) -> Backend:
    """What runs a bundle."""
    # A tenth of a second to import, which only bundles need.
    from starnet.models.session import SessionBackend

    return SessionBackend.load(Bundle.open(folder, bands=bands), device=options.device, threads=options.threads)
