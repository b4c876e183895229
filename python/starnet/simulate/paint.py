"""Sources as stamps: made in Fourier space, many at a time, each as wide as it can be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.simulate import shapes
from starnet.simulate.gallery import Gallery, Morphology
from starnet.simulate.population import SERSIC_INDICES
from starnet.tiles import Box

#: Sides of stamps in pixels: even, and quickly transformed.
SIDES = np.array([16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048])
# Twice as many points a side are for smaller ones: at this size a source is not made of what a pixel undersamples.
_LARGEST_OVERSAMPLED = 1024
# What is cut off by the widest stamps' edges fades out over this many pixels, so that no edge is seen.
_FADE = 128
# Frequencies that are worked on at a time: few enough to stay in a core's cache.
_BATCH = 1 << 15
# Surface brightness at a stamp's edge, and what aliasing may do to its middle, in sigma of the pixels' noise.
_EDGE = 0.05
_ALIAS = 0.03

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]
#: ``transfer(band, side, oversample)``: what becomes of a point source, as `starnet.simulate.psf.otf` has it.
Transfer = Callable[[int, int, int], Complex64]


@dataclass(frozen=True)
class Layout:
    """Where the stamps of sources lie, and how they are made.

    Attributes
    ----------
    y0, x0 : ndarray of int64
        First row and column of each stamp.
    side : ndarray of int64
        One of `SIDES`.
    oversample : ndarray of int64
        2 where frequencies beyond Nyquist's have to be folded back, else 1.
    """

    y0: NDArray[np.int64]
    x0: NDArray[np.int64]
    side: NDArray[np.int64]
    oversample: NDArray[np.int64]

    @classmethod
    def concatenate(cls, layouts: Sequence[Layout]) -> Layout:
        """The layouts of several sets of sources as one."""
        return cls(*(np.concatenate([getattr(one, name) for one in layouts]) for name in cls.__annotations__))

    def reaching(self, box: Box) -> NDArray[np.bool_]:
        """Whose stamps share pixels with the box."""
        return np.asarray(
            (self.y0 < box.y1) & (self.y0 + self.side > box.y0) & (self.x0 < box.x1) & (self.x0 + self.side > box.x0)
        )


@dataclass(frozen=True)
class Stamps:
    """Some stamps of one size, without noise.

    Attributes
    ----------
    index : ndarray of int64, (nstamp,)
        Their sources.
    pixels : ndarray of float32, (nstamp, nband, side, side)
        Flux per pixel, in image units.
    """

    index: NDArray[np.int64]
    pixels: Float32


class Painter:
    """Makes stamps of sources through the optics of several bands.

    A pixel has the flux that falls on its square, as GalSim's ``drawImage`` has it, to a thousandth of the peak or a
    tenth of the noise, whichever is more. Stamps do not depend on which others are made with them.

    Parameters
    ----------
    transfer : callable
        The optics.
    sigma : sequence of float
        Typical noise of a pixel in each band, in image units: sets how wide stamps are.
    gallery : Gallery, optional
        Real galaxies: number `i` of them is a component whose Sersic index is ``-1 - i``.
    """

    def __init__(self, transfer: Transfer, sigma: Sequence[float], gallery: Gallery | None = None) -> None:
        self.transfer = transfer
        self.gallery = gallery
        self.sigma = np.asarray(sigma, float)
        self._indices = np.asarray(SERSIC_INDICES, float)
        self._table = shapes.transforms(tuple(self._indices)).ravel()
        optics = [_Optics.measure(transfer(band, 256, 2)) for band in range(len(self.sigma))]
        self._wings = np.array([one.wings for one in optics])
        self._spikes = np.array([one.spikes for one in optics])
        self._aliases = np.array([one.alias for one in optics])

    def layout(self, sources: NDArray[np.void], components: NDArray[np.void]) -> Layout:
        """Choose the stamps of sources.

        Parameters
        ----------
        sources, components : ndarray
            As `starnet.simulate.population.Population` has them.
        """
        point = (components["n"] == 0)[:, None]
        n, re, q, pa = (components[name].astype(float)[:, None] for name in ("n", "re", "q", "pa"))
        real = n < 0
        n, re, q = np.where(point | real, 1.0, n), np.where(point, 1e-3, re), np.where(point | real, 1.0, q)
        level = _EDGE * self.sigma / np.maximum(components["flux"], 1e-300)  # per pixel, of unit flux; (ncomp, nband)
        own = re * shapes.isophote(n, level * re**2 * q)
        for i in np.flatnonzero(real):
            own[i] = re[i] * self._morphology(components[i]).reach
        spread = np.where(point, _radius(self._spikes, level), _radius(self._wings, level) + re)
        cos2, sin2 = np.cos(pa) ** 2, np.sin(pa) ** 2
        half = np.maximum(
            np.maximum(own * np.sqrt(cos2 + q**2 * sin2), spread).max(axis=1) + np.abs(components["dx"]),
            np.maximum(own * np.sqrt(sin2 + q**2 * cos2), spread).max(axis=1) + np.abs(components["dy"]),
        )
        # Power beyond Nyquist's frequency: that of a point source, times what the profile leaves of it there.
        squared = ((1.3 * np.pi * re) ** 2 * q).astype(np.float32)
        seen = np.abs(self._interpolate(self._row(n[:, 0])[:, None], squared))
        alias = (components["flux"] / self.sigma * self._aliases * seen).max(axis=1)

        halves, aliases = np.zeros(len(sources)), np.zeros(len(sources))
        np.maximum.at(halves, components["source"], half)
        np.add.at(aliases, components["source"], alias)
        side = SIDES[np.minimum(np.searchsorted(SIDES, 2 * halves + 3), len(SIDES) - 1)]
        oversample = np.where((aliases > _ALIAS) & (side <= _LARGEST_OVERSAMPLED), 2, 1)
        y0 = np.floor(sources["y"] + 0.5).astype(np.int64) - side // 2
        x0 = np.floor(sources["x"] + 0.5).astype(np.int64) - side // 2
        return Layout(y0, x0, side, oversample)

    def stamps(
        self, sources: NDArray[np.void], components: NDArray[np.void], layout: Layout, wanted: NDArray[np.bool_]
    ) -> Iterator[Stamps]:
        """Make the stamps of some sources, smallest first; those of one kind in the order of the sources.

        Parameters
        ----------
        sources, components, layout : ndarray, ndarray, Layout
            All sources; components in the order of their sources.
        wanted : ndarray of bool
            Whose stamps to make.
        """
        first = np.searchsorted(components["source"], np.arange(len(sources)))
        count = np.bincount(components["source"], minlength=len(sources))
        # The order in which stamps are added up has to be the same in every window.
        chosen = np.flatnonzero(wanted & (count > 0))
        kinds = np.stack([layout.side, layout.oversample, count])[:, chosen]
        order = np.lexsort((chosen, *kinds[::-1]))
        chosen, kinds = chosen[order], kinds[:, order]
        breaks = np.flatnonzero(np.diff(kinds, axis=1).any(axis=0)) + 1
        for group in np.split(chosen, breaks) if chosen.size else ():
            side, oversample, ncomp = int(layout.side[group[0]]), int(layout.oversample[group[0]]), int(count[group[0]])
            points = side * oversample
            step = max(1, _BATCH // (points * (points // 2 + 1)))
            for start in range(0, len(group), step):
                index = group[start : start + step]
                rows = components[first[index, None] + np.arange(ncomp)]
                centre = np.stack(
                    [sources["y"][index] - layout.y0[index], sources["x"][index] - layout.x0[index]], axis=1
                )
                yield Stamps(index, self._make(rows, centre, side, oversample))

    def _make(self, components: NDArray[np.void], centre: NDArray[Any], side: int, oversample: int) -> Float32:
        """Stamps of sources with as many components each, ``components`` (nstamp, ncomp)."""
        from scipy.fft import irfft2

        parts = [self._component(components[:, i], centre, side, oversample) for i in range(components.shape[1])]
        nstamp, nband = len(components), len(self.sigma)
        pixels = np.empty((nstamp, nband, side, side), np.float32)
        for band in range(nband):
            flux = components["flux"][:, :, band].astype(np.float32)[:, :, None, None]
            real, imag = flux[:, 0] * parts[0][0], flux[:, 0] * parts[0][1]
            for i, part in enumerate(parts[1:], 1):
                real += flux[:, i] * part[0]
                imag += flux[:, i] * part[1]
            spectrum = np.empty(real.shape, np.complex64)
            transfer = self.transfer(band, side, oversample)
            if transfer.imag.any():
                spectrum.real, spectrum.imag = real, imag
                spectrum *= transfer
            else:
                np.multiply(real, transfer.real, out=spectrum.real)
                np.multiply(imag, transfer.real, out=spectrum.imag)
            if oversample == 2:
                spectrum = _fold(spectrum)
            pixels[:, band] = irfft2(spectrum, s=(side, side), overwrite_x=True)
        if side == SIDES[-1]:
            edge = np.minimum(np.arange(side), np.arange(side)[::-1]) / _FADE
            fade = (0.5 - 0.5 * np.cos(np.pi * np.minimum(edge, 1))).astype(np.float32)
            pixels *= fade[:, None] * fade
        return pixels

    def _component(
        self, components: NDArray[np.void], centre: NDArray[Any], side: int, oversample: int
    ) -> tuple[Float32, Float32]:
        """Real and imaginary part of the transform of a component of unit flux, before the optics."""
        points = side * oversample
        ky = (2 * np.pi / side * np.fft.fftfreq(points, 1 / points))[None, :]
        kx = (2 * np.pi / side * np.arange(points // 2 + 1))[None, :]
        phase_y = ky * (centre[:, 0] + components["dy"])[:, None]
        phase_x = kx * (centre[:, 1] + components["dx"])[:, None]
        (cos_y, sin_y), (cos_x, sin_x) = (
            (np.cos(phase).astype(np.float32), np.sin(phase).astype(np.float32)) for phase in (phase_y, phase_x)
        )
        cos_y, sin_y, cos_x, sin_x = cos_y[:, :, None], sin_y[:, :, None], cos_x[:, None, :], sin_x[:, None, :]
        real = cos_y * cos_x
        real -= sin_y * sin_x
        imag = sin_y * -cos_x
        imag -= cos_y * sin_x
        kx32, ky32 = kx.astype(np.float32)[:, None, :], ky.astype(np.float32)[:, :, None]
        self._paint_real(components, ky32, kx32, real, imag)
        extended = components["n"] > 0
        if not extended.any():
            return real, imag
        a, b, c = (
            term[:, None, None] for term in shapes.quadratic_form(components["re"], components["q"], components["pa"])
        )
        squared = b * kx32 + c * ky32
        squared *= ky32
        squared += a * kx32 * kx32
        profile = self._interpolate(self._row(components["n"])[:, None, None], squared)
        profile[~extended] = 1
        real *= profile
        imag *= profile
        return real, imag

    def _paint_real(self, components: NDArray[np.void], ky: Float32, kx: Float32, real: Float32, imag: Float32) -> None:
        """Give real galaxies their shapes."""
        for i in np.flatnonzero(components["n"] < 0):
            one = components[i]
            shape = self._morphology(one).at(ky[0], kx[0], float(one["re"]), float(one["pa"]))
            shape = shape * (real[i] + 1j * imag[i])
            real[i], imag[i] = shape.real, shape.imag

    def _morphology(self, component: np.void) -> Morphology:
        morphology = self.gallery[int(-1 - component["n"])] if self.gallery is not None else None
        if morphology is None:
            raise ValueError(f"there is no real galaxy {int(-1 - component['n'])}")
        return morphology

    def _row(self, n: NDArray[np.floating]) -> NDArray[np.int32]:
        """Where the table of a Sersic index starts."""
        nearest = np.abs(self._indices - np.asarray(n, float)[:, None]).argmin(axis=1)
        return np.asarray(nearest * (shapes.LARGEST * shapes.STEPS + 1), np.int32)

    def _interpolate(self, row: NDArray[np.int32], squared: Float32) -> Float32:
        """Value of the transforms at squared frequencies; `squared` is overwritten."""
        np.maximum(squared, 0, out=squared)  # an elongated profile's may fall below by rounding
        np.sqrt(squared, out=squared)
        np.sqrt(squared, out=squared)
        squared *= shapes.STEPS
        np.minimum(squared, shapes.LARGEST * shapes.STEPS, out=squared)
        cell = squared.astype(np.int32)
        squared -= cell
        cell += row
        entries = self._table.take(cell)
        squared *= entries.imag
        squared += entries.real
        return squared


def _fold(spectrum: Complex64) -> Complex64:
    """Spectrum of every second pixel, from that of all of them."""
    points = spectrum.shape[1]
    side = points // 2
    rows = spectrum[:, :side] + spectrum[:, side:]
    # Frequency kx - side is the conjugate of that at (-ky, side - kx).
    mirrored = rows[:, -np.arange(side), side // 2 : side + 1][:, :, ::-1]
    return np.asarray(rows[:, :, : side // 2 + 1] + mirrored.conj(), np.complex64)


@dataclass(frozen=True)
class _Optics:
    """A point source of unit flux: its mean and its greatest brightness beyond a radius, what is aliased."""

    wings: NDArray[np.float64]
    spikes: NDArray[np.float64]
    alias: float

    @classmethod
    def measure(cls, transfer: Complex64) -> _Optics:
        """Measure an oversampled transfer function."""
        points = len(transfer)
        side = points // 2
        image = np.fft.fftshift(np.fft.irfft2(transfer, s=(points, points)))[::2, ::2] * 4
        y, x = np.mgrid[:side, :side] - side // 2
        ring = np.hypot(y, x).astype(int)
        mean = np.bincount(ring.ravel(), image.ravel()) / np.bincount(ring.ravel())
        greatest = np.zeros(len(mean))
        np.maximum.at(greatest, ring, image)
        k = np.abs(np.fft.fftfreq(points, 1 / points))
        beyond = (k[:, None] > side // 2) | (k[None, : points // 2 + 1] > side // 2)
        alias = 2 * float(np.abs(transfer)[beyond].sum()) / side**2
        return cls(_falling(mean[: side // 2]), _falling(greatest[: side // 2]), alias)


def _falling(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    """A profile that does not rise outwards, continued as the inverse cube of the radius to the widest stamp's edge."""
    inside = np.maximum.accumulate(profile[::-1])[::-1]
    edge = len(inside) - 1
    radius = np.arange(edge + 1, SIDES[-1] // 2 + 1)
    return np.concatenate([inside, inside[edge] * (edge / radius) ** 3])


def _radius(profiles: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radius beyond which a point source is fainter than a level, per component and band."""
    columns = [np.searchsorted(-profile, -level[:, i]) for i, profile in enumerate(profiles)]
    return np.stack(columns, axis=1).astype(float)
