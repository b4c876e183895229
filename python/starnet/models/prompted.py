"""The engine of prompts: one mask for each, drawn tile by tile, then made disjoint over the whole mosaic.

A prompt belongs to the tile whose core holds its anchor, which draws its mask whole, beyond the core where need be. The
masks of all tiles are resolved together, so that no object depends on how the mosaic was cut, as far as the network
does not; what is left to do, measuring, is `starnet.models.painted`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.masks import Decoded, Masks, resolve
from starnet.models import budget
from starnet.models.backend import Embedding
from starnet.models.network_engine import NetworkEngine, Windows
from starnet.models.prompting import Prompting
from starnet.prompts import Prompts
from starnet.recipe import Preprocessed
from starnet.tiles import Box


@dataclass(frozen=True, kw_only=True)
class Prompted(NetworkEngine):
    """A network that is asked for objects.

    Parameters
    ----------
    encoder, min_area, detector
        See `NetworkEngine`.
    prompting : Prompting
        Makes the prompts.
    pred_iou_threshold : float, optional
        Least IoU that the network expects of its mask; by default what its configuration says, and 0 for a table, whose
        rows were chosen by somebody.
    stability_threshold : float, optional
        Least IoU of the masks cut at logits of plus and minus `stability_offset`; by default likewise.
    stability_offset : float
        See there.
    max_overlap : float
        IoU above which the worse of two masks is dropped.
    max_area : int, optional
        Largest number of pixels of a mask.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    prompting: Prompting
    pred_iou_threshold: float | None = None
    stability_threshold: float | None = None
    stability_offset: float = 1.0
    max_overlap: float = 0.7
    max_area: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pred_iou_threshold", "stability_threshold", "max_overlap"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name}={value}: must be between 0 and 1")
        if not self.stability_offset >= 0:
            raise ValueError(f"stability_offset={self.stability_offset}: must not be negative")
        if self.max_area is not None and self.max_area < self.min_area:
            raise ValueError(f"max_area={self.max_area}: must be at least min_area={self.min_area}")

    @property
    def parameters(self) -> Mapping[str, Any]:
        """All that decides the output."""
        iou, stability = self.thresholds
        return {
            **super().parameters,
            "prompts": self.prompting.parameters,
            "pred_iou_threshold": iou,
            "stability_threshold": stability,
            "stability_offset": self.stability_offset,
            "max_overlap": self.max_overlap,
            "max_area": self.max_area,
        }

    @property
    def thresholds(self) -> tuple[float, float]:
        """Least predicted IoU and stability."""
        make = self.backend.config.prompt
        iou, stability = (0.0, 0.0) if self.prompting.table is not None else (make.least_iou, make.least_stability)
        return (
            iou if self.pred_iou_threshold is None else self.pred_iou_threshold,
            stability if self.stability_threshold is None else self.stability_threshold,
        )

    @property
    def windows(self) -> Windows:
        """What a tile sees: all that the masks of its prompts depend on."""
        half = (self.backend.prompt_window or 0) // 2
        return Windows.of(self.backend, max(self.detector.halo, self.prompting.halo), half + self.backend.stride)

    def memory(self, window: tuple[int, int]) -> int:
        """Of the weights, the encoder, and one prompt on each device."""
        return super().memory(window) + self.at_once * self._each(window)

    def draw(self, preprocessed: Preprocessed, core: Box, shape: tuple[int, int], *, room: int | None = None) -> Masks:
        """The masks of a tile's prompts that are good enough, in pixels of the mosaic.

        Parameters
        ----------
        preprocessed : Preprocessed
            What the tile sees.
        core : Box
            Prompts whose anchors it holds are the tile's.
        shape : tuple of int
            Of the mosaic.
        room : int, optional
            Bytes that the masks of a batch of prompts may take.
        """
        if not preprocessed.valid.any():
            return Masks.concatenate([])
        window = preprocessed.box
        embedding: list[Embedding] = []  # made once, and only if somebody asks

        def encoded() -> Embedding:
            if not embedding:
                embedding.append(self.encoder(preprocessed.image))
            return embedding[0]

        prompts = self.prompting(preprocessed, core, shape, self.detector, lambda: self.backend.maps(encoded()))
        covered = np.asarray(preprocessed.valid.any(axis=0))
        x, y = np.floor(prompts.anchors + np.float32(0.5)).astype(np.int64).T
        prompts = prompts.select(covered[y - window.y0, x - window.x0])
        size = budget.batch_size(self._each(window.shape), room)
        batches = [prompts.select(slice(start, start + size)) for start in range(0, len(prompts), size)]
        return Masks.concatenate([self._decoded(encoded(), some, preprocessed, shape) for some in batches])

    def resolve(self, masks: Masks, shape: tuple[int, int]) -> Masks:
        """Disjoint objects from the masks of all tiles."""
        if self.max_area is not None:
            masks = masks.select(masks.area <= self.max_area)
        objects = resolve(masks, shape, max_overlap=self.max_overlap)
        return objects.select(objects.area >= self.min_area)

    def _decoded(
        self, embedding: Embedding, prompts: Prompts, preprocessed: Preprocessed, shape: tuple[int, int]
    ) -> Masks:
        """The masks of one batch."""
        window = preprocessed.box
        inside = prompts.shift(-window.x0, -window.y0)
        # One point may mean several things, as SAM was taught: it gives three answers then.
        ambiguous = np.isnan(prompts.boxes).any(axis=1) & ((prompts.labels >= 0).sum(axis=1) == 1)
        blank = np.asarray(~preprocessed.valid.any(axis=0))
        found = []
        iou, stability = self.thresholds
        for several in (True, False):
            which = np.flatnonzero(ambiguous == several)
            if not len(which):
                continue
            decoded = self.backend.decode(embedding, inside.select(which), multimask=several)
            if several and self.prompting.kind != "grid":
                decoded = _best(decoded)
            _blank(decoded.logits, decoded.origins, blank)
            found.append(
                Masks.from_logits(
                    decoded,
                    prompts.select(which),
                    window,
                    shape,
                    self.stability_offset,
                    least_iou=iou,
                    least_stability=stability,
                )
            )
        return Masks.concatenate(found)

    def _each(self, window: tuple[int, int]) -> int:
        return budget.decoding(self.backend.config, window, self.backend.prompt_window)


def _best(decoded: Decoded) -> Decoded:
    """Of the answers to each prompt, the one that the network thinks best of."""
    rows = np.arange(len(decoded.logits))
    best = decoded.predicted_iou.argmax(axis=1)
    return Decoded(decoded.logits[rows, best][:, None], decoded.predicted_iou[rows, best][:, None], decoded.origins)


def _blank(logits: NDArray[np.float32], origins: NDArray[np.int64], blank: NDArray[np.bool_]) -> None:
    """Keeps masks off pixels without data."""
    if not blank.any():
        return
    ny, nx = logits.shape[2:]
    for one, (y, x) in zip(logits, origins, strict=True):
        here = blank[y : y + ny, x : x + nx]
        one[:, : here.shape[0], : here.shape[1]][:, here] = -np.inf
