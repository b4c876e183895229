"""The detection image: all bands combined, matched-filtered, in noise units."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from starnet import _core
from starnet.recipe import Preprocessed

SIGMA_PER_FWHM = 1 / (2 * math.sqrt(2 * math.log(2)))


def gaussian_kernel(fwhm: float) -> npt.NDArray[np.float32]:
    """A round Gaussian for the matched filter.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum in pixels: that of the point-spread function, or a little more.

    Returns
    -------
    kernel : ndarray of float32
        Square, odd side; cut where it falls below about 1 % of its peak.

    Raises
    ------
    ValueError
        If `fwhm` is not positive.
    """
    if not fwhm > 0:
        raise ValueError(f"fwhm={fwhm}: must be positive")
    radius = max(1, math.ceil(3 * fwhm * SIGMA_PER_FWHM))
    r = np.arange(-radius, radius + 1)
    profile = np.exp(-0.5 * (r / (fwhm * SIGMA_PER_FWHM)) ** 2)
    return np.outer(profile, profile).astype(np.float32)


def detection_image(
    preprocessed: Preprocessed, kernel: npt.NDArray[np.float32], *, threads: int | None = None
) -> npt.NDArray[np.float32]:
    """Matched-filtered S/N of all bands together.

    Parameters
    ----------
    preprocessed : Preprocessed
        A window in noise units.
    kernel : ndarray of float32
        Odd sides; half of it is the margin that a window needs for its core to be exact.
    threads : int, optional
        Threads of the kernel.

    Returns
    -------
    image : ndarray of float32, shape (ny, nx)
        S/N; 0 where no band has data. The noise is 1 where the pixels' noise is white; in drizzled images,
        whose noise is correlated, it is larger.
    """
    return _core.detection_image(preprocessed.snr, preprocessed.valid.view(np.uint8), kernel, threads=threads)
