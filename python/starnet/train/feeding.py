"""Batches for a training, from any of them on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from starnet.train.config import TrainConfig
from starnet.train.module import Batch


class Sample(Protocol):
    """Pixels and their truth.

    Attributes
    ----------
    image : ndarray of float32, shape (nband, ny, nx)
        As the recipe shows it.
    labels : ndarray of int32, shape (ny, nx)
        0 is sky.
    ignore : ndarray of bool, shape (ny, nx)
        Pixels whose truth is unknown.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int32]
    ignore: NDArray[np.bool_]


class Samples(Protocol):
    """Samples by number: the same number, the same sample, whoever asks."""

    def __getitem__(self, index: int) -> Sample: ...


def collate(samples: list[Sample]) -> Batch:
    """A batch of samples."""
    from starnet.train.targets import instance_targets

    targets = [instance_targets(one.labels) for one in samples]
    return {
        "pixels": torch.from_numpy(np.stack([one.image for one in samples]).astype(np.float32, copy=False)),
        "labels": torch.from_numpy(np.stack([one.labels for one in samples]).astype(np.int64)),
        "valid": torch.from_numpy(~np.stack([one.ignore for one in samples])),
        "targets": torch.from_numpy(np.stack(targets)),
    }


@dataclass
class Feed(IterableDataset[Any]):
    """Batches of a device, one after the other and without end.

    Parameters
    ----------
    samples : Samples
        Where they come from.
    batch : int
        Samples of one.
    first, rank, world : int
        The batch to begin with; which of how many devices this is.
    count : int, optional
        Take so many samples only, over and over.
    """

    samples: Samples
    batch: int
    first: int = 0
    rank: int = 0
    world: int = 1
    count: int | None = None

    def __iter__(self) -> Iterator[Batch]:
        """From `first` on; of several workers each makes every nth."""
        worker = get_worker_info()
        offset, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        number = self.first + offset
        while True:
            start = (number * self.world + self.rank) * self.batch
            indices = range(start, start + self.batch)
            yield collate([self.samples[i if self.count is None else i % self.count] for i in indices])
            number += step


def load_batches(feed: Feed, workers: int) -> DataLoader[Any]:
    """A feed, made by processes beside this one if there are to be any."""
    return DataLoader(feed, batch_size=None, num_workers=workers, multiprocessing_context="spawn" if workers else None)


def feed_of(samples: Samples, config: TrainConfig) -> Callable[[int, int, int], DataLoader[Any]]:
    """What `Training` takes: batches from one of them on, for one of several devices."""
    data = config.data

    def feed(first: int, rank: int, world: int) -> DataLoader[Any]:
        return load_batches(Feed(samples, config.batch, first, rank, world, data.samples), data.workers)

    return feed


class Fixed:
    """The same batches each time, made once."""

    def __init__(self, samples: Samples, config: TrainConfig) -> None:
        starts = range(0, config.data.validation_samples, config.batch)
        self._indices = [range(i, min(i + config.batch, config.data.validation_samples)) for i in starts]
        self._samples = samples
        self._made: list[Batch] = []

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Batch]:
        """All of them, in their order."""
        if not self._made:
            self._made = [collate([self._samples[i] for i in indices]) for indices in self._indices]
        return iter(self._made)
