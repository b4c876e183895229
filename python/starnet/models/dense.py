"""The engine of networks with an instance head: seeds and a watershed on its maps.

Foreground, centre and boundary distance at every pixel, objects by a seeded watershed of the distance: the way of
segmentation with SAM in microscopy (Archit et al. 2025, Nature Methods 22, 579), whose decoder is the head's pattern.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet import _core
from starnet.models.base import Maps, Splitter
from starnet.models.network_engine import NetworkEngine
from starnet.recipe import Preprocessed


@dataclass(frozen=True)
class SeededWatershed:
    """Splits a component at the valleys between the centres that the head sees.

    Parameters
    ----------
    centre_threshold : float
        Least height of a local maximum of the centre map that makes a seed.
    seed_distance : int
        Seeds lie further apart than this many pixels along one axis; of two that do not, the higher stays.
    min_area : int
        A seed whose basin has fewer pixels is none: its neighbours flood it.
    valley : float
        Two basins are one object if the distance map between them stays above this part of the lower one's summit; 1 or
        more joins none.
    """

    centre_threshold: float
    seed_distance: int
    min_area: int
    valley: float

    def split(
        self, detection: NDArray[np.float32], landscape: NDArray[np.float32], mask: NDArray[np.bool_]
    ) -> NDArray[np.int32]:
        """See `starnet.models.base.Splitter`; a component with fewer than two seeds is one object."""
        labels = mask.astype(np.int32)
        whole = np.array([[0, mask.shape[0], 0, mask.shape[1], np.count_nonzero(mask)]], np.int32)
        self.split_all(landscape, labels.copy(), whole, np.ones(1, np.int64), labels, 1)
        return labels

    def split_all(
        self,
        landscape: NDArray[np.float32],
        components: NDArray[np.int32],
        extents: NDArray[np.int32],
        which: NDArray[np.int64],
        labels: NDArray[np.int32],
        first: int,
    ) -> NDArray[np.int32]:
        """See `starnet.models.base.TileSplitter`."""
        centre, distance = landscape
        seeding = self.centre_threshold, self.seed_distance, self.min_area, self.valley
        return _core.split_by_seeds(components, extents, which, centre, distance, *seeding, first, labels)


@dataclass(frozen=True)
class Dense(NetworkEngine):
    """A network's instance head.

    Parameters
    ----------
    encoder, min_area, detector
        See `NetworkEngine`.
    foreground_threshold : float
        Probability above which a pixel belongs to some object.
    centre_threshold : float
        Least height of the centre map that makes an object of its own in a component.
    seed_distance : int
        Pixels that centres are apart.
    valley : float
        Centres are of one object if the distance map between them stays above this part of the lower summit. Of a large
        galaxy no pixel is its centre for sure: low maxima that no valley parts are taken together.
    flips : bool
        The maps are the mean over the eight flips and turns of a window, for eight times the price.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    foreground_threshold: float = 0.4
    centre_threshold: float = 0.3
    seed_distance: int = 1
    valley: float = 0.75
    flips: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("foreground_threshold", "centre_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be between 0 and 1")
        if not 0 < self.valley <= 1:
            raise ValueError(f"valley={self.valley}: must be more than 0 and at most 1")
        if self.seed_distance < 1:
            raise ValueError(f"seed_distance={self.seed_distance}: must be at least 1 pixel")

    @property
    def parameters(self) -> Mapping[str, Any]:
        """All that decides the output."""
        return {
            **super().parameters,
            "prompts": "head",
            "foreground_threshold": self.foreground_threshold,
            "centre_threshold": self.centre_threshold,
            "seed_distance": self.seed_distance,
            "valley": self.valley,
            "flips": self.flips,
        }

    @property
    def splitter(self) -> Splitter:
        """The seeded watershed."""
        return SeededWatershed(self.centre_threshold, self.seed_distance, self.min_area, self.valley)

    def maps(self, preprocessed: Preprocessed, *, threads: int | None = None) -> Maps:
        """The head's maps; nothing is seen where no band has data."""
        return self.finish(preprocessed, self.infer(preprocessed), threads=threads)

    def infer(self, preprocessed: Preprocessed) -> NDArray[np.float32]:
        """Foreground, centre and boundary distance, zero where there are no objects; float32, ``(3, ny, nx)``."""
        if not preprocessed.valid.any():
            return np.zeros((3, *preprocessed.box.shape), np.float32)
        if not self.flips:
            return self.backend.maps(self.encoder(preprocessed.image))
        ny, nx = preprocessed.box.shape
        stride = self.backend.stride
        # Of whole cells: those of a window that is turned over cover the same pixels, wherever it ends.
        image = np.pad(preprocessed.image, ((0, 0), (0, -ny % stride), (0, -nx % stride)))
        mean = np.zeros((3, ny, nx), np.float32)
        for turns in range(4):
            for step in (1, -1):
                shown = np.ascontiguousarray(np.rot90(image, turns, (1, 2))[..., ::step])
                maps = np.rot90(self.backend.maps(self.encoder(shown))[..., ::step], -turns, (1, 2))
                mean += maps[:, :ny, :nx] / np.float32(8)
        return mean

    def finish(self, preprocessed: Preprocessed, inferred: NDArray[np.float32], *, threads: int | None = None) -> Maps:
        """The maps of what `infer` returned."""
        return Maps(
            (inferred[0] > np.float32(self.foreground_threshold)) & preprocessed.valid.any(axis=0),
            self.detector.image(preprocessed, threads=threads),
            inferred[1:],
        )
