"""Sources as a training's YAML file writes them: mappings whose every key is known."""

from __future__ import annotations

import collections.abc
import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from starnet.errors import StarnetError
from starnet.io.companions import Source as Input
from starnet.mosaic import Weights
from starnet.recipe.parameters import RECIPES
from starnet.simulate import PRESETS, load_preset
from starnet.splits import PARTS, AreaSplit, SimulatedSplit, load_split
from starnet.train.samples import Source
from starnet.train.sources.injected import of_mosaic
from starnet.train.sources.maps import located, of_images, of_run
from starnet.train.sources.mixture import several
from starnet.train.sources.simulated import Simulated, choose_bands, of_split


@dataclass(frozen=True)
class SimulatedChoice:
    """``kind: simulated``: fields that are made when they are asked for; see `Simulated`.

    Parameters
    ----------
    preset : str, optional
        Survey, or the YAML file of one: ever new fields of it.
    split, part : str, optional
        A file of fields by seed (`starnet.splits`) instead, and the part of it.
    bands : int or tuple of str
        So many, or those of these names; all without.
    pixel_scale : float, optional
        Of the mosaic, in arcsec; the preset's own without.
    field : int
        Side of a preset's field in pixels.
    recipe, crops_per_field, stamps, picture, cache
        As in `Simulated`.
    cache_gb : float
        Size at which the cache is full.
    weight : float
        Share of the samples, beside other sources.
    """

    preset: str | None = None
    split: str | None = None
    part: str | None = None
    bands: int | tuple[str, ...] = ()
    pixel_scale: float | None = None
    field: int = 1024
    recipe: str = "noise"
    crops_per_field: int = 8
    stamps: str | None = None
    picture: bool = False
    cache: str | None = None
    cache_gb: float = 20.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        if (self.preset is None) == (self.split is None):
            raise ValueError("name either a preset or a split")
        if (self.split is None) != (self.part is None):
            raise ValueError("split and part belong together: name both, or none")
        if self.split is not None and self.pixel_scale is not None:
            raise ValueError("pixel_scale is that of a preset: leave it out, the fields of a split have theirs")
        _check_part(self.part)
        _positive(self, "field", "crops_per_field", "cache_gb", "weight")
        if self.pixel_scale is not None:
            _positive(self, "pixel_scale")

    def load(self, base: Path | None) -> Source:
        """The source."""
        more: dict[str, Any] = {
            "recipe": _known_or_path(base, self.recipe, RECIPES),
            "crops_per_field": self.crops_per_field,
            "stamps": _path(base, self.stamps),
            "picture": self.picture,
            "cache": _path(base, self.cache),
            "cache_bytes": round(self.cache_gb * 1e9),
        }
        if self.preset is not None:
            preset = choose_bands(load_preset(_known_or_path(base, self.preset, PRESETS)), self.bands)
            if self.pixel_scale is not None:
                preset = replace(preset, pixel_scale=self.pixel_scale)
            return Simulated(preset, (self.field, self.field), **more)
        path = located(base, str(self.split))
        split = load_split(path)
        if not isinstance(split, SimulatedSplit):
            raise StarnetError(f"{path} splits a map by area: give one of simulated fields, or images and labels")
        return of_split(split, str(self.part), bands=self.bands, **more)


@dataclass(frozen=True, kw_only=True)
class _Squares:
    """Keys of all sources that are maps.

    Parameters
    ----------
    part : str, optional
        Crops lie in its squares only; in the whole map without.
    split : str, optional
        File of the squares (`starnet.splits`); drawn, the same at each time, without.
    square, split_seed : int
        Side of the squares that are drawn, and the seed.
    weight : float
        Share of the samples, beside other sources.
    """

    part: str | None = None
    split: str | None = None
    square: int = 512
    split_seed: int = 1
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.part is None and self.split is not None:
            raise ValueError("a split needs a part: name the one to learn from")
        _check_part(self.part)
        _positive(self, "square", "weight")

    def area(self, base: Path | None, shape: tuple[int, int]) -> dict[str, Any]:
        """Split and part of a map."""
        if self.part is None:
            return {}
        if self.split is None:
            return {"split": AreaSplit.draw(shape, square=self.square, seed=self.split_seed), "part": self.part}
        path = located(base, self.split)
        split = load_split(path)
        if not isinstance(split, AreaSplit):
            raise StarnetError(f"{path} splits simulated fields: give one of squares of a map (kind: area)")
        return {"split": split, "part": self.part}


