"""A finished run as photutils' objects, for its own measurements: Kron and aperture photometry, morphology, plots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from starnet.errors import StarnetError
from starnet.mosaic import Mosaic
from starnet.outputs.segmentation_map import read_segmentation_map
from starnet.recipe import Recipe
from starnet.tiles import Box

if TYPE_CHECKING:
    from photutils.segmentation import SourceCatalog


def source_catalog(
    run: str | Path, band: str | None = None, *, inputs: Sequence[str | Path] | None = None
) -> SourceCatalog:
    """A run's objects as a `photutils.segmentation.SourceCatalog`, on the sky-subtracted pixels of one band.

    The whole band is held in memory.

    Parameters
    ----------
    run : str or Path
        Directory of a finished run.
    band : str, optional
        Name of the band; the first one by default.
    inputs : sequence of str or Path, optional
        The images, where they are no longer found under the names that the run was given.

    Returns
    -------
    catalog : SourceCatalog
        With the noise of each pixel, the mask of pixels without data, and the WCS; its labels are the ids of the run.

    Raises
    ------
    StarnetError
        If the directory holds no finished run, the images are not those of the run, there is no such band, or
        photutils is missing.
    """
    run = Path(run)
    try:
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StarnetError(
            f"{run} holds no finished run: name the directory that `starnet segment -o` wrote"
        ) from error
    segments = read_segmentation_map(run / "segmentation.fits").to_photutils()
    from photutils.segmentation import SourceCatalog

    mosaic = Mosaic.open(inputs or facts["paths"], instrument=facts["instrument"], weights=facts["weights"])
    if mosaic.fingerprint() != facts["inputs"]:
        raise StarnetError(f"the images are not those of {run}: give the run's own with inputs=")
    names = [one.name for one in mosaic.bands]
    band = band or names[0]
    if band not in names:
        raise StarnetError(f"band {band!r} is not in {run}: choose one of {', '.join(names)}")
    index = names.index(band)
    whole = Recipe.load(run / "recipe.yaml").apply(mosaic, Box(0, mosaic.shape[0], 0, mosaic.shape[1]))
    bad = ~whole.valid[index]
    flux, sigma = np.where(bad, 0, whole.flux[index]), np.where(bad, 0, whole.sigma[index])
    return SourceCatalog(flux, segments, error=sigma, mask=bad, wcs=mosaic.wcs)
