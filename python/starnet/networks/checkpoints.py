"""Networks as files: ours in safetensors with their configuration, Meta's as they are."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from starnet.atomic import replacing
from starnet.errors import StarnetError
from starnet.networks import lora
from starnet.networks.config import NETWORKS, NetworkConfig, VitEncoder
from starnet.networks.network import Network, build

FORMAT = 1
_OPTIONAL = ("adapter.", "instance_head.")
_KINDS = "a .safetensors file of starnet or a .pth file of Meta's SAM"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes
    ----------
    path : Path
        The file.
    tensors : mapping of str to Tensor
        Weights by name.
    config : NetworkConfig or None
        What they are weights of; None where the file does not say.
    metadata : dict
        What `save` was given.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    config: NetworkConfig | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def seems(self) -> str | None:
        """Name of the network of `NETWORKS` that its tensors are of, going by the encoder; None if of none."""
        if self.config is not None:
            return self.config.name
        patches = self.tensors.get("image_encoder.patch_embed.proj.weight")
        if patches is None or patches.ndim != 4:
            return None
        depth = len({key.split(".")[2] for key in self.tensors if key.startswith("image_encoder.blocks.")})
        for name, config in NETWORKS.items():
            encoder = config.encoder
            if isinstance(encoder, VitEncoder) and (encoder.width, encoder.depth) == (patches.shape[0], depth):
                return name
        return None


def save(network: Network, path: str | Path, metadata: Mapping[str, Any] | None = None, *, half: bool = False) -> None:
    """Writes weights and configuration into one safetensors file; LoRA is merged into the weights.

    Parameters
    ----------
    network : Network
        It is not changed.
    path : str or Path
        The file, whole or not at all.
    metadata : mapping, optional
        JSON-able: where the weights come from.
    half : bool
        Matrices and kernels are stored in 16 bits, exactly if they are `rounded`; `load` widens them again.
    """
    plain = lora.merge(deepcopy(network)) if lora.has_lora(network) else network
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in plain.state_dict().items()}
    if half:
        tensors = {name: tensor.half() if _is_wide(tensor) else tensor for name, tensor in tensors.items()}
    content = {"format": FORMAT, "config": network.config.as_dict(), "metadata": dict(metadata or {})}
    with replacing(path) as partial:
        # The library's own file is for nobody but its owner's eyes; ours may be read as any other.
        partial.touch()
        mode = partial.stat().st_mode
        save_file(tensors, partial, metadata={"starnet": json.dumps(content)})
        partial.chmod(mode)


def load(source: str | Path, *, checkpoint: str | Path | None = None, config: NetworkConfig | None = None) -> Network:
    """A network with its weights, on the CPU, in evaluation mode.

    Parameters
    ----------
    source : str or Path
        A name of `NETWORKS`, or a file.
    checkpoint : str or Path, optional
        File of the weights where `source` is a name.
    config : NetworkConfig, optional
        Another make than the file's, with an adapter or an instance head that it does not have: these start afresh.

    Raises
    ------
    StarnetError
        If there is no such network or file, or it is not a checkpoint, truncated, or one of another network.
    """
    if str(source) in NETWORKS:
        if checkpoint is None:
            raise StarnetError(f"{source} needs its weights: give their file as --checkpoint")
        expected: NetworkConfig | None = NETWORKS[str(source)]
    else:
        if checkpoint is None and not Path(source).suffix:
            raise StarnetError(f"network {str(source)!r} is unknown: choose {', '.join(NETWORKS)}, or give a file")
        expected, checkpoint = None, checkpoint or source
    return fit(read(checkpoint), expected=expected, config=config)


def fit(content: Checkpoint, *, expected: NetworkConfig | None = None, config: NetworkConfig | None = None) -> Network:
    """The network that a checkpoint is of, with its weights; as `load`."""
    seems = content.seems
    if expected is not None and (seems is None or _family(content, expected) != expected.encoder):
        what = f"seems to be of {seems}" if seems else "is of none that is known"
        mend = f": use --model {seems}, or the checkpoint of {expected.name}" if seems else ""
        raise StarnetError(f"{content.path} is not a checkpoint of {expected.name}, but {what}{mend}")
    make = config or content.config or expected or (NETWORKS[seems] if seems else None)
    if make is None:
        raise StarnetError(f"{content.path} does not hold a network of {', '.join(NETWORKS)}: give {_KINDS}")
    with torch.device("meta"):
        wanted = {name: tensor.shape for name, tensor in build(make).state_dict().items()}
    fresh = _OPTIONAL if config is not None or content.config is None else ()
    tensors = {name: tensor for name, tensor in content.tensors.items() if name in wanted or not name.startswith(fresh)}
    if config is not None:
        tensors = {k: v for k, v in tensors.items() if not (k.startswith(_OPTIONAL) and v.shape != wanted.get(k))}
    missing = [name for name in wanted if name not in tensors and not name.startswith(fresh or ("\0",))]
    strange = [name for name in tensors if name not in wanted]
    other = [name for name in tensors if name in wanted and tensors[name].shape != wanted[name]]
    for names, verb in ((missing, "lacks"), (strange, "has"), (other, "has, in another shape,")):
        if names:
            count = f"{len(names)} tensors of" if verb == "lacks" else f"{len(names)} tensors that are not of"
            raise StarnetError(
                f"{content.path} {verb} {count} {make.name}, {names[0]} for one: give a whole checkpoint of {make.name}"
            )
    network = build(make)
    network.load_state_dict(dict(tensors), strict=False)
    return network.eval()


def read(path: str | Path) -> Checkpoint:
    """What a file holds, without making a network of it.

    Raises
    ------
    StarnetError
        If it is missing, not a checkpoint, or truncated.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise StarnetError(f"{path} could not be read ({error.strerror}): give {_KINDS}") from error
    # First: the length that it begins with may begin as a pickle does.
    if len(head) == 9 and head[8:] == b"{":
        return _read_safetensors(path, struct.unpack("<Q", head[:8])[0])
    if head[:4] == b"PK\x03\x04" or head[:1] == b"\x80":
        return _read_pth(path, zipped=head[:2] == b"PK")
    raise StarnetError(f"{path} is not a checkpoint: give {_KINDS}")


