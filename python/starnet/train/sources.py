"""Temporary."""

from __future__ import annotations
import dataclasses, functools, sys
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from starnet.train.config import TrainConfig

sys.path.insert(0, "/tmp/w6/train/tests")


@dataclass
class S:
    image: object
    labels: object
    ignore: object


@functools.lru_cache(maxsize=64)
def field(preset, n, seed):
    from memory_mosaic import MemoryMosaic
    from starnet.simulate import Field, load_preset
    from starnet.recipe import Recipe

    p = load_preset(preset)
    f = Field(p, (n, n), seed)
    w, _ = f.window_and_truth(f.whole)
    m = MemoryMosaic(w.images, w.weights)
    pre = Recipe.fit(m, "noise", threads=1).apply(m, f.whole)
    return pre.image, w.labels, ~pre.valid.all(axis=0)


class Simulated:
    def __init__(self, source, size, augment):
        self.source, self.size, self.augment = source, size, augment

    def __getitem__(self, index):
        rng = np.random.default_rng((7, index))
        first, last = self.source["seeds"]
        n = self.source.get("field", 256)
        seed = first + (index // self.source.get("crops", 4)) % (last - first + 1)
        image, labels, ignore = field(self.source.get("preset", "candels-deep"), n, seed)
        y, x = rng.integers(0, n - self.size + 1, 2)
        cut = np.s_[..., y : y + self.size, x : x + self.size]
        image, labels, ignore = image[cut], labels[cut], ignore[cut]
        if self.augment:
            k = int(rng.integers(4))
            image, labels, ignore = (np.rot90(a, k, (-2, -1)) for a in (image, labels, ignore))
            if rng.random() < 0.5:
                image, labels, ignore = (a[..., ::-1] for a in (image, labels, ignore))
        _, labels = (
            np.unique(labels, return_inverse=True)
            if 0 in labels
            else (0, np.unique(labels, return_inverse=True)[1] + 1)
        )
        return S(
            np.ascontiguousarray(image), labels.reshape(ignore.shape).astype(np.int32), np.ascontiguousarray(ignore)
        )


def load_samples(config):
    return Simulated(config.data.train[0], config.data.size, True), Simulated(
        config.data.validation[0], config.data.size, False
    )


def picture_of(config, path):
    pass
