"""Sky background and noise of a mosaic from a mesh of sigma-clipped boxes.

The method is SExtractor's [1]_ with the statistics of `photutils.background.Background2D`: boxes are sigma-clipped,
boxes without enough sky are filled from their neighbours, the mesh is median filtered and carried to the pixels by a
bicubic spline. The mesh is measured once over the whole mosaic and then frozen: the background of a pixel depends on
its position alone, never on the window in which it is asked for.

References
----------
.. [1] Bertin & Arnouts 1996, A&AS 117, 393.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from starnet import _core
from starnet.filters.arrays import fits_image, output, stored
from starnet.tiles import Box

__all__ = ["Background", "BackgroundBuilder", "mesh_background"]

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Background:
    """Background level and rms of one band, frozen as a mesh.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)`` of the mosaic.
    box_shape : tuple of int
        ``(ny, nx)`` of a box in pixels; boxes start at pixel (0, 0).
    level_mesh, rms_mesh : ndarray of float64
        One value per box, complete: no NaN. In the unit of the image.
    """

    shape: tuple[int, int]
    box_shape: tuple[int, int]
    level_mesh: Float64
    rms_mesh: Float64

    @classmethod
    def fit(
        cls,
        image: npt.ArrayLike,
        box_size: int = 64,
        *,
        mask: npt.ArrayLike | None = None,
        exclude_percentile: float = 10.0,
        filter_size: int = 3,
        threads: int | None = None,
    ) -> Background:
        """Measure an image that is in memory; parameters as for `mesh_background`."""
        pixels = fits_image(image, name="image", ndim=2, dtype=np.float32)
        builder = BackgroundBuilder(
            pixels.shape, box_size, exclude_percentile=exclude_percentile, filter_size=filter_size, threads=threads
        )
        builder.add_rows(0, pixels, None if mask is None else np.asarray(mask, dtype=bool))
        return builder.finish()

    @property
    def median_level(self) -> float:
        """Median of the level over the mesh."""
        return float(np.median(self.level_mesh))

    @property
    def median_rms(self) -> float:
        """Median of the rms over the mesh."""
        return float(np.median(self.rms_mesh))

    def level(self, box: Box, *, out: Float32 | None = None, threads: int | None = None) -> Float32:
        """Background level of the pixels of a box, ``(ny, nx)`` float32, in the unit of the image."""
        return self._expand(self._level, box, out, threads)

    def rms(self, box: Box, *, out: Float32 | None = None, threads: int | None = None) -> Float32:
        """Scatter of the background in the pixels of a box, ``(ny, nx)`` float32, in the unit of the image."""
        return self._expand(self._rms, box, out, threads)

    def to_hdus(self, band: str = "", version: int = 1) -> list[fits.ImageHDU]:
        """Two small images, ``LEVEL`` and ``RMS``, whose headers say what they belong to."""
        hdus = []
        for name, mesh in (("LEVEL", self.level_mesh), ("RMS", self.rms_mesh)):
            hdu = fits.ImageHDU(mesh, name=name, ver=version)
            hdu.header["BAND"] = (band, "filter")
            hdu.header["BKGBOX1"] = (self.box_shape[1], "[pix] width of a box of the mesh")
            hdu.header["BKGBOX2"] = (self.box_shape[0], "[pix] height of a box of the mesh")
            hdu.header["IMNAXIS1"] = (self.shape[1], "[pix] width of the mosaic")
            hdu.header["IMNAXIS2"] = (self.shape[0], "[pix] height of the mosaic")
            hdu.header["BKGMED"] = (self.median_level, "median background level over the mesh")
            hdu.header["BKGRMS"] = (self.median_rms, "median background rms over the mesh")
            hdus.append(hdu)
        return hdus

    @classmethod
    def from_hdus(cls, level: fits.ImageHDU, rms: fits.ImageHDU) -> Background:
        """The inverse of `to_hdus`; a mesh that does not fit its header is a `ValueError`."""
        header = level.header
        shape = header["IMNAXIS2"], header["IMNAXIS1"]
        box_shape = header["BKGBOX2"], header["BKGBOX1"]
        meshes = [np.array(hdu.data, dtype=np.float64) for hdu in (level, rms)]
        expected = _mesh_shape(shape, box_shape)
        if any(mesh.shape != expected for mesh in meshes):
            raise ValueError(f"meshes of {[m.shape for m in meshes]} boxes, but the header speaks of {expected}")
        return cls(shape, box_shape, *meshes)

    @cached_property
    def _level(self) -> _core.MeshSpline:
        return _core.MeshSpline(self.level_mesh, self.box_shape)

    @cached_property
    def _rms(self) -> _core.MeshSpline:
        return _core.MeshSpline(self.rms_mesh, self.box_shape)

    def _expand(self, spline: _core.MeshSpline, box: Box, out: Float32 | None, threads: int | None) -> Float32:
        if box.clip(self.shape) != box:
            raise ValueError(f"{box} is not inside the mosaic of {self.shape} pixels")
        return spline.expand((box.y0, box.x0), box.shape, output(out, box.shape, np.float32), threads)

    def __getstate__(self) -> dict[str, Any]:
        # The splines hold no more than the meshes: they are made again where they are needed.
        return {f.name: getattr(self, f.name) for f in fields(self)}


class BackgroundBuilder:
    """Measures a mesh strip by strip, in any order.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)`` of the mosaic.
    box_size : int
        Side of a box in pixels; no larger than the mosaic in either direction.
    exclude_percentile : float
        Boxes with more than this percentage of their pixels masked, clipped or beyond the mosaic's edge are filled from
        their neighbours. Where no box passes, those with at least half as many good pixels as the best one count.
    filter_size : int
        Side, in boxes, of the median filter of the mesh; odd.
    sigma : float
        Clipping threshold in standard deviations about the median, ten iterations at most.
    threads : int or None
        Threads of the kernels; None is the process-wide setting.

    Raises
    ------
    ValueError
        If a parameter is out of range, or a strip does not fit the mesh.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        box_size: int = 64,
        *,
        exclude_percentile: float = 10.0,
        filter_size: int = 3,
        sigma: float = 3.0,
        threads: int | None = None,
    ) -> None:
        if min(shape) < 1 or box_size < 1:
            raise ValueError(f"shape {shape} and box_size {box_size} must be positive")
        if not 0 <= exclude_percentile <= 100:
            raise ValueError(f"exclude_percentile {exclude_percentile} must be between 0 and 100")
        if filter_size < 1 or filter_size % 2 == 0:
            raise ValueError(f"filter_size {filter_size} must be odd and positive")
        self.shape = shape
        self.box_shape = min(box_size, shape[0]), min(box_size, shape[1])
        self.exclude_percentile = exclude_percentile
        self.filter_size = filter_size
        self.sigma = sigma
        self.threads = threads
        mesh = _mesh_shape(shape, self.box_shape)
        self._level = np.full(mesh, np.nan)
        self._rms = np.full(mesh, np.nan)
        self._ngood = np.full(mesh, -1, dtype=np.int64)

    def add_rows(self, y0: int, rows: Float32, mask: Mask | None = None) -> Float64:
        """Measure a strip of whole boxes as wide as the mosaic.

        Parameters
        ----------
        y0 : int
            The mosaic's row that the strip starts with, a multiple of the box.
        rows : ndarray of float32, shape (n, nx)
            Pixels; NaN and infinities are left out.
        mask : ndarray of bool, shape (n, nx), optional
            True where a pixel is left out.

        Returns
        -------
        ndarray of float64, shape (boxes along y, boxes along x)
            Level of the strip's boxes before exclusion and filtering; NaN where a box has no pixel.
        """
        by = self.box_shape[0]
        y1 = y0 + rows.shape[0]
        whole_boxes = y0 % by == 0 and (y1 % by == 0 or y1 == self.shape[0])
        if rows.shape[1] != self.shape[1] or not (whole_boxes and 0 <= y0 < y1 <= self.shape[0]):
            raise ValueError(
                f"a strip of {rows.shape} pixels from row {y0} does not consist of whole boxes of {self.box_shape} "
                f"of a mosaic of {self.shape}"
            )
        here = slice(y0 // by, -(-y1 // by))
        level, rms, ngood = _core.mesh_statistics(stored(rows), self.box_shape, mask, self.sigma, threads=self.threads)
        self._level[here], self._rms[here], self._ngood[here] = level, rms, ngood
        return level

    def measured(self) -> Mask:
        """Which boxes have enough good pixels."""
        if self._ngood.min() < 0:
            raise ValueError(f"{int((self._ngood[:, 0] < 0).sum())} rows of boxes were never added")
        # photutils' rule and arithmetic: a box at the edge is judged by the number of pixels of a full one.
        enough = self._ngood > (1 - self.exclude_percentile / 100.0) * (self.box_shape[0] * self.box_shape[1])
        best = self._ngood.max()
        return enough if enough.any() or not best else self._ngood >= max(1, best / 2)

    def median_rms(self) -> float:
        """Median of the rms over the boxes with enough good pixels; NaN if there are none."""
        rms = self._rms[self.measured()]
        return float(np.median(rms)) if rms.size else float("nan")

    def finish(self) -> Background:
        """Complete and filter the mesh.

        Raises
        ------
        ValueError
            If no pixel of the mosaic is good, or rows are missing.
        """
        measured = self.measured()
        if not measured.any():
            raise ValueError("all pixels are masked or not finite: there is no background to measure")
        level, rms = (
            _core.complete_mesh(np.where(measured, mesh, np.nan), self.filter_size, self.threads)
            for mesh in (self._level, self._rms)
        )
        return Background(self.shape, self.box_shape, level, rms)


def mesh_background(
    a: npt.ArrayLike,
    box_size: int = 64,
    *,
    filter_size: int = 3,
    mask: npt.ArrayLike | None = None,
    coverage_mask: npt.ArrayLike | None = None,
    exclude_percentile: float = 10.0,
    threads: int | None = None,
) -> tuple[Float32, Float32]:
    """Background and background rms of an image that is in memory.

    Parameters
    ----------
    a : array_like, shape (ny, nx)
        Image; other types are rounded to float32. NaN and infinities are left out.
    box_size : int
        Side of a box in pixels.
    filter_size : int
        Side, in boxes, of the median filter of the mesh; odd.
    mask : array_like of bool, optional
        True where a pixel (a source, a defect) is left out of the statistics; it gets a background all the same.
    coverage_mask : array_like of bool, optional
        True where there is no data: left out, and 0 in the results.
    exclude_percentile : float
        Boxes with more than this percentage of their pixels left out are filled from their neighbours.
    threads : int, optional
        Threads; None is the process-wide setting.

    Returns
    -------
    background, background_rms : ndarray of float32, shape (ny, nx)
        In the unit of the image.

    Raises
    ------
    TypeError, ValueError
        If no pixel is good, or an argument is of the wrong type, shape or value.

    Notes
    -----
    Equals ``photutils.background.Background2D(a, box_size, ...)``'s ``background`` and ``background_rms`` (SExtractor's
    mode, standard deviation, both of pixels clipped at 3 sigma) to rounding, but for boxes that are filled: of boxes
    equally far from one that is missing, photutils takes some, this function all. Statistics and spline are in float64.
    """
    pixels = fits_image(a, ndim=2, dtype=np.float32)
    outside = None if coverage_mask is None else np.asarray(coverage_mask, dtype=bool)
    excluded = outside if mask is None else np.asarray(mask, dtype=bool)
    if mask is not None and outside is not None:
        excluded = excluded | outside
    background = Background.fit(
        pixels, box_size, mask=excluded, exclude_percentile=exclude_percentile, filter_size=filter_size, threads=threads
    )
    whole = Box(0, pixels.shape[0], 0, pixels.shape[1])
    images = background.level(whole, threads=threads), background.rms(whole, threads=threads)
    if outside is not None:
        for image in images:
            image[outside] = 0
    return images


def _mesh_shape(shape: tuple[int, int], box_shape: tuple[int, int]) -> tuple[int, int]:
    return -(-shape[0] // box_shape[0]), -(-shape[1] // box_shape[1])
