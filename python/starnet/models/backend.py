"""What runs a network: arrays in, arrays out, so that engines know of neither torch nor ONNX Runtime."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.masks import Decoded
from starnet.networks import NetworkConfig
from starnet.prompts import Prompts

Embedding = dict[str, Any]
"""Features of a window, by name; arrays of whatever runs the network."""


class Backend(Protocol):
    """A network, ready to run.

    Attributes
    ----------
    config : NetworkConfig
        What it is made of.
    fingerprint : str
        SHA-256 of its weights and configuration: part of a run's identity.
    device : str
        What it really runs on.
    stride : int
        Windows must begin at multiples of it.
    reach : int or None
        Pixels around a pixel that its maps depend on; None: the whole window.
    prompt_window : int or None
        Side of the window around a prompt in which its mask is drawn; None: the whole window.
    pixel_scales : tuple of float, or None
        The smallest and the largest pixel that it was trained on, in arcsec; None where nobody says.
    library_bytes : int
        Memory of what runs it, loaded.
    at_once : int
        Threads that may use it at the same time: the number of its devices.
    """

    @property
    def config(self) -> NetworkConfig: ...  # noqa: D102  (Attributes, above)
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def device(self) -> str: ...  # noqa: D102
    @property
    def stride(self) -> int: ...  # noqa: D102
    @property
    def reach(self) -> int | None: ...  # noqa: D102
    @property
    def prompt_window(self) -> int | None: ...  # noqa: D102
    @property
    def pixel_scales(self) -> tuple[float, float] | None: ...  # noqa: D102
    @property
    def library_bytes(self) -> int: ...  # noqa: D102
    @property
    def at_once(self) -> int: ...  # noqa: D102

    def encode(self, image: NDArray[np.float32]) -> Embedding:
        """Features of a window, ``(nband, ny, nx)`` as the recipe shows it."""
        ...

    def maps(self, embedding: Embedding) -> NDArray[np.float32]:
        """Foreground, centre and boundary distance in 0 to 1; float32, ``(3, ny, nx)``."""
        ...

    def decode(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Decoded:
        """Masks of prompts, in pixels of the window, that fit into memory at once."""
        ...

    def to_arrays(self, embedding: Embedding) -> dict[str, NDArray[Any]]:
        """An embedding as it is kept on disk."""
        ...

    def from_arrays(self, arrays: dict[str, NDArray[Any]]) -> Embedding:
        """The inverse of `to_arrays`."""
        ...


def check_bands(config: NetworkConfig, image: NDArray[np.float32]) -> None:
    """Whether an image ``(nband, ny, nx)`` has the bands of a learned adapter; any number without one.

    Raises
    ------
    StarnetError
        If it has another number.
    """
    if config.bands and len(image) != len(config.bands):
        raise StarnetError(
            f"the network {config.name} takes the bands {', '.join(config.bands)}, and the mosaic has {len(image)}: "
            "give these bands in this order"
        )


def too_little_memory(device: str, what: str) -> StarnetError:
    """Says that `what` did not fit into the memory of a device."""
    return StarnetError(
        f"{device} has too little memory for {what}: use smaller tiles, fewer prompts at once, or another device"
    )
