"""Which augmentations there are, and their parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Chance:
    """Something that happens to a sample now and then.

    Parameters
    ----------
    probability : float
        How often, 0 to 1.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise ValueError(f"{field.name}={value!r}: must be a number, 0 or more")
        for name in ("probability", "part", "white"):
            if getattr(self, name, 0) > 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be within 0 to 1")


@dataclass(frozen=True)
class Rotation(Chance):
    """By an angle of up to `degrees` either way, around the middle."""

    probability: float = 1.0
    degrees: float = 30.0


@dataclass(frozen=True)
class Scale(Chance):
    """Larger or smaller by up to `part`, 0.1 for 10 %; surface brightness is kept."""

    probability: float = 1.0
    part: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.part >= 1:
            raise ValueError(f"part={self.part}: must be less than 1")


@dataclass(frozen=True)
class Shift(Chance):
    """By up to `part` of the sample's side, in x and in y."""

    probability: float = 1.0
    part: float = 0.1


@dataclass(frozen=True)
class Crop(Chance):
    """A square anywhere in the sample, of `part` of its side, down to a multiple of 32; of all samples, or of none."""

    probability: float = 1.0
    part: float = 0.875

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.probability not in (0, 1):
            raise ValueError(f"probability={self.probability}: all samples are cropped, or none; set 1 or 0")


@dataclass(frozen=True)
class Gamma(Chance):
    """The shown image, 0 to 1, to a power between ``1 - change`` and ``1 + change``."""

    change: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.change >= 1:
            raise ValueError(f"change={self.change}: must be less than 1")


@dataclass(frozen=True)
class Brightness(Chance):
    """Up to `change` more or less of the shown image, 0 to 1."""

    change: float = 0.2


@dataclass(frozen=True)
class CoarseDropout(Chance):
    """Up to `holes` squares of up to `part` of the side without data."""

    holes: int = 8
    part: float = 0.1


@dataclass(frozen=True)
class Noise(Chance):
    """Noise of up to `sigma` times what is there, of each band by itself.

    It is white in a part `white` of all samples, else smoothed by a Gaussian of up to `correlation` pixels.
    """

    sigma: float = 0.5
    white: float = 0.5
    correlation: float = 1.0


@dataclass(frozen=True)
class Depth(Chance):
    """Shallower by up to `magnitudes`, all bands alike."""

    magnitudes: float = 0.75


@dataclass(frozen=True)
class Blur(Chance):
    """A PSF smoothed by a Gaussian of up to `sigma` pixels, all bands alike."""

    sigma: float = 1.0


@dataclass(frozen=True)
class Background(Chance):
    """A sky left over, of each band: up to `level` sigmas either way, and a plane of up to `slope` at the borders."""

    level: float = 0.2
    slope: float = 0.2


@dataclass(frozen=True)
class HotPixels(Chance):
    """Up to `pixels` single pixels of the sky, 5 to `height` sigma high: in one band or, half the time, in all."""

    pixels: int = 8
    height: float = 20_000.0


@dataclass(frozen=True)
class BandDropout(Chance):
    """Bands without data: in so many samples, each band with the probability `part`; one is always kept."""

    probability: float = 0.3
    part: float = 0.3


@dataclass(frozen=True)
class AugmentationConfig:
    """Which augmentations there are, in the order in which they are done; None is off.

    Parameters
    ----------
    horizontal_flip, vertical_flip, rot90 : Chance, optional
        Mirrors, and a quarter turn or two or three.
    rotation, scale, shift : optional
        Done at once, with one interpolation.
    crop : Crop, optional
        Makes samples smaller.
    band_dropout : BandDropout, optional
        Bands without data.
    blur, depth, noise, background : optional
        In linear noise units, whose noise stays 1: see `starnet.train.sky`.
    hot_pixels : HotPixels, optional
        Single bright pixels, which are no objects.
    gamma, brightness : optional
        Of the image as it is shown, which does not keep noise units.
    coarse_dropout : CoarseDropout, optional
        Squares without data.
    """

    horizontal_flip: Chance | None = None
    vertical_flip: Chance | None = None
    rot90: Chance | None = None
    rotation: Rotation | None = None
    scale: Scale | None = None
    shift: Shift | None = None
    crop: Crop | None = None
    band_dropout: BandDropout | None = None
    blur: Blur | None = None
    depth: Depth | None = None
    noise: Noise | None = None
    background: Background | None = None
    hot_pixels: HotPixels | None = None
    gamma: Gamma | None = None
    brightness: Brightness | None = None
    coarse_dropout: CoarseDropout | None = None

    @property
    def active(self) -> list[str]:
        """Names of those that are on."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]


KINDS: dict[str, type[Chance]] = {
    "horizontal_flip": Chance, "vertical_flip": Chance, "rot90": Chance, "rotation": Rotation, "scale": Scale,
    "shift": Shift, "crop": Crop, "blur": Blur, "depth": Depth, "noise": Noise, "background": Background,
    "hot_pixels": HotPixels,
    "gamma": Gamma, "brightness": Brightness, "band_dropout": BandDropout, "coarse_dropout": CoarseDropout,
}  # fmt: skip

PRESETS: dict[str, dict[str, dict[str, float]]] = {
    # The published training's, and nothing else.
    "report": {
        name: {}
        for name in ("rotation", "horizontal_flip", "vertical_flip", "scale", "shift", "gamma", "brightness",
                     "coarse_dropout", "crop")
    },
    # The sky has no upright, and noise units mean something.
    "sky": {
        "horizontal_flip": {}, "rot90": {"probability": 0.75},
        "blur": {"probability": 0.3}, "depth": {"probability": 0.3},
        "noise": {"probability": 0.3}, "background": {"probability": 0.3}, "band_dropout": {"probability": 0.1},
    },
}  # fmt: skip


def config_from(mapping: Mapping[str, Any]) -> AugmentationConfig:
    """From YAML's ``augmentation:``; see `starnet.train.augment.Augmentation.from_mapping`."""
    chosen: dict[str, Any] = {}
    named = mapping.get("preset") or []
    for preset in [named] if isinstance(named, str) else named:
        if preset not in PRESETS:
            raise ValueError(f"augmentation.preset={preset!r} is unknown; choose from {', '.join(PRESETS)}")
        chosen |= PRESETS[preset]
    for name, parameters in mapping.items():
        if name == "preset":
            continue
        if name not in KINDS:
            raise ValueError(f"augmentation.{name} is unknown; choose from preset, {', '.join(KINDS)}")
        if isinstance(parameters, Mapping):
            # What a preset says and this does not stays.
            chosen[name] = {**(chosen.get(name) or {}), **parameters}
        elif parameters is True:
            chosen.setdefault(name, {})
        elif parameters is None or parameters is False:
            chosen.pop(name, None)
        else:
            raise ValueError(f"augmentation.{name}={parameters!r}: must hold parameters, or be true or false")
    return AugmentationConfig(**{name: _made(name, one) for name, one in chosen.items()})


def _made(name: str, parameters: Mapping[str, Any]) -> Any:
    kind = KINDS[name]
    known = [field.name for field in fields(kind)]
    for key in parameters:
        if key not in known:
            raise ValueError(f"augmentation.{name}.{key} is unknown; choose from {', '.join(known)}")
    try:
        return kind(**parameters)
    except ValueError as error:
        raise ValueError(f"augmentation.{name}.{error}") from error
