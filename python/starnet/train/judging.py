"""How good a network is on the validation's samples: objects of its head, and masks that prompts ask for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet import _core, filters
from starnet.evaluate.labels import ArrayLabels
from starnet.evaluate.metrics import LEAST_AREA, Tally, match, tally
from starnet.evaluate.overlaps import find_overlaps
from starnet.models import Dense
from starnet.models.dense import SeededWatershed
from starnet.networks.network import Features, Network
from starnet.train.asking import ask
from starnet.train.prompting import choose

#: Objects of a sample that are asked for.
ASKED = 64


def form_objects(maps: NDArray[np.float32]) -> NDArray[np.int32]:
    """Label map of an instance head's maps, by the engine's rule: seeds at centres, and a watershed of the distance.

    Parameters
    ----------
    maps : ndarray of float32, shape (3, ny, nx)
        Foreground, centre and boundary distance, 0 to 1.
    """
    components, count = filters.label(maps[0] > Dense.foreground_threshold)
    splitter = SeededWatershed(Dense.centre_threshold, Dense.seed_distance, Dense.min_area, Dense.valley)
    labels = np.zeros_like(components)
    extents, which = _core.extents(components, count), np.arange(1, count + 1)
    splitter.split_all(np.ascontiguousarray(maps[1:]), components, extents, which, labels, 1)
    small = np.bincount(labels.ravel()) < Dense.min_area
    return np.where(small[labels], 0, labels).astype(np.int32)


@dataclass
class Judge:
    """Adds up samples, and says how good all of them are together."""

    _tallies: list[Tally] = field(default_factory=list)
    _ious: dict[str, list[Tensor]] = field(default_factory=dict)
    _losses: dict[str, list[float]] = field(default_factory=dict)

    def add_losses(self, losses: dict[str, Tensor]) -> None:
        """Losses of a batch."""
        for name, value in losses.items():
            self._losses.setdefault(name, []).append(float(value))

    def add_maps(self, logits: Tensor, labels: Tensor, valid: Tensor) -> None:
        """Objects of the instance head, against true ones of the valid pixels; shapes as in `instance_losses`."""
        for maps, truth, counts in zip(torch.sigmoid(logits.float()), labels, valid, strict=True):
            inside = counts.cpu().numpy()
            true = np.where(inside, truth.cpu().numpy(), 0)
            found = np.where(inside, form_objects(maps.cpu().numpy()), 0)
            overlaps = find_overlaps(ArrayLabels(true), ArrayLabels(found))
            self._tallies.append(tally(match(overlaps, overlaps.truth.area >= LEAST_AREA)))

    def add_masks(self, network: Network, features: Features, labels: Tensor, valid: Tensor, least_area: int) -> None:
        """Masks from one point in each object, and from its box."""
        objects = choose(labels, valid, ASKED, least_area)
        if len(objects):
            for name, box in (("point_iou", False), ("box_iou", True)):
                answer = next(ask(network, features["embedding"], objects, rounds=1, box=box))
                self._ious.setdefault(name, []).append(answer.iou.cpu())

    def figures(self) -> dict[str, float]:
        """Mean losses; ``pq``, ``mean_iou``, ``completeness``, ``purity`` and so on; ``point_iou`` and
        ``box_iou``, the mean IoU of masks from a point and from a box.
        """  # noqa: D205
        figures = {name: float(np.mean(values)) for name, values in self._losses.items()}
        if self._tallies:
            whole = self._tallies[0]
            parts = Tally(*(np.stack([getattr(one, n) for one in self._tallies]).sum(0) for n in vars(whole)))
            figures |= {name: float(value.squeeze()) for name, value in parts.scores().items()}
        figures |= {name: float(torch.cat(values).mean()) for name, values in self._ious.items()}
        return {name: value for name, value in figures.items() if math.isfinite(value)}