@dataclass(frozen=True, kw_only=True)
class ImagesChoice(_Squares):
    """``kind: images``: images with a label map; parameters as of `of_images`, and those of all maps."""

    images: tuple[str, ...]
    labels: str
    weights: str | tuple[str, ...] | None = None
    instrument: str | None = None
    table: str | None = None
    recipe: str = "noise"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_images(self.images, self.weights)

    def load(self, base: Path | None) -> Source:
        """The source."""
        return _map(
            self,
            base,
            [located(base, one) for one in self.images],
            located(base, self.labels),
            self.recipe,
            weights=_weights(base, self.weights),
            instrument=self.instrument,
            table=None if self.table is None else located(base, self.table),
        )


@dataclass(frozen=True, kw_only=True)
class CocoChoice(_Squares):
    """``kind: coco``: images with masks as COCO's JSON; keys of all maps, and these.

    Parameters
    ----------
    annotations : str
        The file; ``FILE[IMAGE]`` for one of its images.
    images : str or tuple of str
        Folder of all images that the file names; or the bands of the one image.
    recipe : str
        Name, or YAML file; fitted to each image.
    """

    annotations: str
    images: str | tuple[str, ...]
    recipe: str = "noise"

    def load(self, base: Path | None) -> Source:
        """The source."""
        masks = located(base, self.annotations)
        if not isinstance(self.images, str):
            return _map(self, base, [located(base, one) for one in self.images], masks, self.recipe)
        folder = Path(located(base, self.images))
        names = [(masks, Input.parse(masks).hdu)] if Input.parse(masks).hdu else _images_of(Path(masks))
        return several([_map(self, base, [folder / str(name)], one, self.recipe) for one, name in names])


@dataclass(frozen=True, kw_only=True)
class RunChoice(_Squares):
    """``kind: run``: a run directory, with its own label map or a corrected one; see `of_run`."""

    run: str
    labels: str | None = None

    def load(self, base: Path | None) -> Source:
        """The source."""
        labels = None if self.labels is None else located(base, self.labels)
        source = of_run(Path(located(base, self.run)), labels=labels)
        return source.within(**self.area(base, source.mosaic.shape))


@dataclass(frozen=True, kw_only=True)
class InjectedChoice(_Squares):
    """``kind: injected``: simulated sources in real images; parameters as of `of_mosaic`, those of all maps, and these.

    Parameters
    ----------
    field : int
        Side of the squares that sources are painted into, in pixels.
    crops_per_field, stamps
        As in `Injected`.
    """

    images: tuple[str, ...]
    weights: str | tuple[str, ...] | None = None
    instrument: str | None = None
    labels: str | None = None
    recipe: str = "noise"
    preset: str | None = None
    pixel_scale: float | None = None
    zero_points: Mapping[str, float] = dataclasses.field(default_factory=dict)
    psf: Mapping[str, str] = dataclasses.field(default_factory=dict)
    field: int = 512
    crops_per_field: int = 4
    stamps: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_images(self.images, self.weights)
        _positive(self, "field", "crops_per_field")

    def load(self, base: Path | None) -> Source:
        """The source."""
        source = of_mosaic(
            [located(base, one) for one in self.images],
            weights=_weights(base, self.weights),
            instrument=self.instrument,
            labels=None if self.labels is None else located(base, self.labels),
            recipe=_known_or_path(base, self.recipe, RECIPES),
            preset=None if self.preset is None else _known_or_path(base, self.preset, PRESETS),
            pixel_scale=self.pixel_scale,
            zero_points=self.zero_points,
            psf={band: located(base, one) for band, one in self.psf.items()},
            side=self.field,
            crops_per_field=self.crops_per_field,
            stamps=_path(base, self.stamps),
        )
        return source.within(**self.area(base, source.target.mosaic.shape))


_Choice = SimulatedChoice | ImagesChoice | CocoChoice | RunChoice | InjectedChoice
KINDS: dict[str, type[_Choice]] = {
    "simulated": SimulatedChoice,
    "run": RunChoice,
    "images": ImagesChoice,
    "coco": CocoChoice,
    "injected": InjectedChoice,
}


