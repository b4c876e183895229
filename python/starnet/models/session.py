"""Runs a model bundle through ONNX Runtime, on a CPU or a GPU; without torch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from starnet.bundle import DECODER, ENCODER, INSTANCES, Bundle
from starnet.errors import StarnetError
from starnet.masks import Decoded
from starnet.models.backend import Embedding, check_bands
from starnet.models.devices import Devices
from starnet.models.prompt_windows import Alike, cut, prompt_origins
from starnet.models.runtime import Acceleration, Graph, explained, is_out_of_memory, sessions
from starnet.networks import NetworkConfig, VitEncoder
from starnet.networks.geometry import grouped, scaled_shape
from starnet.prompts import Prompts


class SessionBackend:
    """As `starnet.models.backend.Backend`.

    Features stay on the device from the encoder to the instance head and, for vision transformers, to the decoder.

    Parameters
    ----------
    bundle : Bundle or path
        What `starnet export` wrote.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``tensorrt`` or ``tensorrt:N``.
    threads : int, optional
        Threads within an operator; operators run one after another. All cores by default.
    spinning : bool
        Whether these threads wait in loops: only where nothing else needs the cores, as the pipeline's stages do.
    acceleration : Acceleration, optional
        Options of a GPU's providers.

    Attributes
    ----------
    device : str
        What it really runs on, as the session says, and why not on a GPU where ``auto`` found none.

    Raises
    ------
    StarnetError
        If the bundle is damaged, onnxruntime is not installed, or the device is not there.
    """

    library_bytes = 100 * 2**20
    """ONNX Runtime itself, loaded."""
    at_once = 1

    def __init__(
        self,
        bundle: Bundle | str | Path,
        *,
        device: str = "auto",
        threads: int | None = None,
        spinning: bool = False,
        acceleration: Acceleration | None = None,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        self._arguments = {
            "device": device, "threads": threads, "spinning": spinning, "acceleration": acceleration,
        }  # fmt: skip
        files = {ENCODER: self.bundle.encoder, DECODER: self.bundle.decoder}
        if self.bundle.instances is not None:
            files[INSTANCES] = self.bundle.instances
        self.graphs: dict[str, Graph]
        self.graphs, self.device = sessions(
            files, device, threads=threads, spinning=spinning, acceleration=acceleration or Acceleration()
        )
        self._channels: dict[tuple[int, ...], NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, bundle: Bundle | str | Path, *, device: str = "auto", threads: int | None = None) -> Self | Devices:
        """The bundle on a device, or on several: ``cuda:0,cuda:1``."""
        devices = device.split(",")
        if len(devices) == 1:
            return cls(bundle, device=device, threads=threads)
        if len(set(devices)) < len(devices) or not all(":" in one for one in devices):
            raise StarnetError(f"device {device!r}: give several as different ones with numbers, as in cuda:0,cuda:1")
        bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        return Devices([cls(bundle, device=one, threads=threads) for one in devices])

    def __reduce__(self) -> Any:
        # Another process opens the bundle again.
        return _load, (type(self), self.bundle.folder, self._arguments)

    @property
    def config(self) -> NetworkConfig:
        """What it is made of."""
        return self.bundle.config

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the bundle's files and configuration."""
        return self.bundle.fingerprint

    @property
    def stride(self) -> int:
        """Windows must begin at multiples of it."""
        return self.bundle.stride

    @property
    def reach(self) -> int | None:
        """Pixels around a pixel that its maps depend on; None: the whole window."""
        return self.bundle.reach

    @property
    def pixel_scales(self) -> tuple[float, float] | None:
        """The pixels that it was trained on, in arcsec."""
        return self.bundle.pixel_scales

    @property
    def prompt_window(self) -> int | None:
        """Side of the window around a prompt in which its mask is drawn; None: the whole window."""
        return self.config.prompt.window

    def encode(self, image: NDArray[np.float32]) -> Embedding:
        """Features of a window, ``(nband, ny, nx)`` as the recipe shows it."""
        check_bands(self.config, image)
        shape = (image.shape[1], image.shape[2])
        with self._lock, explained(self.device, f"a window of {shape[1]} x {shape[0]} pixels"):
            return {**self.graphs[ENCODER](self.encoder_inputs(image)), "shape": shape}

    def encoder_inputs(self, image: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """What the encoder's graph takes of a window; the next window of this shape may take the same memory."""
        frame = self._frame((image.shape[1], image.shape[2]))
        sizes = {} if frame is None else {"frame": np.array(frame, np.int64)}
        return {"image": self._shown(image)[None], **sizes}

    def maps(self, embedding: Embedding) -> NDArray[np.float32]:
        """Foreground, centre and boundary distance in 0 to 1; float32, ``(3, ny, nx)``."""
        if INSTANCES not in self.graphs:
            raise ValueError(f"the network {self.config.name} has no instance head")
        ny, nx = embedding["shape"]
        with explained(self.device, "the maps of a window"):
            inputs = {"pixels": embedding["pixels"]}
            if self._frame((ny, nx)) is not None:
                inputs |= {"embedding": embedding["embedding"], **self._sizes((ny, nx))}
            logits = self.graphs[INSTANCES](inputs)["maps"].numpy()[0, :, :ny, :nx]
            return _sigmoid(logits)

    def decode(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Decoded:
        """Masks of prompts, in pixels of the window.

        Where memory runs out, half as many are decoded at once, down to one.
        """
        shape: tuple[int, int] = embedding["shape"]
        cell, side = self.bundle.cell, self.prompt_window
        origins = prompt_origins(prompts.anchors, shape, side, cell)
        m, size = 3 if multimask else 1, shape if side is None else (side, side)
        logits = np.empty((len(prompts), m, *size), np.float32)
        iou = np.empty((len(prompts), m), np.float32)
        frame = self._frame(shape)
        scale = (1.0, 1.0) if frame is None else (frame[1] / shape[1], frame[0] / shape[0])
        for alike in Alike.of(prompts):
            points, labels = alike.marks(origins[alike.which], scale)

            def decoded(some: slice, alike: Alike = alike, points: Any = points, labels: Any = labels) -> None:
                which = alike.which[some]
                inputs = {
                    **self._seen(embedding, origins[which]),
                    **self._unmasked(len(which)),
                    "points": points[some],
                    "labels": labels[some],
                    "which": np.array([1, 2, 3] if multimask else [0]),
                    **(self._sizes(shape) if frame is not None else {}),
                }
                found = self.graphs[DECODER](inputs)
                logits[which], iou[which] = found["logits"].numpy(), found["iou"].numpy()

            with explained(self.device, "the masks of a prompt"):
                halving(decoded, len(alike.which))
        return Decoded(logits, iou, origins)

    def to_arrays(self, embedding: Embedding) -> dict[str, NDArray[Any]]:
        """An embedding as it is kept on disk."""
        shape = np.array(embedding["shape"], np.int64)
        return {key: shape if key == "shape" else value.numpy() for key, value in embedding.items()}

    def from_arrays(self, arrays: dict[str, NDArray[Any]]) -> Embedding:
        """The inverse of `to_arrays`."""
        ny, nx = arrays["shape"].tolist()
        put = self.graphs[ENCODER].value
        return {key: (ny, nx) if key == "shape" else put(values) for key, values in arrays.items()}

    def _shown(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The encoder's input: bands mixed to three where it has no adapter, extents padded with zeros.

        The array is used again by the next window of this shape.
        """
        ny, nx = image.shape[1:]
        height, width = (ny, nx) if self.reach is None else (_up(ny, self.stride), _up(nx, self.stride))
        mixed = not self.config.bands and len(image) != 3
        if not mixed and (height, width) == (ny, nx):
            return np.ascontiguousarray(image, np.float32)
        count = 3 if mixed else len(image)
        key = (count, height, width)
        if key not in self._channels:
            self._channels = {key: np.zeros(key, np.float32)}
        padded = self._channels[key]
        padded[:, ny:], padded[:, :, nx:] = 0, 0
        inside = padded[:, :ny, :nx]
        if not mixed:
            inside[:] = image
            return padded
        # One band after the other, in the same order at every pixel, wherever a window lies.
        inside[:] = 0
        for channel, weights in zip(inside, grouped(len(image), pictures=self.config.pictures), strict=True):
            for band in np.flatnonzero(weights):
                channel += image[band] if weights[band] == 1 else weights[band] * image[band]
        return padded

    def _seen(self, embedding: Embedding, origins: NDArray[np.int64]) -> dict[str, Any]:
        """What the decoder sees: squares of the embedding, or all of it."""
        if self.prompt_window is None:
            return {"embedding": embedding["embedding"]}
        cell = self.bundle.cell
        return {"embedding": cut(embedding["embedding"].numpy()[0], origins, self.prompt_window // cell, cell)}

    def _unmasked(self, prompts: int) -> dict[str, NDArray[np.float32]]:
        """No former masks."""
        encoder = self.config.encoder
        side = encoder.image_size if isinstance(encoder, VitEncoder) else self.prompt_window or 0
        cells = 4 * (side // self.bundle.cell)
        return {"mask_input": np.zeros((prompts, 1, cells, cells), np.float32), "has_mask": np.zeros(1, np.float32)}

    def _frame(self, shape: tuple[int, int]) -> tuple[int, int] | None:
        """What a window takes up of a vision transformer's square."""
        encoder = self.config.encoder
        return scaled_shape(shape, encoder.image_size) if isinstance(encoder, VitEncoder) else None

    def _sizes(self, shape: tuple[int, int]) -> dict[str, NDArray[np.int64]]:
        return {"frame": np.array(self._frame(shape), np.int64), "shape": np.array(shape, np.int64)}


def halving(work: Callable[[slice], None], count: int) -> None:
    """Does `work` on all of `count`, in halves where memory runs out, and halves of these; one alone must do.

    Parameters
    ----------
    work : callable
        Takes a slice.
    count : int
        Of what is worked on.
    """
    size, start = count, 0
    while start < count:
        try:
            work(slice(start, min(start + size, count)))
        except Exception as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            size = -(-size // 2)
        else:
            start += size


def _up(extent: int, stride: int) -> int:
    return -(-extent // stride) * stride


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """In memory of its own."""
    found = np.array(logits, np.float32, order="C")
    with np.errstate(over="ignore"):
        np.exp(np.negative(found, out=found), out=found)
    found += 1
    return np.reciprocal(found, out=found)


def _load(kind: type[SessionBackend], folder: Path, arguments: dict[str, Any]) -> SessionBackend:
    return kind(folder, **arguments)
