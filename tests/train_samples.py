"""A sky that is made in no time: disks of light on noise, each a function of its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from starnet.train.config import TrainConfig
from starnet.train.documents import from_mapping
from starnet.train.samples import Sample


@dataclass
class Skies:
    """Samples of disks with soft edges."""

    seed: int = 0
    size: int = 64
    objects: int = 6

    bands = ("F160W", "F850LP", "F606W")

    def sample(self, index: int, size: int, seed: int) -> Sample:
        assert size == self.size
        rng = np.random.default_rng((self.seed, index))
        y, x = np.mgrid[: self.size, : self.size]
        image = 0.3 * rng.standard_normal((len(self.bands), self.size, self.size))
        labels = np.zeros((self.size, self.size), np.int32)
        for number in range(1, self.objects + 1):
            cy, cx = rng.uniform(4, self.size - 5, 2)
            radius, height = rng.uniform(2, 6), rng.uniform(2, 4)
            distance = np.hypot(y - cy, x - cx)
            image += height / (1 + np.exp(2 * (distance - radius)))
            labels[distance < radius] = number
        labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
        return Sample(image.astype(np.float32), labels, np.zeros(labels.shape, bool))


SMALL: dict[str, Any] = {
    "network": {
        "name": "tiny",
        "encoder": {"widths": [8, 16, 24], "blocks": [1, 1, 1]},
        "prompt": {"width": 32, "heads": 2, "mlp_width": 32, "iou_width": 32, "mask_channels": 4, "window": 32},
    },
    "data": {
        "train": [{"kind": "simulated", "preset": "candels-deep"}],
        "validation": [{"kind": "simulated", "preset": "candels-deep"}],
        "size": 64,
        "validation_samples": 4,
    },
    "prompting": {"objects": 2, "rounds": 2},
    "optimiser": {"warmup": 2},
    "steps": 6,
    "batch": 2,
    "validate_every": 3,
    "average": 0.9,
}
"""A training of seconds."""


def small(**changes: Any) -> TrainConfig:
    """`SMALL` with changes; a section is merged."""
    content = {key: dict(value) if isinstance(value, dict) else value for key, value in SMALL.items()}
    for key, value in changes.items():
        content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
    return from_mapping(TrainConfig, content, "a test")