def average(parts: Mapping[str | Path, float]) -> Checkpoint:
    """Mean of the weights of several files, which began as one and learned different things since.

    The mean is often as good as each part where that one is best, at the price of one network: the "model soup" of
    `Wortsman et al. 2022 <https://arxiv.org/abs/2203.05482>`_.

    Parameters
    ----------
    parts : mapping of str or Path to float
        Share of each file, above 0; they are scaled to a sum of 1.

    Raises
    ------
    StarnetError
        If a file is missing, or not a checkpoint, or of another make than the first.
    """
    first, *others = contents = [read(path) for path in parts]
    make = {name: tensor.shape for name, tensor in first.tensors.items()}
    for other in others:
        if other.config != first.config or {name: tensor.shape for name, tensor in other.tensors.items()} != make:
            raise StarnetError(f"{other.path} is of another make than {first.path}: average weights of one network")
    shares = torch.tensor(list(parts.values()), dtype=torch.float32)
    shares /= shares.sum()
    tensors = {
        name: torch.einsum("i,i...->...", shares, torch.stack([content.tensors[name].float() for content in contents]))
        for name in make
    }
    return Checkpoint(first.path, tensors, first.config)


def rounded(network: Network) -> Network:
    """A copy whose matrices and kernels hold in 16 bits; LoRA is merged into the weights.

    Biases and normalisations stay as they are: they are a hundredth of the weights, and variances may be out of range.

    Raises
    ------
    StarnetError
        If a weight is out of the range of 16 bits.
    """
    plain = deepcopy(network)
    plain = lora.merge(plain) if lora.has_lora(plain) else plain
    with torch.no_grad():
        for name, tensor in plain.state_dict().items():
            if _is_wide(tensor):
                tensor.copy_(tensor.half())
                if not tensor.isfinite().all():
                    raise StarnetError(f"{name} of {network.config.name} is too large for 16 bits: train it anew")
    return plain


def _is_wide(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.ndim > 1


def fingerprint(network: Network) -> str:
    """SHA-256 of the configuration and the weights, in hexadecimal digits."""
    digest = hashlib.sha256(json.dumps(network.config.as_dict(), sort_keys=True).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _family(content: Checkpoint, expected: NetworkConfig) -> object:
    """The encoder that a checkpoint is of."""
    if content.config is not None:
        return content.config.encoder
    return NETWORKS[content.seems].encoder if content.seems else None


def _read_pth(path: Path, *, zipped: bool) -> Checkpoint:
    if zipped and not zipfile.is_zipfile(path):
        raise StarnetError(f"{path} is truncated: fetch it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # On pickles of another protocol than torch's.
            tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise StarnetError(
            f"{path} holds more than weights, and is not opened since it could run code: give {_KINDS}"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise StarnetError(f"{path} is damaged or not a checkpoint: fetch it again, or give {_KINDS}") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise StarnetError(f"{path} does not hold weights by name: give {_KINDS}")
    return Checkpoint(path, tensors)


def _read_safetensors(path: Path, header: int) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            about = (file.metadata() or {}).get("starnet")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        if path.stat().st_size < 8 + header or "ncomplete" in str(error):
            raise StarnetError(f"{path} is truncated: fetch or copy it again") from error
        raise StarnetError(f"{path} is not a checkpoint: give {_KINDS}") from error
    if about is None:
        return Checkpoint(path, tensors)
    try:
        content = json.loads(about)
        if content["format"] != FORMAT:
            raise StarnetError(
                f"{path} was written by another version of starnet, in format {content['format']}: use that version"
            )
        return Checkpoint(path, tensors, NetworkConfig.from_dict(content["config"]), content["metadata"])
    except (ValueError, KeyError, TypeError) as error:
        raise StarnetError(f"{path} is not a checkpoint of this version of starnet ({error}): give {_KINDS}") from error
