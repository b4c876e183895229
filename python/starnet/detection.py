"""The detection image: all bands combined, matched-filtered, in noise units."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import sep

from starnet import _core
from starnet.filters.background import Background
from starnet.mosaic import Mosaic
from starnet.recipe import Preprocessed, Recipe
from starnet.tiles import Box

SIGMA_PER_FWHM = 1 / (2 * math.sqrt(2 * math.log(2)))
_sep_lock = threading.RLock()


@contextmanager
def sep_room(pixels: int, branches: int = 0) -> Iterator[None]:
    """Room in `sep` for so many pixels above the threshold, and for so many branches of deblending if that is more.

    `sep` keeps both as settings of the process: one thread at a time has them. It allocates all of the room in every
    call.
    """
    with _sep_lock:
        before = sep.get_extract_pixstack(), sep.get_sub_object_limit()
        sep.set_extract_pixstack(pixels + 1000)
        sep.set_sub_object_limit(max(before[1], branches + 1000))
        try:
            yield
        finally:
            sep.set_extract_pixstack(before[0])
            sep.set_sub_object_limit(before[1])


def gaussian_profile(fwhm: float) -> npt.NDArray[np.float32]:
    """A round Gaussian for the matched filter: its profile along either axis.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum in pixels: that of the point-spread function, or a little more.

    Returns
    -------
    profile : ndarray of float32
        Of odd length; cut where it falls below about 1 % of its peak. The kernel is its outer product with itself.

    Raises
    ------
    ValueError
        If `fwhm` is not positive.
    """
    if not fwhm > 0:
        raise ValueError(f"fwhm={fwhm}: must be positive")
    radius = max(1, math.ceil(3 * fwhm * SIGMA_PER_FWHM))
    r = np.arange(-radius, radius + 1)
    return np.exp(-0.5 * (r / (fwhm * SIGMA_PER_FWHM)) ** 2).astype(np.float32)


def detection_image(
    preprocessed: Preprocessed, profile: npt.NDArray[np.float32], *, threads: int | None = None
) -> npt.NDArray[np.float32]:
    """Matched-filtered S/N of all bands together.

    Parameters
    ----------
    preprocessed : Preprocessed
        A window in noise units.
    profile : ndarray of float32
        Of the matched filter; half its length is the margin that a window needs for its core to be exact.
    threads : int, optional
        Threads of the kernel.

    Returns
    -------
    image : ndarray of float32, shape (ny, nx)
        S/N for white noise; see `detection_noise` for other. 0 where no band has data.
    """
    return _core.detection_image(preprocessed.snr, preprocessed.valid.view(np.uint8), profile, threads=threads)


SAMPLE_SIDE = 512
SAMPLES_PER_AXIS = 8


def detection_noise(mosaic: Mosaic, recipe: Recipe, profile: npt.NDArray[np.float32]) -> float:
    """Scatter of the detection image where there is sky.

    It is 1 for white noise. Drizzled or PSF-matched images have correlated noise, which a matched filter does not
    average out: a threshold in units of this scatter means the same on all of them.

    Measured as the median, over boxes of 64 pixels, of the sigma-clipped scatter in windows that are spread evenly over
    the mosaic, all of it where it is small; not on the tiles of a run.

    Parameters
    ----------
    mosaic : Mosaic
        The mosaic.
    recipe : Recipe
        Fitted to it.
    profile : ndarray of float32
        Of the matched filter.

    Returns
    -------
    noise : float
        In units of a pixel's noise; 1 where no box has sky.
    """
    scatter = []
    for window in _sample_windows(mosaic.shape):
        preprocessed = recipe.apply(mosaic, window)
        uncovered = ~preprocessed.valid.any(axis=0)
        if not uncovered.all():
            image = detection_image(preprocessed, profile)
            scatter.append(Background.fit(image, mask=uncovered, exclude_percentile=75).rms_mesh.ravel())
    measured = np.concatenate(scatter) if scatter else np.zeros(0)
    measured = measured[measured > 0]
    return float(np.median(measured)) if len(measured) else 1.0


def _sample_windows(shape: tuple[int, int]) -> Iterator[Box]:
    """Windows on a lattice over the mosaic; side by side, and all of it, where it is small."""
    starts = []
    for length in shape:
        count = min(SAMPLES_PER_AXIS, -(-length // SAMPLE_SIDE))
        starts.append([i * length // count for i in range(count)])
    for y in starts[0]:
        for x in starts[1]:
            yield Box(y, y + SAMPLE_SIDE, x, x + SAMPLE_SIDE).clip(shape)
