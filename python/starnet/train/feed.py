"""Batches for a training: from any of them on, the same for any number of processes that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from starnet import _core
from starnet.errors import StarnetError
from starnet.train.samples import LANES, Sample, Source

Batch = dict[str, Tensor]
#: Bits, centres and distances that an instance head learns, ``(3, ny, nx)`` float32, from labels ``(ny, nx)``.
Targets = Callable[[NDArray[np.int32]], NDArray[np.float32]]
#: A changed batch, all random choices from the generator.
Augment = Callable[[Batch, torch.Generator], Batch]
Arrays = dict[str, NDArray[Any]]

_VALIDATION = 0x5EED  # keeps the validation's samples apart from the training's
# Batches that a process makes in advance: at most so many, of so many bytes together, and two in any case.
_AHEAD, _AHEAD_BYTES = 16, 2**28
_STRETCH = 4096  # samples of a row after which it goes on behind the others


@dataclass(frozen=True)
class Feed:
    """Batches of samples, augmented, with targets.

    A sample and its augmentation are functions of its number and the seed, so that a training that is resumed sees what
    it would have seen, and the number of processes does not matter.

    Parameters
    ----------
    source : Source
        Makes the samples.
    size : int
        Side of a sample in pixels.
    batch : int
        Samples of a batch, on each device.
    seed : int
        Of samples and augmentation.
    targets : callable
        Targets of a label map. Picklable, if there are workers.
    augment : callable, optional
        Changes a batch of one sample: ``augment(batch, generator)``. Picklable, if there are workers.
    samples : int, optional
        Learn from so many samples only, over and over; None for ever new ones.
    workers : int
        Processes that make batches beside this one.
    """

    source: Source
    size: int
    batch: int
    seed: int
    targets: Targets
    augment: Augment | None = None
    samples: int | None = None
    workers: int = 0

    def __call__(self, first: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Batches of one of several devices, without end.

        Parameters
        ----------
        first : int
            Number of the batch to begin with.
        rank, world : int
            Which of how many devices.

        Yields
        ------
        dict of Tensor
            ``pixels`` float32 ``(n, bands, ny, nx)``, ``labels`` int64 and ``valid`` bool ``(n, ny, nx)``, ``targets``
            float32 ``(n, 3, ny, nx)``.

        Raises
        ------
        StarnetError
            If a sample cannot be made.
        """
        loader = DataLoader(
            _Batches(self, rank, world),
            batch_size=None,
            sampler=count(first),
            num_workers=self.workers,
            # A new field takes seconds: batches are there to learn from meanwhile.
            prefetch_factor=self._ahead if self.workers else None,
            collate_fn=_as_it_is,
            multiprocessing_context="spawn" if self.workers else None,
            worker_init_fn=_start,
            # Its own: the loader would draw from the generator that the training draws from.
            generator=torch.Generator(),
        )
        for arrays in loader:
            if isinstance(arrays, StarnetError):
                raise arrays
            yield _tensors(arrays)

    def validation(self, samples: int) -> list[Batch]:
        """The first samples of the source with another seed, as they are, in batches."""
        feed = replace(self, augment=None, samples=None, workers=0, seed=self.seed ^ _VALIDATION)
        parts = [range(i, min(i + self.batch, samples)) for i in range(0, samples, self.batch)]
        return [_tensors(feed.make(list(part))) for part in parts]

    @property
    def _ahead(self) -> int:
        # Pixels and three targets in float32, labels in int32, and a byte that says what is valid.
        each = self.batch * self.size**2 * (4 * len(self.source.bands) + 3 * 4 + 4 + 1)
        return max(2, min(_AHEAD, _AHEAD_BYTES // each))

    def make(self, indices: list[int]) -> Arrays:
        """A batch of samples, given by their numbers."""
        return _stack([self._augmented(index) for index in indices], self.targets)

    def _augmented(self, index: int) -> Sample:
        sample = self.source.sample(index, self.size, self.seed)
        if self.augment is None:
            return sample
        generator = torch.Generator().manual_seed(_seed(self.seed, index))
        batch = self.augment(_tensors(_stack([sample])), generator)
        pixels, labels, valid = (batch[name][0].numpy() for name in ("pixels", "labels", "valid"))
        return Sample(pixels, labels.astype(np.int32), ~valid)


@dataclass(frozen=True)
class _Batches(Dataset[Any]):
    """The batches of one of several devices, by their numbers.

    A batch after the other is of another of its `LANES` rows of samples, so that they are of several fields: and where
    the number of processes divides that of rows, each row is made by one process.
    """

    feed: Feed
    rank: int
    world: int

    def __getitem__(self, number: int) -> Arrays | StarnetError:
        try:
            return self.feed.make([self._index(number, place) for place in range(self.feed.batch)])
        except StarnetError as error:
            return error  # raised in a worker, it would come back as a traceback

    def _index(self, number: int, place: int) -> int:
        feed = self.feed
        if feed.samples is not None:
            return ((number * self.world + self.rank) * feed.batch + place) % feed.samples
        turn, row = divmod(number, LANES)
        row, rows = row * self.world + self.rank, LANES * self.world
        stretch, along = divmod(turn * feed.batch + place, _STRETCH)
        return (stretch * rows + row) * _STRETCH + along


def _stack(samples: list[Sample], targets: Targets | None = None) -> Arrays:
    """A batch as arrays: through a pipe they need no shared memory, of which containers have little."""
    arrays: Arrays = {
        "pixels": np.stack([one.image for one in samples]),
        "labels": np.stack([one.labels for one in samples]),
        "valid": ~np.stack([one.ignore for one in samples]),
    }
    if targets is not None:
        arrays["targets"] = np.stack([targets(one.labels) for one in samples])
    return arrays


def _tensors(arrays: Arrays) -> Batch:
    batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return batch | {"labels": batch["labels"].long()}


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _as_it_is(batches: Any) -> Any:
    return batches


def _start(worker: int) -> None:
    _core.set_threads(1)  # the processes are the parallelism
    torch.set_num_threads(1)
