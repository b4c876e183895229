"""What is true of a simulated field: to whom a pixel belongs, how far a source reaches, how well it can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from starnet.tiles import Box

Float32 = NDArray[np.float32]


def detection_weights(ivar: Float32) -> Float32:
    """Weights of the bands in the noise-weighted detection image, in units of that image's noise.

    ``sum_b f_b / sigma_b**2 / sqrt(sum_b 1 / sigma_b**2)``, where the noise is each pixel's own.

    Parameters
    ----------
    ivar : ndarray of float32, (nband, ny, nx)
        True inverse variance; 0 where there are no data.

    Returns
    -------
    ndarray of float32, (nband, ny, nx)
    """
    # Band after band, here and below: NumPy's own sums over them round otherwise in other shapes.
    total = ivar[0].copy()
    for one in ivar[1:]:
        total += one
    np.sqrt(total, out=total)
    weights: Float32 = np.divide(ivar, total, out=np.zeros_like(ivar), where=total > 0)
    return weights


def detection(pixels: Float32, weights: Float32) -> Float32:
    """Detection image of a source alone, without noise, in sigma of that image.

    Parameters
    ----------
    pixels : ndarray of float32, (nband, ny, nx)
        Flux of the source.
    weights : ndarray of float32, (nband, ny, nx)
        `detection_weights`.

    Returns
    -------
    ndarray of float32, (ny, nx)
    """
    image: Float32 = pixels[0] * weights[0]
    for flux, weight in zip(pixels[1:], weights[1:], strict=True):
        image += flux * weight
    return image


def signal_to_noise(pixels: Float32, ivar: Float32, power: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """S/N of the optimal filter over all bands: ``sqrt(sum_b sum_k |D_b(k)|**2 / P_b(k))``.

    Parameters
    ----------
    pixels, ivar : ndarray of float32, (nstamp, nband, side, side)
        Flux of the sources and true inverse variance of the pixels.
    power : sequence of ndarray, (side, side // 2 + 1)
        True power spectrum of each band's noise for unit variance, as `starnet.simulate.noise.Noise.power` has it.
    """
    from scipy.fft import rfft2

    side = pixels.shape[-1]
    # Frequencies between 0 and Nyquist's stand for two each.
    twice = np.full(side // 2 + 1, 2.0)
    twice[[0, -1]] = 1
    total = np.zeros(len(pixels))
    for band, spectrum in enumerate(power):
        transform = rfft2(pixels[:, band] * np.sqrt(ivar[:, band]))
        inverse = (twice / side**2 / spectrum).astype(np.float32)
        strength = transform.real**2
        strength += transform.imag**2
        strength *= inverse
        total += strength.reshape(len(pixels), -1).sum(axis=1, dtype=np.float64)
    return np.sqrt(total)


class LabelMap:
    """Pixels of a box, each the property of the source that has the most flux there, if that exceeds 1 sigma.

    Parameters
    ----------
    box : Box
        Of the field.

    Attributes
    ----------
    labels : ndarray of int32, (ny, nx)
        0 where no source exceeds the noise.
    """

    def __init__(self, box: Box) -> None:
        self.box = box
        self.labels = np.zeros(box.shape, np.int32)
        self._most = np.ones(box.shape, np.float32)

    def add(self, label: int, box: Box, image: Float32) -> None:
        """Let a source claim pixels.

        Parameters
        ----------
        label : int
            Of the source.
        box : Box
            Inside the map.
        image : ndarray of float32
            The source's `detection` image there.
        """
        here = box.slices_in(self.box)
        most = self._most[here]
        wins = image > most
        np.copyto(most, image, where=wins)
        np.copyto(self.labels[here], np.int32(label), where=wins)


def run_lengths(mask: NDArray[np.bool_], box: Box, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Run lengths of a mask in an image, column after column as COCO has them, beginning with those of 0.

    Parameters
    ----------
    mask : ndarray of bool
        Pixels of `box`.
    box : Box
        Inside the image.
    shape : tuple of int
        ``(ny, nx)`` of the image.
    """
    x, y = np.nonzero(mask.T)
    position = (x + box.x0) * shape[0] + y + box.y0
    starts = np.flatnonzero(np.diff(position, prepend=-2) != 1)
    edges = np.empty(2 * len(starts) + 2, np.int64)
    edges[0], edges[-1] = 0, shape[0] * shape[1]
    edges[1:-1:2] = position[starts]
    edges[2:-1:2] = position[np.append(starts[1:], len(position)) - 1] + 1
    counts = np.diff(edges)
    return counts[:-1] if counts[-1] == 0 else counts


def compress_runs(masks: Sequence[NDArray[np.int64]]) -> list[str]:
    """Compressed RLE of masks, as in COCO's annotations.

    Counts are differences to the last but one (from the fourth on) in groups of five bits, lowest first, with a sixth
    that says whether more follow, as characters from ``0`` on (``rleToString`` of the COCO API, Lin et al. 2014).

    Parameters
    ----------
    masks : sequence of ndarray of int64
        Run lengths.
    """
    if not masks:
        return []
    deltas = np.concatenate([_deltas(counts) for counts in masks])
    groups = []
    rest, more = deltas, np.ones(len(deltas), bool)
    while more.any():
        bits = rest & 31
        rest = rest >> 5
        goes_on = more & np.where(bits & 16, rest != -1, rest != 0)
        groups.append(np.where(more, bits + 32 * goes_on + 48, 0))
        more = goes_on
    characters = np.stack(groups, axis=1).astype(np.uint8)
    ends = np.cumsum((characters > 0).sum(axis=1))
    text = characters[characters > 0].tobytes().decode("ascii")
    last = [0, *ends[np.cumsum([len(counts) for counts in masks]) - 1].tolist()]
    return [text[start:end] for start, end in pairwise(last)]


def _deltas(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    deltas = counts.copy()
    deltas[3:] -= counts[1:-2]
    return deltas
