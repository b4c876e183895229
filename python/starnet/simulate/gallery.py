"""Real galaxies, cleaned of their noise, as shapes to paint with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.simulate.population import BULGED, DISK, IRREGULAR

# Starlet coefficients below this many sigma of their scale are taken for noise.
_SIGNIFICANT = 5.0
# A galaxy that is made this much larger than its stamp shows the stamp's PSF.
_LARGEST_MAGNIFICATION = 1.25
# Part of the galaxies of these classes that are real ones where there is a gallery.
_FRACTION = 0.5
_REPLACED = (DISK, BULGED, IRREGULAR)

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Morphology:
    """A real galaxy without noise.

    Attributes
    ----------
    transform : ndarray of complex64, (n, n)
        Coefficients of a cubic spline of the Fourier transform about the centroid, frequency 0 at ``n // 2``; of unit
        flux.
    re : float
        Half-light radius along the major axis, in pixels of the stamp.
    q, pa : float
        Axis ratio and position angle, from the second moments.
    reach : float
        Distance of the farthest pixel with flux from the centroid, in units of `re`.
    """

    transform: NDArray[np.complex64]
    re: float
    q: float
    pa: float
    reach: float

    @classmethod
    def of(cls, image: Float32) -> Morphology | None:
        """Measure a cleaned image; None if nothing is left of it."""
        from scipy.fft import fft2, next_fast_len
        from scipy.ndimage import spline_filter

        flux = float(image.sum())
        if flux <= 0 or np.count_nonzero(image) < 20:
            return None
        image = image / flux
        y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
        cy, cx = float((image * y).sum()), float((image * x).sum())
        dy, dx = y - cy, x - cx
        yy, xx, xy = (float((image * product).sum()) for product in (dy * dy, dx * dx, dx * dy))
        mean, difference = (xx + yy) / 2, float(np.hypot((xx - yy) / 2, xy))
        q = float(np.sqrt(max(mean - difference, 0.05 * mean) / (mean + difference)))
        pa = 0.5 * float(np.arctan2(2 * xy, xx - yy))
        along, across = dx * np.cos(pa) + dy * np.sin(pa), dy * np.cos(pa) - dx * np.sin(pa)
        radius = np.hypot(along, across / q).ravel()
        order = np.argsort(radius)
        re = float(np.interp(0.5, np.cumsum(image.ravel()[order]), radius[order]))
        # Padded, so that the transform is smooth enough to be interpolated.
        n = 2 * int(next_fast_len(2 * max(image.shape)))
        k = 2 * np.pi * np.fft.fftfreq(n)
        transform = fft2(image.astype(np.float64), s=(n, n)) * np.exp(1j * (k[:, None] * cy + k[None, :] * cx))
        reach = float(np.hypot(dy, dx)[image > 0].max()) / re
        coefficients = spline_filter(np.fft.fftshift(transform), output=np.complex128)
        return cls(coefficients.astype(np.complex64), re, q, pa, reach)

    def at(self, ky: Float32, kx: Float32, re: float, pa: float) -> NDArray[np.complex64]:
        """Transform of the galaxy at other size and orientation.

        Parameters
        ----------
        ky, kx : ndarray of float32, (ny, 1) and (1, nx)
            Frequencies in rad per pixel.
        re, pa : float
            Half-light radius in pixels and position angle that it shall have.
        """
        from scipy.ndimage import map_coordinates

        n = len(self.transform)
        step = re / self.re * n / (2 * np.pi)
        cos, sin = step * np.cos(pa - self.pa), step * np.sin(pa - self.pa)
        coordinates = np.stack([cos * ky - sin * kx, cos * kx + sin * ky]) + n // 2
        parts = (
            map_coordinates(part, coordinates, order=3, prefilter=False, mode="constant", output=np.float32)
            for part in (self.transform.real, self.transform.imag)
        )
        real, imag = parts
        return np.asarray(real + 1j * imag, np.complex64)


class Gallery:
    """The galaxies of a GalSim ``RealGalaxyCatalog``.

    Their stamps are cleaned by thresholds on starlet coefficients (Starck et al. 2007, IEEE Trans. Image Process. 16,
    297), and what does not touch the galaxy is left out. They keep the PSF they were seen with: they are meant for
    galaxies that are fainter and smaller than themselves.

    Parameters
    ----------
    directory : Path
        With the catalog and its images, such as the COSMOS sample (Mandelbaum et al. 2012, MNRAS 420, 1518).

    Raises
    ------
    StarnetError
        If there is no such catalog.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = _find_catalog(directory)

    def __len__(self) -> int:
        return int(self._catalog.nobjects)

    @cached_property
    def sizes(self) -> NDArray[np.float64]:
        """Half-light radii along the major axis, in arcsec; 0 for those of which nothing is left when cleaned."""
        scales = self._catalog.pixel_scale
        return np.array([one.re * scales[i] if (one := self[i]) is not None else 0 for i in range(len(self))])

    def choose(self, rng: np.random.Generator, re: NDArray[np.float64]) -> NDArray[np.int32]:
        """A galaxy for each half-light radius (arcsec), not smaller by much than that; -1 where there is none."""
        order = np.argsort(self.sizes)
        first = np.searchsorted(self.sizes[order], np.maximum(re / _LARGEST_MAGNIFICATION, 1e-3))
        drawn = first + (rng.random(len(re)) * (len(order) - first)).astype(int)
        return np.where(first < len(order), order[np.minimum(drawn, len(order) - 1)], -1).astype(np.int32)

    @lru_cache(maxsize=4096)  # noqa: B019  # galleries are few, and live as long as the process
    def __getitem__(self, index: int) -> Morphology | None:
        return Morphology.of(clean(np.asarray(self._catalog.getGalImage(index).array, np.float32)))

    @cached_property
    def _catalog(self) -> Any:
        import galsim

        return galsim.RealGalaxyCatalog(str(self._path), dir=str(self.directory))


