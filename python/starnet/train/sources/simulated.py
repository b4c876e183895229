"""Samples of simulated skies, made when they are asked for."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import starnet
from starnet.atomic import replacing
from starnet.errors import StarnetError
from starnet.evaluate.metrics import LEAST_AREA, LEAST_SNR
from starnet.mosaic import ArrayMosaic
from starnet.recipe import Preprocessed, Recipe
from starnet.simulate import Field, Preset, load_preset, to_yaml
from starnet.splits import SimulatedSplit
from starnet.train.samples import LANES, Bools, Float32, Int32, Sample, drawn_box
from starnet.train.sources.rendering import CHANNELS, rendered
from starnet.train.sources.spikes import without_spikes

#: Changes with the rules of `Scene.of`: fields that were kept by others are not taken.
_RULES = 2
#: Fields of a preset alone have seeds from here on: those of splits are smaller.
_FIRST_SEED = 1 << 32


@dataclass(frozen=True)
class Scene:
    """A preprocessed field: as `starnet.train.samples.Sample`, of any shape."""

    image: Float32
    labels: Int32
    ignore: Bools

    @classmethod
    def of(cls, shown: Preprocessed, labels: Int32, rows: NDArray[np.void]) -> Scene:
        """From what a recipe shows of simulated sources, whose a pixel is, and what they are.

        Parameters
        ----------
        shown : Preprocessed
            All of the field.
        labels, rows
            As of `without_spikes`, with ``snr`` in the rows.
        """
        labels = without_spikes(labels, rows)
        found, place, pixels = np.unique(labels, return_inverse=True, return_counts=True)
        sure = np.isin(found, rows["label"][rows["snr"] >= LEAST_SNR]) & (pixels >= LEAST_AREA)
        unsure = (found > 0) & ~sure
        place = place.reshape(labels.shape)
        numbers = np.where(sure, np.cumsum(sure), 0).astype(np.int32)
        return cls(shown.image, numbers[place], unsure[place] | ~shown.valid.any(axis=0))


@dataclass(frozen=True)
class Simulated:
    """Crops of simulated fields, to each of which a recipe is fitted.

    The true objects are those of the simulation; those that the judge does not count, of an S/N or of pixels below 5,
    are ignored, as is what no band has covered. Artefacts and the spikes of stars are sky.

    Attributes
    ----------
    preset : Preset
        The survey, with the bands that are wanted.
    size : tuple of int
        ``(ny, nx)`` of a field in pixels.
    seeds : tuple of int
        Of the fields, which are taken in a random order, over and over; empty for ever new ones.
    recipe : str
        Name of a recipe, or a YAML file with its parameters.
    crops_per_field : int
        Samples in a row that are cut from one field.
    stamps : Path, optional
        Real galaxies to paint with; see `starnet.simulate.Field`.
    picture : bool
        Fields become colour pictures of 8 bits first, see `rendered`; what is true of them stays.
    cache : Path, optional
        Folder where preprocessed fields are kept, in float16. Several trainings may share it.
    cache_bytes : int
        Size of that folder at which no more is put there.
    """

    preset: Preset
    size: tuple[int, int] = (1024, 1024)
    seeds: tuple[int, ...] = ()
    recipe: str = "noise"
    crops_per_field: int = 8
    stamps: Path | None = None
    picture: bool = False
    cache: Path | None = None
    cache_bytes: int = 20 << 30
    _held: OrderedDict[int, Scene] = field(default_factory=OrderedDict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.crops_per_field < 1 or min(self.size) < 1:
            raise ValueError("crops_per_field and the size of a field must be 1 or more")
        if "fitted" in Recipe.identity(self.recipe):
            raise StarnetError(
                f"recipe {self.recipe} was fitted to a mosaic: delete its 'fitted' section, each field is fitted anew"
            )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_held": OrderedDict()}

    @property
    def bands(self) -> tuple[str, ...]:
        """Those of the preset, or the channels of a picture."""
        return CHANNELS if self.picture else tuple(band.name for band in self.preset.bands)

    def field_seed(self, index: int, seed: int) -> int:
        """Seed of the field that a sample is cut from."""
        number = index // self.crops_per_field
        if not self.seeds:
            return int(np.random.default_rng([seed, number]).integers(_FIRST_SEED, 1 << 63))
        epoch, place = divmod(number, len(self.seeds))
        return self.seeds[int(_order(seed, epoch, len(self.seeds))[place])]

    def sample(self, index: int, size: int, seed: int) -> Sample:
        """See `Source.sample`."""
        scene = self._scene(self.field_seed(index, seed))
        rng = np.random.default_rng([seed, index])
        here = drawn_box(rng, self.size, size, lambda box: bool(scene.ignore[box.slices].mean() <= 0.5)).slices
        return Sample.of(scene.image[:, *here], scene.labels[here], scene.ignore[here], size)

    def _scene(self, seed: int) -> Scene:
        if seed in self._held:
            self._held.move_to_end(seed)
            return self._held[seed]
        if self.cache is None:
            scene = self._make(seed)
        else:
            path = self.cache / f"{self._identity}-{seed}.npz"
            kept = _read(path) or _halved(self._make(seed))
            if not path.exists():
                self._keep(path, kept)
            scene = Scene(kept["image"].astype(np.float32), kept["labels"], kept["ignore"])
        self._held[seed] = scene
        if len(self._held) > LANES:
            self._held.popitem(last=False)
        return scene

    def _make(self, seed: int) -> Scene:
        sky = Field(self.preset, self.size, seed, self.stamps)
        window, truth = sky.window_and_truth(sky.whole)
        shown = self._shown(ArrayMosaic(window.images, window.weights))
        scene = Scene.of(shown, window.labels, truth.rows)
        if not self.picture:
            return scene
        picture = rendered(shown.snr, np.random.default_rng(seed))
        return replace(scene, image=self._shown(ArrayMosaic(picture)).image)

    def _shown(self, mosaic: ArrayMosaic) -> Preprocessed:
        return Recipe.fit(mosaic, self.recipe).apply(mosaic, mosaic.whole)

    @cached_property
    def _identity(self) -> str:
        """Of all that decides a field but its seed."""
        recipe = Recipe.identity(self.recipe)
        stamps = None if self.stamps is None else str(self.stamps.resolve())
        content = [_RULES, starnet.__version__, to_yaml(self.preset), self.size, recipe, stamps, self.picture]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def _keep(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = sum(array.nbytes for array in arrays.values())
        if size + sum(one.stat().st_size for one in path.parent.glob("*.npz")) > self.cache_bytes:
            return
        # Processes may keep the same field at once: each writes a file of its own.
        own = path.with_suffix(f".{os.getpid()}")
        with replacing(own) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        own.replace(path)


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order of the fields in one round."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def _halved(scene: Scene) -> dict[str, NDArray[Any]]:
    return {"image": scene.image.astype(np.float16), "labels": scene.labels, "ignore": scene.ignore}


def _read(path: Path) -> dict[str, NDArray[Any]] | None:
    """A field that was kept; None if there is none, or it is damaged and has to be made again."""
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in ("image", "labels", "ignore")}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        path.unlink(missing_ok=True)
        return None


def choose_bands(preset: Preset, bands: tuple[str, ...] | int) -> Preset:
    """The preset with some of its bands: these, or its first so many; all of them for ``()``.

    Raises
    ------
    StarnetError
        If it has not so many, or not these.
    """
    if isinstance(bands, int):
        if not 1 <= bands <= len(preset.bands):
            raise StarnetError(f"the preset {preset.name} has {len(preset.bands)} bands: ask for 1 to so many")
        bands = tuple(band.name for band in preset.bands[:bands])
    return preset.select(bands) if bands else preset


def of_split(split: SimulatedSplit, part: str, **more: Any) -> Simulated:
    """The fields of a part of a split.

    Raises
    ------
    StarnetError
        If there are none.
    """
    if not split.parts.get(part):
        raise StarnetError(f"the split has no fields to {part}: name one of {', '.join(split.parts)}")
    preset = choose_bands(load_preset(split.preset), more.pop("bands", ()) or split.bands)
    return Simulated(preset, split.size, split.parts[part], **more)
