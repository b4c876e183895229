"""Recipes: what becomes of the pixels before a model sees them, fitted once to a mosaic and then frozen.

A recipe is fitted in streaming passes and applied to any window: no statistic is taken per window, so that a pixel's
value does not depend on how the mosaic is cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import yaml
from astropy.io import fits

from starnet.atomic import replacing
from starnet.errors import StarnetError
from starnet.filters import normalize
from starnet.filters.background import Background
from starnet.io.planes import quiet
from starnet.recipe import seed
from starnet.recipe.parameters import RECIPES, Config, NoiseRecipe, SeedRecipe
from starnet.recipe.seed import SeedScale
from starnet.recipe.sky import Float32, Progress, Sky, fit_sky
from starnet.tiles import Box

if TYPE_CHECKING:
    from starnet.mosaic import Mosaic, Pixels

__all__ = ["NoiseRecipe", "Preprocessed", "Recipe", "SeedRecipe"]

FORMAT = 1


@dataclass
class Preprocessed:
    """Pixels of a box as a recipe made them.

    Attributes
    ----------
    box : Box
        Where in the mosaic.
    image : ndarray of float32, shape (nband, ny, nx)
        What a model sees; 0 where a pixel is not valid.
    snr : ndarray of float32, shape (nband, ny, nx)
        Sky-subtracted, in units of the noise of a pixel, linear; 0 where a pixel is not valid.
    flux : ndarray of float32, shape (nband, ny, nx)
        Sky-subtracted, in the unit of the mosaic; NaN where a pixel is not valid.
    sigma : ndarray of float32, shape (nband, ny, nx)
        1-sigma noise of a pixel, in the unit of the mosaic; inf where a pixel is not valid.
    valid : ndarray of bool, shape (nband, ny, nx)
        There is data, and its noise is known.
    saturated : ndarray of bool, shape (ny, nx), or None
        Saturated in any band; None if that is not known.
    """

    box: Box
    image: npt.NDArray[np.float32]
    snr: npt.NDArray[np.float32]
    flux: npt.NDArray[np.float32]
    sigma: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    saturated: npt.NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class Recipe:
    """A recipe fitted to a mosaic; `fit` makes one, `load` reads one.

    Attributes
    ----------
    config : NoiseRecipe or SeedRecipe
        Its parameters.
    shape : tuple of int
        ``(ny, nx)`` of the mosaic.
    bands : tuple of str
        Names of its bands.
    skies : tuple of Sky
        Background and noise of each band: what fluxes and errors are measured with, whatever the recipe.
    scales : tuple of SeedScale
        What the seed recipe fitted to each band; empty for others.
    fingerprint : list of dict
        Identity of the files that were fitted.
    """

    config: Config
    shape: tuple[int, int]
    bands: tuple[str, ...]
    skies: tuple[Sky, ...]
    scales: tuple[SeedScale, ...]
    fingerprint: list[dict[str, Any]]

    @classmethod
    def fit(
        cls,
        mosaic: Mosaic,
        recipe: str | Path | Config = "noise",
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Recipe:
        """Fit a recipe to a mosaic in streaming passes.

        Parameters
        ----------
        mosaic : Mosaic
            The mosaic; read strip by strip.
        recipe : str, Path, NoiseRecipe or SeedRecipe
            A recipe's name, its parameters, or a YAML file. One that was fitted already is taken as it is.
        threads : int, optional
            Threads of the kernels; None is the process-wide setting.
        progress : callable, optional
            Called with (stage, strips done, strips in all).

        Returns
        -------
        Recipe
            The fitted recipe.

        Raises
        ------
        StarnetError
            If there is no such recipe, the file is malformed or was fitted to another mosaic, or a band has no valid
            pixel or is constant.
        """
        config, fitted = _resolve(recipe)
        if fitted is not None and isinstance(recipe, str | Path):
            frozen = cls._from_fitted(Path(recipe), config, fitted)
            frozen._check_fits(mosaic, Path(recipe))
            return frozen
        skies = fit_sky(
            mosaic,
            box_size=config.box_size,
            filter_size=config.filter_size,
            exclude_percentile=config.exclude_percentile,
            source_threshold=config.source_threshold,
            source_dilation=config.source_dilation,
            threads=threads,
            progress=progress,
        )
        scales: tuple[SeedScale, ...] = ()
        if isinstance(config, SeedRecipe):
            scales = seed.fit_scales(mosaic, config, threads=threads, progress=progress)
        names = tuple(band.name for band in mosaic.bands)
        return cls(config, mosaic.shape, names, skies, scales, mosaic.fingerprint())

    @staticmethod
    def identity(recipe: str | Path | Config) -> dict[str, Any]:
        """What decides a recipe's numbers, before any fit: its name, parameters and, of a fitted one, what was fitted.

        Raises
        ------
        StarnetError
            If there is no such recipe, or the file is malformed.
        """
        config, fitted = _resolve(recipe)
        document = {"name": config.name, "parameters": _plain(asdict(config))}
        return document if fitted is None else {**document, "fitted": dict(fitted)}

    @property
    def halo(self) -> int:
        """Pixels around a box that its pixels depend on."""
        return seed.halo(self.config) if isinstance(self.config, SeedRecipe) else 0

    def apply(self, mosaic: Mosaic, box: Box, *, threads: int | None = None) -> Preprocessed:
        """Preprocess the pixels of a box inside the mosaic; their values do not depend on the box.

        Raises
        ------
        ValueError
            If the box is not inside the mosaic, or the mosaic is not of the shape that was fitted.
        """
        if mosaic.shape != self.shape or box.clip(self.shape) != box or not box.size:
            raise ValueError(f"{box} of a mosaic of {mosaic.shape} pixels; the recipe was fitted to {self.shape}")
        window = box.pad(self.halo).clip(self.shape)
        pixels = mosaic.read(window)
        core = box.slices_in(window)
        valid = np.ascontiguousarray(pixels.valid[:, *core])
        flux, sigma, snr, image = (np.empty(valid.shape, dtype=np.float32) for _ in range(4))
        weights = [None if pixels.ivar is None else pixels.ivar[i, *core] for i in range(len(self.skies))]
        if isinstance(self.config, SeedRecipe):
            self._seed(pixels, box, weights, valid, (flux, sigma, snr, image), threads)
        else:
            for i, sky in enumerate(self.skies):
                planes = flux[i], sigma[i], snr[i], image[i]
                softening = self.config.asinh_softening
                sky.noise_units(
                    box, pixels.data[i, *core], weights[i], valid[i], planes, softening=softening, threads=threads
                )
        saturated = None if pixels.saturated is None else np.ascontiguousarray(pixels.saturated[core])
        return Preprocessed(box, image, snr, flux, sigma, valid, saturated)

    def _seed(
        self,
        pixels: Pixels,
        box: Box,
        weights: Sequence[Float32 | None],
        valid: npt.NDArray[np.bool_],
        out: tuple[Float32, Float32, Float32, Float32],
        threads: int | None,
    ) -> None:
        """Fill flux, sigma, snr and image of a box with the published chain."""
        assert isinstance(self.config, SeedRecipe)
        flux, sigma, snr, image = out
        core = box.slices_in(pixels.box)
        for i, sky in enumerate(self.skies):
            sky.sigma(box, weights[i], out=sigma[i], threads=threads)
            level = sky.background.level(box, out=flux[i], threads=threads)
            np.subtract(pixels.data[i, *core], level, out=flux[i])
        valid &= sigma < np.inf
        filtered = seed.process(self.config, self.scales, pixels, box, threads=threads)
        valid &= np.isfinite(filtered)
        lows, highs = [s.minimum for s in self.scales], [s.maximum for s in self.scales]
        normalize(filtered, lows, highs, out=image, threads=threads)
        for i, scale in enumerate(self.scales):
            np.subtract(filtered[i], np.float32(scale.level), out=snr[i])
            snr[i] /= np.float32(scale.sigma)
        hole = ~valid
        if hole.any():
            image[hole], snr[hole], flux[hole], sigma[hole] = 0, 0, np.nan, np.inf

    def save(self, path: str | Path) -> None:
        """Write the recipe as YAML, and its meshes beside it as ``<stem>.background.fits``."""
        path = Path(path)
        hdus = [hdu for i, sky in enumerate(self.skies) for hdu in sky.background.to_hdus(self.bands[i], i + 1)]
        meshes = _meshes(path)
        with replacing(meshes) as partial:
            fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(partial, overwrite=True)
        document = {
            "format": FORMAT,
            "recipe": self.config.name,
            "parameters": _plain(asdict(self.config)),
            "fitted": {
                "shape": list(self.shape),
                "background": meshes.name,
                "bands": [self._band(i) for i in range(len(self.bands))],
                "inputs": self.fingerprint,
            },
        }
        with replacing(path) as partial:
            partial.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a fitted recipe.

        Raises
        ------
        StarnetError
            If the file, or the one with its meshes, is missing or malformed, or the recipe was never fitted.
        """
        path = Path(path)
        config, fitted = _read(path)
        if fitted is None:
            raise StarnetError(f"{path} holds parameters but no 'fitted' section; fit it to a mosaic first")
        return cls._from_fitted(path, config, fitted)

    def _band(self, i: int) -> dict[str, Any]:
        """What the YAML says of a band; background and rms are for the reader, the meshes hold them in full."""
        sky = self.skies[i]
        scalars: dict[str, Any] = {
            "name": self.bands[i],
            "background": sky.background.median_level,
            "background_rms": sky.background.median_rms,
            "noise_factor": sky.noise_factor,
        }
        return scalars | ({"seed": asdict(self.scales[i])} if self.scales else {})

    @classmethod
    def _from_fitted(cls, path: Path, config: Config, fitted: Mapping[str, Any]) -> Recipe:
        try:
            ny, nx = map(int, fitted["shape"])
            bands = list(fitted["bands"])
            names = tuple(str(band["name"]) for band in bands)
            factors = [band["noise_factor"] for band in bands]
            scales = tuple(SeedScale(**band["seed"]) for band in bands) if isinstance(config, SeedRecipe) else ()
            inputs = list(fitted["inputs"])
            meshes = path.with_name(str(fitted["background"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StarnetError(f"{path}: the 'fitted' section is damaged ({error}); delete it to fit anew") from error
        try:
            with quiet(), fits.open(meshes, memmap=False) as hdus:
                backgrounds = [Background.from_hdus(hdus["LEVEL", i], hdus["RMS", i]) for i in range(1, len(names) + 1)]
                belongs = [hdus["LEVEL", i].header["BAND"] for i in range(1, len(names) + 1)] == list(names)
        except (OSError, LookupError, ValueError, TypeError, fits.VerifyError) as error:
            raise StarnetError(
                f"{path} needs the meshes in {meshes.name} beside it, which cannot be read ({error}); "
                "delete the 'fitted' section to fit anew"
            ) from error
        if not belongs or any(b.shape != (ny, nx) for b in backgrounds):
            raise StarnetError(f"{meshes} was not saved with {path}; delete the 'fitted' section to fit anew")
        skies = tuple(
            Sky(background, None if factor is None else float(factor))
            for background, factor in zip(backgrounds, factors, strict=True)
        )
        return cls(config, (ny, nx), names, skies, scales, inputs)

    def _check_fits(self, mosaic: Mosaic, path: Path) -> None:
        names = tuple(band.name for band in mosaic.bands)
        weights = [band.has_weight for band in mosaic.bands]
        mend = "delete its 'fitted' section to fit it anew"
        if (self.shape, self.bands) != (mosaic.shape, names):
            raise StarnetError(
                f"{path} was fitted to {', '.join(self.bands)} of {self.shape} pixels, but the mosaic is "
                f"{', '.join(names)} of {mosaic.shape}; {mend}"
            )
        if [sky.noise_factor is not None for sky in self.skies] != weights:
            raise StarnetError(f"{path} was fitted with other weight maps than the mosaic has; {mend}")


def _meshes(path: Path) -> Path:
    return path.with_name(path.stem + ".background.fits")


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in parameters.items()}


def _resolve(recipe: str | Path | Config) -> tuple[Config, Mapping[str, Any] | None]:
    """Parameters of a recipe that is named, given or read, and what a file says was fitted."""
    if isinstance(recipe, NoiseRecipe | SeedRecipe):
        return recipe, None
    if recipe in RECIPES:
        return RECIPES[str(recipe)](), None
    if Path(recipe).suffix.lower() in (".yaml", ".yml"):
        return _read(Path(recipe))
    raise StarnetError(f"there is no recipe '{recipe}'; name {' or '.join(RECIPES)}, or a .yaml file")


def _read(path: Path) -> tuple[Config, Mapping[str, Any] | None]:
    """Parameters, and the fitted section if there is one, of a YAML file."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StarnetError(f"recipe {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StarnetError(f"recipe {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, Mapping):
        raise StarnetError(f"recipe {path} must hold 'format', 'recipe' and 'parameters'")
    _known(path, document, ["format", "recipe", "parameters", "fitted"], "key")
    if document.get("format") != FORMAT:
        raise StarnetError(f"recipe {path}: format is {document.get('format')!r}, this version reads {FORMAT}")
    config_type = RECIPES.get(str(document.get("recipe")))
    if config_type is None:
        raise StarnetError(f"recipe {path}: recipe is {document.get('recipe')!r}, must be {' or '.join(RECIPES)}")
    parameters, fitted = (document.get(key) or {} for key in ("parameters", "fitted"))
    for key, section in (("parameters", parameters), ("fitted", fitted)):
        if not isinstance(section, Mapping):
            raise StarnetError(f"recipe {path}: {key} must be a section of names and values")
    _known(path, parameters, [field.name for field in fields(config_type)], "parameter")
    try:
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in parameters.items()}
        config = config_type(**values)
    except ValueError as error:
        raise StarnetError(f"recipe {path}: {error}") from error
    return config, fitted or None


def _known(path: Path, section: Mapping[str, Any], names: list[str], what: str) -> None:
    for name in section:
        if name not in names:
            raise StarnetError(f"recipe {path}: there is no {what} {name!r}; there are {', '.join(names)}")