def hang(
    gallery: Gallery,
    rng: np.random.Generator,
    sources: NDArray[np.void],
    components: NDArray[np.void],
    pixel_scale: float,
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Put real galaxies in the place of some analytic ones, of the same flux, size and position.

    Parameters
    ----------
    gallery : Gallery
        To take them from.
    rng : Generator
        Chooses.
    sources, components : ndarray
        As `starnet.simulate.population.Population` has them.
    pixel_scale : float
        arcsec per pixel.

    Returns
    -------
    sources, components : ndarray
        With ``n`` NaN in the sources, and ``-1 - i`` in the components, of those that are galaxy `i`; axis ratios are
        the real ones.
    """
    sources = sources.copy()
    number = gallery.choose(rng, sources["re"] * pixel_scale)
    keep = rng.random(len(sources)) >= _FRACTION
    number[keep | ~np.isin(sources["kind"], _REPLACED)] = -1
    real = number >= 0
    first = np.searchsorted(components["source"], np.arange(len(sources)))
    hung = np.zeros(np.count_nonzero(real), components.dtype)
    if not hung.size:
        return sources, components
    for row, source in enumerate(np.flatnonzero(real)):
        morphology = gallery[int(number[source])]
        assert morphology is not None
        sources["n"][source], sources["q"][source] = np.nan, morphology.q
        hung[row] = components[first[source]]
        for name in ("flux", "re", "q", "pa"):
            hung[name][row] = sources[name][source]
    hung["source"], hung["n"], hung["dy"], hung["dx"] = np.flatnonzero(real), -1 - number[real], 0, 0
    both = np.concatenate([components[~real[components["source"]]], hung])
    return sources, both[np.argsort(both["source"], kind="stable")]


def clean(image: Float32) -> Float32:
    """Image of the galaxy in the middle of a stamp without noise, sky and neighbours.

    Parameters
    ----------
    image : ndarray of float32, (ny, nx)
        The stamp.
    """
    from scipy.ndimage import label

    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    noise = 1.4826 * np.median(np.abs(border - np.median(border)))
    smooth = np.asarray(image - np.median(border), np.float32)
    result = np.zeros_like(smooth)
    for scale in range(max(1, int(np.log2(min(image.shape) / 8)))):
        smoother = _smoothed(smooth, 2**scale)
        detail = smooth - smoother
        sigma = 1.4826 * np.median(np.abs(detail - np.median(detail)))
        result += np.where(np.abs(detail) > _SIGNIFICANT * sigma, detail, 0)
        smooth = smoother
    result += smooth
    # What is fainter than the noise of a pixel fades out: a sharp edge would be seen in a brighter copy.
    fade = np.clip(result / noise - 0.5, 0, 1)
    result *= fade * fade * (3 - 2 * fade)
    pieces, count = label(result > 0)
    if count == 0:
        return result
    middle = tuple(slice(side // 2 - 3, side // 2 + 4) for side in image.shape)
    weight = np.bincount(pieces[middle].ravel(), result[middle].ravel(), count + 1)
    result[pieces != weight.argmax()] = 0
    return result


def _smoothed(image: Float32, step: int) -> Float32:
    """B3 spline with holes, of the starlet transform."""
    from scipy.ndimage import convolve1d

    taps = np.zeros(4 * step + 1)
    taps[::step] = np.array([1, 4, 6, 4, 1]) / 16
    return np.asarray(convolve1d(convolve1d(image, taps, axis=0, mode="mirror"), taps, axis=1, mode="mirror"))


def _find_catalog(directory: Path) -> Path:
    for path in sorted(directory.glob("*.fits")):
        with fits.open(path) as hdus:
            if len(hdus) > 1 and isinstance(hdus[1], fits.BinTableHDU) and "GAL_FILENAME" in hdus[1].columns.names:
                return path
    raise StarnetError(f"{directory} holds no GalSim RealGalaxyCatalog: name the folder of its catalog and images")
