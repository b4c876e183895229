"""What the engines of networks share: windows, the recipe, the detection image, memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from starnet.models import budget
from starnet.models.backend import Backend
from starnet.models.detector import Detector
from starnet.models.encoder import Encoder
from starnet.mosaic import Mosaic
from starnet.networks import VitEncoder
from starnet.recipe import Recipe


@dataclass(frozen=True)
class Windows:
    """The windows that suit a network.

    Attributes
    ----------
    halo, stride, even, tile
        As in `starnet.models.base.Engine`.
    """

    halo: int
    stride: int
    even: bool
    tile: int

    @classmethod
    def of(cls, backend: Backend, least: int, beyond: int = 0) -> Windows:
        """For a network of finite reach, cores of 1024 pixels and what they depend on.

        Else windows of two thirds of the encoder's input, which scales them up by 1.5: for SAM, windows of 682 pixels,
        which are the published tiles, around cores of 512. The halo of 85 pixels keeps most sources whole in the window
        that draws them.

        Parameters
        ----------
        backend : Backend
            The network.
        least : int
            Smallest halo.
        beyond : int
            Pixels beyond the core at which it must be exact, if it can.
        """
        if backend.reach is not None:
            return cls(max(backend.reach + beyond, least), backend.stride, False, 1024)
        encoder = backend.config.encoder
        side = encoder.image_size if isinstance(encoder, VitEncoder) else 1024
        return cls(max(side // 12, least), 1, True, max(side // 2, 32))


@dataclass(frozen=True)
class NetworkEngine:
    """An engine that runs a network.

    Parameters
    ----------
    encoder : Encoder
        The network's.
    min_area : int
        Smallest number of pixels of an object.
    detector : Detector
        The detection image.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    encoder: Encoder
    min_area: int = 8
    detector: Detector = field(default_factory=Detector)

    def __post_init__(self) -> None:
        if self.min_area < 1:
            raise ValueError(f"min_area={self.min_area}: must be at least 1 pixel")

    @property
    def backend(self) -> Backend:
        """What runs the network."""
        return self.encoder.backend

    @property
    def name(self) -> str:
        """Of the network."""
        return self.backend.config.name

    @property
    def recipe(self) -> str:
        """What the network was made for."""
        return self.backend.config.recipe

    @property
    def parameters(self) -> Mapping[str, Any]:
        """All that decides the output."""
        return {
            "network": self.backend.fingerprint,
            "min_area": self.min_area,
            "kernel_fwhm": self.detector.kernel_fwhm,
            "noise": self.detector.noise,
        }

    @property
    def about(self) -> dict[str, Any]:
        """What the record of a run says of the network."""
        return {
            "config": self.backend.config.as_dict(),
            "fingerprint": self.backend.fingerprint,
            "device": self.backend.device,
            "pixel_scales": self.backend.pixel_scales,
            "bands": list(self.encoder.bands),
        }

    @property
    def at_once(self) -> int:
        """One thread a device."""
        return self.backend.at_once

    @property
    def windows(self) -> Windows:
        """What a tile sees."""
        return Windows.of(self.backend, self.detector.halo)

    @property
    def halo(self) -> int:
        """See `Windows`."""
        return self.windows.halo

    @property
    def stride(self) -> int:
        """See `Windows`."""
        return self.windows.stride

    @property
    def even(self) -> bool:
        """See `Windows`."""
        return self.windows.even

    @property
    def tile(self) -> int:
        """See `Windows`."""
        return self.windows.tile

    def fit(self, mosaic: Mosaic, recipe: Recipe) -> Self:
        """Measures the noise of the detection image."""
        return replace(self, detector=self.detector.fit(mosaic, recipe))

    def fitted(self, parameters: Mapping[str, Any]) -> Self:
        """The noise as it was measured before."""
        return replace(self, detector=replace(self.detector, noise=parameters["noise"]))

    def memory(self, window: tuple[int, int]) -> int:
        """Of the library, and on each device of the weights and the encoder."""
        return self.backend.library_bytes + self.at_once * budget.encoding(self.backend.config, window)
