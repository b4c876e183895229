"""Stars without their spikes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from starnet.simulate.population import STAR

_LEAST_AREA = 200  # pixels; of smaller stars a ring has too few to tell a disk from a cross


def without_spikes(labels: NDArray[np.int32], rows: NDArray[np.void]) -> NDArray[np.int32]:
    """A label map whose stars are disks: their diffraction spikes are sky.

    What exceeds the noise of a bright star is a disk with spikes that come to pieces outwards. A ring about the star
    belongs to the disk while half of its pixels that are the star's or sky's are the star's. The disk ends with the
    first ring of which less is.

    Parameters
    ----------
    labels : ndarray of int32, shape (ny, nx)
        As of `starnet.simulate.Window`.
    rows : ndarray
        As of `starnet.simulate.Truth`: ``label``, ``kind``, and the position ``y``, ``x`` in the map's pixels.
    """
    labels = labels.copy()
    area = np.bincount(labels.ravel(), minlength=int(rows["label"].max(initial=0)) + 1)
    for star in rows[(rows["kind"] == STAR) & (area[rows["label"]] >= _LEAST_AREA)]:
        own = labels == star["label"]
        y, x = (np.arange(n) - star[axis] for n, axis in zip(labels.shape, ("y", "x"), strict=True))
        ring = np.hypot(y[:, None], x).astype(np.int32)
        disk, free = np.bincount(ring[own]), np.bincount(ring[own | (labels == 0)])
        seen = np.flatnonzero(free[: len(disk)])
        partial = seen[2 * disk[seen] < free[seen]]
        if len(partial):
            labels[own & (ring > partial[0])] = 0
    return labels
