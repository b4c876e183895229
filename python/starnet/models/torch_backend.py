"""Runs a network through torch, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.errors import StarnetError
from starnet.masks import Decoded
from starnet.models.backend import Embedding, check_bands, too_little_memory
from starnet.models.prompt_windows import Alike
from starnet.networks import NetworkConfig, checkpoints
from starnet.networks.network import Network
from starnet.prompts import Prompts


def choose_device(device: str) -> tuple[torch.device, str]:
    """A device of torch, and what to call it.

    Parameters
    ----------
    device : str
        ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    StarnetError
        If there is no such device.
    """
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (number and (kind != "cuda" or not number.isdecimal())):
        raise StarnetError(f"device {device!r} is unknown: choose auto, cpu, cuda or cuda:N")
    if kind == "cpu":
        return torch.device("cpu"), "cpu"
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not found:
        if kind == "auto":
            return torch.device("cpu"), "cpu (torch finds no GPU)"
        raise StarnetError(f"device {device}: torch finds no GPU here: choose --device cpu")
    index = int(number or 0)
    if index >= found:
        raise StarnetError(f"device {device}: there are only cuda:0 to cuda:{found - 1}: choose one of these")
    return torch.device("cuda", index), f"cuda:{index} ({torch.cuda.get_device_name(index)})"


class TorchBackend:
    """As `starnet.models.backend.Backend`.

    Parameters
    ----------
    network : Network
        Is moved to the device and set to evaluate.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    threads : int, optional
        Threads of torch while it runs; as torch is set up where it is not given.
    autocast : bool
        Whether a GPU may use bfloat16 where SAM's training did: faster, and not quite the same numbers.
    """

    library_bytes = 600 * 2**20
    """torch itself, loaded."""
    at_once = 1
    pixel_scales = None
    """Files of weights do not say."""

    def __init__(
        self, network: Network, *, device: str = "auto", threads: int | None = None, autocast: bool = False
    ) -> None:
        self._device, self.device = choose_device(device)
        self.threads, self.autocast = threads, autocast
        self._source: dict[str, Any] | None = None
        self.network = network.eval().requires_grad_(False)
        with self._running(f"the network {network.config.name}"):
            self.network.to(self._device)

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        threads: int | None = None,
        autocast: bool = False,
    ) -> TorchBackend:
        """By name or file, as `starnet.networks.checkpoints.load`; the device is looked for first."""
        choose_device(device)
        backend = cls(
            checkpoints.load(source, checkpoint=checkpoint), device=device, threads=threads, autocast=autocast
        )
        backend._source = {
            "source": source, "checkpoint": checkpoint, "device": device, "threads": threads, "autocast": autocast,
        }  # fmt: skip
        return backend

    def __reduce__(self) -> Any:
        # Another process reads the file again rather than have gigabytes sent to it.
        if self._source is not None:
            return _load, (self._source,)
        return super().__reduce__()

    @property
    def config(self) -> NetworkConfig:
        """What it is made of."""
        return self.network.config

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of its weights and configuration."""
        return checkpoints.fingerprint(self.network)

    @property
    def stride(self) -> int:
        """Windows must begin at multiples of it."""
        return self.network.stride

    @property
    def reach(self) -> int | None:
        """Pixels around a pixel that its maps depend on; None: the whole window."""
        return self.network.reach

    @property
    def prompt_window(self) -> int | None:
        """Side of the window around a prompt in which its mask is drawn; None: the whole window."""
        return self.network.prompt_window

    def encode(self, image: NDArray[np.float32]) -> Embedding:
        """Features of a window, ``(nband, ny, nx)`` as the recipe shows it."""
        check_bands(self.config, image)
        shape = (image.shape[1], image.shape[2])
        with self._running(f"a window of {shape[1]} x {shape[0]} pixels"):
            features = self.network.encode(self._tensor(image)[None])
        return {**features, "shape": shape}

    def maps(self, embedding: Embedding) -> NDArray[np.float32]:
        """Foreground, centre and boundary distance in 0 to 1; float32, ``(3, ny, nx)``."""
        with self._running("the maps of a window"):
            features = {key: value for key, value in embedding.items() if key != "shape"}
            logits = self.network.instance_maps(features, embedding["shape"])
            return _array(logits[0].float().sigmoid())

    def decode(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Decoded:
        """Masks of prompts, in pixels of the window, that fit into memory at once."""
        with self._running(f"the masks of {len(prompts)} prompts"):
            shape = embedding["shape"]
            origins = self.network.prompt_origins(torch.from_numpy(prompts.anchors), shape).numpy()
            found: list[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]] = []
            for alike in Alike.of(prompts):
                logits, iou = self.network.decode(
                    embedding["embedding"],
                    self._tensor(alike.points),
                    self._tensor(alike.labels),
                    None if alike.boxes is None else self._tensor(alike.boxes),
                    multimask=multimask,
                    shape=shape,
                )
                found.append((alike.which, _array(logits.float()), _array(iou.float())))
        if not found:
            m, side = 3 if multimask else 1, self.prompt_window
            size = shape if side is None else (side, side)
            return Decoded(np.empty((0, m, *size), np.float32), np.empty((0, m), np.float32), origins)
        if len(found) == 1:
            return Decoded(found[0][1], found[0][2], origins)
        order = np.argsort(np.concatenate([which for which, _, _ in found]))
        return Decoded(
            np.concatenate([logits for _, logits, _ in found])[order],
            np.concatenate([iou for _, _, iou in found])[order],
            origins,
        )

    def to_arrays(self, embedding: Embedding) -> dict[str, NDArray[Any]]:
        """An embedding as it is kept on disk."""
        shape = np.array(embedding["shape"], np.int64)
        return {key: shape if key == "shape" else values.cpu().numpy() for key, values in embedding.items()}

    def from_arrays(self, arrays: dict[str, NDArray[Any]]) -> Embedding:
        """The inverse of `to_arrays`."""
        ny, nx = arrays["shape"].tolist()
        return {key: (ny, nx) if key == "shape" else self._tensor(values) for key, values in arrays.items()}

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    @contextmanager
    def _running(self, what: str) -> Iterator[None]:
        """Torch as it should be set up meanwhile; `what` did not fit where memory runs out."""
        halved = self.autocast and self._device.type == "cuda"
        before = torch.get_num_threads()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        try:
            with (
                torch.inference_mode(),
                torch.autocast(self._device.type, torch.bfloat16, enabled=halved),
            ):
                yield
        except RuntimeError as error:
            # The CPU's allocator has no error of its own.
            if isinstance(error, torch.cuda.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
                raise too_little_memory(self.device, what) from error
            raise
        finally:
            torch.set_num_threads(before)


def _load(arguments: dict[str, Any]) -> TorchBackend:
    return TorchBackend.load(**arguments)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.asarray(tensor.cpu().numpy(), np.float32)
