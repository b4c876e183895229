"""The user's mosaic as the simulator sees a survey: bands with zero points, pixels, point-spread functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from starnet.errors import StarnetError
from starnet.mosaic import Mosaic
from starnet.recipe import Recipe
from starnet.simulate import PRESETS, Preset, load_preset
from starnet.simulate.paint import Complex64, Painter
from starnet.simulate.psf import otf


@dataclass(frozen=True)
class Target:
    """What sources are painted into.

    Attributes
    ----------
    mosaic : Mosaic
        The user's.
    preset : Preset
        A survey with the mosaic's bands, in its order, with its zero points and its pixels.
    recipe : Recipe
        Fitted to the mosaic: its sky and its noise.
    reference : int
        The band whose magnitudes are counted.
    """

    mosaic: Mosaic
    preset: Preset
    recipe: Recipe
    reference: int = 0

    @property
    def zero_point(self) -> float:
        """AB mag of one unit in the reference band."""
        return self.preset.bands[self.reference].zero_point

    def painter(self) -> Painter:
        """Paints stamps for this mosaic."""

        def transfer(band: int, side: int, oversample: int) -> Complex64:
            return otf(self.preset.bands[band], self.preset.pixel_scale, side, oversample)

        return Painter(transfer, [sky.background.median_rms for sky in self.recipe.skies])

    def fwhm(self) -> float:
        """FWHM of a point source in the reference band, in pixels: the width of a disk of the same area."""
        fine = 8
        transfer = otf(self.preset.bands[self.reference], self.preset.pixel_scale, 64, fine)
        image = np.fft.irfft2(transfer, s=(64 * fine, 64 * fine))
        return float(2 * np.sqrt(np.count_nonzero(image > image.max() / 2) / np.pi) / fine)


def adapt(
    mosaic: Mosaic,
    *,
    preset: str | Preset | None = None,
    pixel_scale: float | None = None,
    zero_points: Mapping[str, float] | None = None,
    psf: Mapping[str, str | Path] | None = None,
) -> tuple[Preset, list[str]]:
    """The survey that a mosaic is taken for, and remarks.

    Parameters
    ----------
    mosaic : Mosaic
        The user's.
    preset : str or Preset, optional
        As for `load_preset`; by default, of those that have all bands, the one of the most similar pixels.
    pixel_scale : float, optional
        arcsec per pixel, where the mosaic has no WCS.
    zero_points : mapping, optional
        AB mag of one unit by band, in the place of the headers'.
    psf : mapping, optional
        FITS images of point-spread functions by band, in the place of the preset's.

    Raises
    ------
    StarnetError
        If a band is unknown to the preset, or has no zero point, or the pixels' size is not known.
    """
    names = [band.name for band in mosaic.bands]
    zero_points, psf = zero_points or {}, psf or {}
    for option, given in (("--zero-point", zero_points), ("--psf", psf)):
        for name in given:
            if name not in names:
                raise StarnetError(f"{option} {name}: the mosaic has no such band, but {', '.join(names)}")
    for path in psf.values():
        if not Path(path).is_file():
            raise StarnetError(f"the point-spread function {path} is not there: name a FITS file")
    scale = pixel_scale or mosaic.pixel_scale
    if scale is None:
        raise StarnetError("the mosaic has no WCS: say how many arcsec a pixel has, as in --pixel-scale 0.06")
    survey = _survey(preset, names, scale)
    bands = []
    for band in mosaic.bands:
        zero_point = zero_points.get(band.name, band.zero_point)
        if zero_point is None:
            raise StarnetError(
                f"{band.path} does not say which AB magnitude one unit is: add --zero-point {band.name}=25.9 or so"
            )
        one = survey.select((band.name,)).bands[0]
        own = str(Path(psf[band.name]).resolve()) if band.name in psf else one.psf
        bands.append(replace(one, zero_point=zero_point, psf=own))
    assumed = [name for name in names if name not in psf]
    notes = []
    if assumed:
        notes.append(
            f"point-spread functions of {', '.join(assumed)}: those of the preset {survey.name}; "
            "--psf BAND=FILE.fits gives measured ones"
        )
    return replace(survey, bands=tuple(bands), pixel_scale=scale), notes


def _survey(preset: str | Preset | None, names: list[str], scale: float) -> Preset:
    if isinstance(preset, Preset):
        return preset
    if preset is not None:
        return load_preset(preset)
    able = [one for one in PRESETS.values() if {band.name for band in one.bands} >= set(names)]
    if not able:
        raise StarnetError(
            f"no preset has the bands {', '.join(names)}: name them as a preset does, as in F160W=FILE.fits, "
            "or give a YAML file with --preset (starnet simulate --show prints one)"
        )
    return min(able, key=lambda one: abs(np.log(one.pixel_scale / scale)))
