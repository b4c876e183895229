"""How bands become channels and windows become squares; without torch, since bundles need it too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def grouped(bands: int) -> NDArray[np.float32]:
    """Means of neighbouring bands; float32, ``(3, bands)``.

    The bands are laid side by side and cut into three parts of equal length: three bands are the channels, a single
    one is each of them, six are averaged in pairs, and of four the middle two make the middle channel.
    """
    edges = np.arange(4) * bands / 3
    starts = np.maximum(edges[:3, None], np.arange(bands))
    ends = np.minimum(edges[1:, None], np.arange(1, bands + 1))
    return np.asarray(np.maximum(ends - starts, 0) * 3 / bands, np.float32)


def scaled_shape(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Shape with its longest side scaled to `side`, rounded as SAM rounds it."""
    scale = side * 1.0 / max(shape)
    return int(shape[0] * scale + 0.5), int(shape[1] * scale + 0.5)
