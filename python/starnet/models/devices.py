"""A network on several devices at once: each has its own backend, and takes every so many-th tile."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.masks import Decoded
from starnet.models.backend import Backend, Embedding
from starnet.prompts import Prompts


class Devices:
    """As `starnet.models.backend.Backend`, for as many threads as there are devices: each thread has one of its own.

    The features of a window are used where they were made, whatever thread asks.

    Parameters
    ----------
    backends : sequence of Backend
        The same network, on each device.
    """

    def __init__(self, backends: Sequence[Backend]) -> None:
        self.backends = tuple(backends)
        first = self.backends[0]
        self.config, self.fingerprint, self.library_bytes = first.config, first.fingerprint, first.library_bytes
        self.stride, self.reach, self.prompt_window = first.stride, first.reach, first.prompt_window
        self.pixel_scales = first.pixel_scales
        self.device = ", ".join(one.device for one in self.backends)
        self.at_once = len(self.backends)
        self._turns = itertools.cycle(self.backends)
        self._thread = threading.local()

    def __reduce__(self) -> Any:
        return type(self), (self.backends,)

    def encode(self, image: NDArray[np.float32]) -> Embedding:
        """See `Backend`."""
        backend = self._own()
        return {"backend": backend, "features": backend.encode(image)}

    def maps(self, embedding: Embedding) -> NDArray[np.float32]:
        """See `Backend`."""
        found: NDArray[np.float32] = embedding["backend"].maps(embedding["features"])
        return found

    def decode(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Decoded:
        """See `Backend`."""
        found: Decoded = embedding["backend"].decode(embedding["features"], prompts, multimask=multimask)
        return found

    def to_arrays(self, embedding: Embedding) -> dict[str, NDArray[Any]]:
        """See `Backend`."""
        found: dict[str, NDArray[Any]] = embedding["backend"].to_arrays(embedding["features"])
        return found

    def from_arrays(self, arrays: dict[str, NDArray[Any]]) -> Embedding:
        """See `Backend`."""
        backend = self._own()
        return {"backend": backend, "features": backend.from_arrays(arrays)}

    def _own(self) -> Backend:
        """The calling thread's."""
        if not hasattr(self._thread, "backend"):
            self._thread.backend = next(self._turns)
        found: Backend = self._thread.backend
        return found