def read_choice(mapping: Mapping[str, Any]) -> _Choice:
    """What a mapping asks for, before any file is opened.

    Raises
    ------
    ValueError
        If its kind or a key is unknown, a key is missing, or a value is of the wrong type or out of its range.
    """
    kind = mapping.get("kind")
    if kind not in KINDS:
        raise ValueError(f"a source of the kind {kind!r} is unknown; choose {', '.join(KINDS)}")
    choice = KINDS[kind]
    hints = typing.get_type_hints(choice)
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        if key == "kind":
            continue
        if key not in hints:
            raise ValueError(f"a source of the kind {kind} has no key {key!r}; choose from {', '.join(hints)}")
        plain = tuple(value) if isinstance(value, list) else value
        if not _fits(plain, hints[key]):
            raise ValueError(f"{key}={value!r} of a source of the kind {kind} is of the wrong type")
        values[key] = plain
    for one in fields(choice):
        if one.default is MISSING and one.default_factory is MISSING and one.name not in values:
            raise ValueError(f"a source of the kind {kind} needs the key {one.name!r}")
    return choice(**values)


def load_source(mapping: Mapping[str, Any], *, base: Path | None = None) -> Source:
    """Open a source.

    Parameters
    ----------
    mapping : mapping
        ``kind``, and the keys of one of `SimulatedChoice`, `ImagesChoice`, `CocoChoice`, `RunChoice` and
        `InjectedChoice`.
    base : Path, optional
        Folder that relative paths begin in; the current one by default.

    Raises
    ------
    ValueError
        As `read_choice`.
    StarnetError
        If a file cannot be used.
    """
    return read_choice(mapping).load(base)


def load_sources(mappings: Sequence[Mapping[str, Any]], *, base: Path | None = None, pictures: bool = False) -> Source:
    """Open several as one, each with its ``weight``; `pictures` as of `Several`, all else as of `load_source`."""
    choices = [read_choice(mapping) for mapping in mappings]
    return several([one.load(base) for one in choices], [one.weight for one in choices], pictures=pictures)


def _map(
    choice: _Squares, base: Path | None, images: Sequence[str | Path], labels: str, recipe: str, **more: Any
) -> Source:
    source = of_images(images, labels, recipe=_known_or_path(base, recipe, RECIPES), **more)
    return source.within(**choice.area(base, source.mosaic.shape))


def _images_of(path: Path) -> list[tuple[str, str]]:
    """Masks of each image of a file, and the image's file."""
    try:
        images = json.loads(path.read_text(encoding="utf-8"))["images"]
        names = [str(one["file_name"]) for one in images]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StarnetError(
            f"{path} names no images: give a COCO file with `images` and their `file_name`, or the bands of one image"
        ) from error
    if not names:
        raise StarnetError(f"{path} has no images: give a COCO file with some")
    return [(f"{path}[{name}]", name) for name in names]


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value has a type; whole numbers are numbers, and True is none of them."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is collections.abc.Mapping:
        return isinstance(value, Mapping) and all(
            isinstance(name, str) and _fits(one, arguments[1]) for name, one in value.items()
        )
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(one, arguments[0]) for one in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _positive(choice: Any, *names: str) -> None:
    for name in names:
        if not getattr(choice, name) > 0:
            raise ValueError(f"{name}={getattr(choice, name)}: must be more than 0")


def _check_part(part: str | None) -> None:
    if part is not None and part not in PARTS:
        raise ValueError(f"part={part!r} is unknown; choose {', '.join(PARTS)}")


def _check_images(images: tuple[str, ...], weights: str | tuple[str, ...] | None) -> None:
    if not images:
        raise ValueError("images is empty: name a file for each band")
    if isinstance(weights, str) and weights != "none":
        raise ValueError(f"weights={weights!r}: must be none, or a list of files")


def _weights(base: Path | None, weights: str | tuple[str, ...] | None) -> Weights:
    if isinstance(weights, tuple):
        return [located(base, one) for one in weights]
    return None if weights is None else "none"


def _path(base: Path | None, text: str | None) -> Path | None:
    return None if text is None else Path(located(base, text))


def _known_or_path(base: Path | None, text: str, known: Mapping[str, Any]) -> str:
    return text if text in known else located(base, text)
