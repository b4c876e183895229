"""How bands become channels and windows become squares; without torch, since bundles need it too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def grouped(bands: int, *, pictures: bool = False) -> NDArray[np.float32]:
    """Weights of bands in three channels; float32, ``(3, bands)``.

    The bands are laid side by side and cut into three parts of equal length: three bands are the channels, a single
    one is each of them, six are joined in pairs, and of four the middle two make the middle channel. Bands in units of
    their noise make channels in units of theirs: the squares of a channel's weights add up to 1, so that a source seen
    in several bands stands out more.

    Parameters
    ----------
    bands : int
        How many there are.
    pictures : bool
        Bands between 0 and 1, whose means are between 0 and 1 as well: the weights add up to 1 instead.
    """
    edges = np.arange(4) * bands / 3
    starts = np.maximum(edges[:3, None], np.arange(bands))
    ends = np.minimum(edges[1:, None], np.arange(1, bands + 1))
    shares = np.maximum(ends - starts, 0)
    total = shares.sum(axis=1) if pictures else np.sqrt(np.square(shares).sum(axis=1))
    return np.asarray(shares / total[:, None], np.float32)


def scaled_shape(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Shape with its longest side scaled to `side`, rounded as SAM rounds it."""
    scale = side * 1.0 / max(shape)
    return int(shape[0] * scale + 0.5), int(shape[1] * scale + 0.5)
