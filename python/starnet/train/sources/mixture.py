"""Several sources of samples, taken in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from starnet.networks.geometry import grouped
from starnet.train.samples import Sample, Source
from starnet.train.sources.rendering import CHANNELS

#: Samples after which the turns repeat: weights are kept to a part in so many.
_CYCLE = 100


@dataclass(frozen=True)
class Several:
    """Samples of several sources in fixed turns, evenly spread.

    Where their numbers of bands differ, samples show three channels, made of the bands as a network without a learned
    adapter makes them (`starnet.networks.geometry.grouped`).

    Attributes
    ----------
    sources : tuple of Source
        Of any numbers of bands.
    weights : tuple of float
        Their shares of the samples, up to a factor.
    pictures : bool
        Whether bands are pictures, not in units of their noise.
    """

    sources: tuple[Source, ...]
    weights: tuple[float, ...]
    pictures: bool = False

    def __post_init__(self) -> None:
        if not self.sources or len(self.sources) != len(self.weights) or min(self.weights) <= 0:
            raise ValueError("several sources need a weight each, more than 0")

    @property
    def bands(self) -> tuple[str, ...]:
        """Those of the first source, or names of the channels."""
        return CHANNELS if self._differ else self.sources[0].bands

    @cached_property
    def _differ(self) -> bool:
        return len({len(source.bands) for source in self.sources}) > 1

    @cached_property
    def _turns(self) -> NDArray[np.int64]:
        """Whose turn it is: the source that is furthest behind its share."""
        shares = np.array(self.weights) / sum(self.weights)
        counts = np.maximum(1, np.rint(shares * _CYCLE)).astype(int) if len(shares) > 1 else np.ones(1, int)
        due = [((k + 0.5) / n, i) for i, n in enumerate(counts.tolist()) for k in range(n)]
        return np.array([i for _, i in sorted(due)])

    def sample(self, index: int, size: int, seed: int) -> Sample:
        """See `Source.sample`."""
        cycle, turn = divmod(index, len(self._turns))
        which = int(self._turns[turn])
        taken = self._turns == which
        own = cycle * int(taken.sum()) + int(taken[:turn].sum())
        # Two sources of one kind must not draw the same.
        source = self.sources[which]
        sample = source.sample(own, size, seed * len(self.sources) + which)
        if not self._differ:
            return sample
        mixed = np.tensordot(grouped(len(source.bands), pictures=self.pictures), sample.image, axes=1)
        return replace(sample, image=mixed)


def pixel_scales(source: Source) -> tuple[float, float] | None:
    """The smallest and the largest pixel of a source's skies in arcsec; None where none of them says."""
    members = source.sources if isinstance(source, Several) else (source,)
    skies = [getattr(one, "preset", None) or getattr(one, "mosaic", None) for one in members]
    known = [sky.pixel_scale for sky in skies if sky is not None and sky.pixel_scale is not None]
    return (min(known), max(known)) if known else None


def several(sources: Sequence[Source], weights: Sequence[float] | None = None, *, pictures: bool = False) -> Source:
    """One source of several; equal weights by default. See `Several`.

    Raises
    ------
    ValueError
        If there is none, or not a positive weight for each.
    """
    if len(sources) == 1:
        return sources[0]
    return Several(tuple(sources), tuple(weights) if weights is not None else (1.0,) * len(sources), pictures)
