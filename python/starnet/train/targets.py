"""What an instance head learns of labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_REACH = 6  # sigmas; beyond them a Gaussian is 0 in float32


def targets(labels: NDArray[np.integer[Any]], *, heat_sigma: float = 1.5) -> NDArray[np.float32]:
    """Foreground, centres and distances to the boundary.

    Parameters
    ----------
    labels : ndarray of int, shape (ny, nx)
        Objects by positive numbers, 0 is sky. Numbers may be missing.
    heat_sigma : float
        Sigma of the Gaussian that marks a centre, in pixels.

    Returns
    -------
    ndarray of float32, shape (3, ny, nx)
        1 in objects and 0 outside; the highest of the objects' Gaussians, each 1 at its object's centre: the pixel of
        its centroid, or where that is not in the object the pixel farthest from its boundary; and the Euclidean
        distance to the nearest pixel that is not of the same object, divided by the object's largest. What lies
        outside the map belongs to no object.

    Raises
    ------
    ValueError
        If `heat_sigma` is not positive.
    """
    if heat_sigma <= 0:
        raise ValueError(f"heat_sigma={heat_sigma}: must be more than 0")
    maps = np.zeros((3, *labels.shape), np.float32)
    foreground, heat, depth = maps
    foreground[...] = labels > 0
    reach = math.ceil(_REACH * heat_sigma)
    profile = np.exp(-0.5 * (np.arange(-reach, reach + 1) / heat_sigma) ** 2)
    stamp = np.outer(profile, profile).astype(np.float32)
    dense = np.maximum(labels, 0)
    if dense.max(initial=0) > dense.size:
        # One slot a number is less work than sorting pixels, unless numbers are huge.
        dense = np.unique(np.append(0, dense), return_inverse=True)[1][1:].reshape(labels.shape)
    for number, box in enumerate(ndimage.find_objects(dense), 1):
        if box is None:
            continue
        member = dense[box] == number
        distance = ndimage.distance_transform_edt(np.pad(member, 1))[1:-1, 1:-1]
        depth[box][member] = (distance / distance.max())[member]
        # Halves go up, in integers: rounded to even, centres would depend on where the object lies in the map.
        y, x = (int((2 * axis.sum() + len(axis)) // (2 * len(axis))) for axis in np.nonzero(member))
        if not member[y, x]:
            y, x = (int(i) for i in np.unravel_index(distance.argmax(), distance.shape))
        _stamp(heat, stamp, y + box[0].start, x + box[1].start, reach)
    return maps


def _stamp(heat: NDArray[np.float32], stamp: NDArray[np.float32], y: int, x: int, reach: int) -> None:
    """Raise the map to a stamp around a pixel, as far as the map goes."""
    y0, x0 = max(0, y - reach), max(0, x - reach)
    near = heat[y0 : y + reach + 1, x0 : x + reach + 1]
    part = stamp[y0 - y + reach :, x0 - x + reach :][: near.shape[0], : near.shape[1]]
    np.maximum(near, part, out=near)
