"""A frozen encoder's features, kept on disk: it runs once for each sample, however often the sample is learned from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from starnet.atomic import replacing
from starnet.networks.network import Features, Network


class Embeddings:
    """Features by pixels, configuration and weights: a file each.

    Parameters
    ----------
    folder : str or Path
        Is made. Trainings may share it, at once too.
    network : Network
        Its encoder must not change any more.
    """

    def __init__(self, folder: str | Path, network: Network) -> None:
        self._network = network
        self._folder = Path(folder) / _fingerprint(network)
        self._folder.mkdir(parents=True, exist_ok=True)

    def features(self, pixels: Tensor) -> Features:
        """Features of samples, ``(n, bands, ny, nx)``; as `Network.encode`."""
        paths = [self._folder / f"{_key(sample)}.safetensors" for sample in pixels]
        found = [_read(path) for path in paths]
        missing = [i for i, one in enumerate(found) if one is None]
        if missing:
            fresh = self._network.encode(pixels[missing])
            for row, i in enumerate(missing):
                own = {name: values[row].cpu().contiguous() for name, values in fresh.items()}
                with replacing(paths[i]) as partial:
                    save_file(own, partial)
                found[i] = own
        kept = [one for one in found if one is not None]
        return {name: torch.stack([one[name] for one in kept]).to(pixels.device) for name in kept[0]}


def _fingerprint(network: Network) -> str:
    """Of all that decides the features: configuration and weights of adapter and encoder."""
    config = network.config
    digest = hashlib.sha256(repr((config.encoder, config.stretch, config.bands, config.instance_head)).encode())
    for part in (network.adapter, network.image_encoder):
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(_bytes(tensor))
    return digest.hexdigest()[:16]


def _key(sample: Tensor) -> str:
    digest = hashlib.sha256(repr(tuple(sample.shape)).encode())
    digest.update(_bytes(sample))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def _read(path: Path) -> Features | None:
    try:
        return load_file(path)
    except (FileNotFoundError, SafetensorError):
        return None  # not there, or damaged: made again
