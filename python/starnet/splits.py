"""Splits: which part of the sky trains, tunes and tests, in files: nothing is judged by what it was fitted to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from starnet.atomic import replacing
from starnet.errors import StarnetError
from starnet.tiles import Box

#: What the parts are for: a network's weights, its progress, the settings of any method, the final figures.
PARTS = ("train", "validation", "tune", "test")
#: Shares of the squares of a map.
SHARES = {"train": 0.5, "validation": 0.1, "tune": 0.2, "test": 0.2}


@dataclass(frozen=True)
class SimulatedSplit:
    """Simulated fields, each known by its seed.

    Attributes
    ----------
    preset : str
        Survey, or the YAML file of one.
    size : tuple of int
        ``(ny, nx)`` of a field in pixels.
    parts : mapping
        Seeds of the fields, by part.
    bands : tuple of str
        Those of the preset, in this order; empty for all.
    """

    preset: str
    size: tuple[int, int]
    parts: Mapping[str, tuple[int, ...]]
    bands: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_parts(self.parts)
        seeds: dict[int, str] = {}
        for part, own in self.parts.items():
            for seed in own:
                if seed in seeds:
                    raise ValueError(f"the seed {seed} is in {seeds[seed]} and again in {part}")
                seeds[seed] = part

    def document(self) -> dict[str, Any]:
        """What the file holds."""
        return {
            "kind": "simulated",
            "preset": self.preset,
            **({"bands": list(self.bands)} if self.bands else {}),
            "size": list(self.size),
            "parts": {part: _as_ranges(seeds) for part, seeds in self.parts.items()},
        }


@dataclass(frozen=True)
class AreaSplit:
    """Squares of one map.

    Attributes
    ----------
    shape : tuple of int
        ``(ny, nx)`` of the map.
    parts : mapping
        Boxes, by part.
    square, seed : int
        Side and random numbers with which `draw` made it; 0 for boxes chosen otherwise.
    """

    shape: tuple[int, int]
    parts: Mapping[str, tuple[Box, ...]]
    square: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        _check_parts(self.parts)
        named = [(part, box) for part, own in self.parts.items() for box in own]
        corners = np.array([(b.y0, b.y1, b.x0, b.x1) for _, b in named]).reshape(-1, 4)
        for i, (part, box) in enumerate(named):
            if not box.size or box.clip(self.shape) != box:
                raise ValueError(f"{_corners(box)} of {part} lies outside {self.shape[1]} x {self.shape[0]} pixels")
            y0, y1, x0, x1 = corners[:i].T
            meet = (y0 < box.y1) & (y1 > box.y0) & (x0 < box.x1) & (x1 > box.x0)
            if meet.any():
                other, earlier = named[int(meet.argmax())]
                raise ValueError(f"{_corners(earlier)} of {other} and {_corners(box)} of {part} overlap")

    @classmethod
    def draw(
        cls, shape: tuple[int, int], *, square: int = 512, seed: int = 1, shares: Mapping[str, float] = SHARES
    ) -> AreaSplit:
        """Cut a map into squares, and hand them out at random.

        Parameters
        ----------
        shape : tuple of int
            ``(ny, nx)`` of the map.
        square : int
            Side in pixels; a little more or less, so that the map is used up.
        seed : int
            Of the random numbers.
        shares : mapping
            Part of the squares that each part gets, at least one.

        Raises
        ------
        StarnetError
            If there are fewer squares than parts.
        """
        counts = [max(1, round(length / square)) for length in shape]
        edges = [[i * length // count for i in range(count + 1)] for length, count in zip(shape, counts, strict=True)]
        boxes = [Box(*edges[0][i : i + 2], *edges[1][j : j + 2]) for i in range(counts[0]) for j in range(counts[1])]
        if len(boxes) < len(shares):
            raise StarnetError(
                f"{shape[1]} x {shape[0]} pixels are {len(boxes)} squares of {square}, too few for {len(shares)} "
                "parts: give a smaller --square"
            )
        bounds = _bounds(len(boxes), list(shares.values()))
        order = np.random.default_rng(seed).permutation(len(boxes)).tolist()
        parts = {
            part: tuple(boxes[i] for i in sorted(order[first:last]))
            for part, first, last in zip(shares, bounds, bounds[1:], strict=False)
        }
        return cls(shape, parts, square, seed)

    def document(self) -> dict[str, Any]:
        """What the file holds."""
        return {
            "kind": "area",
            "shape": list(self.shape),
            "square": self.square,
            "seed": self.seed,
            "parts": {part: [[b.y0, b.y1, b.x0, b.x1] for b in boxes] for part, boxes in self.parts.items()},
        }


Split = SimulatedSplit | AreaSplit


def save_split(split: Split, path: str | Path) -> None:
    """Write a split as YAML, boxes as ``[y0, y1, x0, x1]``."""
    with replacing(path) as partial:
        text = yaml.safe_dump(split.document(), sort_keys=False, default_flow_style=None, width=100)
        partial.write_text(text, encoding="utf-8")


def load_split(path: str | Path) -> Split:
    """Read a split.

    Raises
    ------
    StarnetError
        If the file is missing or malformed, or its parts overlap.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StarnetError(
            f"the split {path} cannot be read ({error.strerror}): give one, or make one with --make-split"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StarnetError(f"{path} is not YAML: give a split, as --make-split writes it") from error
    if not isinstance(content, dict) or content.get("kind") not in _READERS:
        raise StarnetError(f"{path} is no split: write `kind: simulated` or `kind: area`")
    keys = _Keys(content)
    try:
        split = _READERS[content["kind"]](keys)
    except KeyError as error:
        raise StarnetError(f"{path} has no {error.args[0]!r}: add it") from error
    except (TypeError, ValueError) as error:
        raise StarnetError(f"{path}: {error}") from error
    if unknown := [key for key in content if key not in keys.read]:
        raise StarnetError(f"{path} has {unknown[0]!r}, which a split of this kind has not: take it out")
    return split


@dataclass
class _Keys:
    """A document that remembers which of its keys were asked for."""

    content: dict[str, Any]
    read: set[str] = field(default_factory=lambda: {"kind"})

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return self.content[key]

    def get(self, key: str, default: Any) -> Any:
        self.read.add(key)
        return self.content.get(key, default)

    def parts(self) -> dict[str, list[Any]]:
        parts = self["parts"]
        if not isinstance(parts, dict) or not all(isinstance(own, list) for own in parts.values()):
            raise ValueError("`parts` must be lists, by the name of the part")
        return parts


def _read_simulated(keys: _Keys) -> Split:
    parts = {part: tuple(seed for entry in own for seed in _seeds(entry)) for part, own in keys.parts().items()}
    bands = tuple(str(band) for band in keys.get("bands", ()))
    return SimulatedSplit(str(keys["preset"]), _pair(keys["size"], "size"), parts, bands)


def _read_area(keys: _Keys) -> Split:
    parts = {part: tuple(_box(entry) for entry in own) for part, own in keys.parts().items()}
    shape = _pair(keys["shape"], "shape")
    return AreaSplit(shape, parts, int(keys.get("square", 0)), int(keys.get("seed", 0)))


_READERS: dict[str, Callable[[_Keys], Split]] = {"simulated": _read_simulated, "area": _read_area}


def _check_parts(parts: Mapping[str, tuple[Any, ...]]) -> None:
    for part in parts:
        if part not in PARTS:
            raise ValueError(f"there is no part {part!r}: choose from {', '.join(PARTS)}")


def _pair(value: Any, name: str) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(v, int) and v > 0 for v in value):
        return value[0], value[1]
    raise ValueError(f"`{name}` must be [ny, nx] in pixels, not {value!r}")


def _seeds(entry: Any) -> range:
    """A seed, or a range of them as ``100-199``."""
    if isinstance(entry, int) and entry >= 0:
        return range(entry, entry + 1)
    if isinstance(entry, str) and (found := re.fullmatch(r"(\d+)-(\d+)", entry)) and int(found[1]) <= int(found[2]):
        return range(int(found[1]), int(found[2]) + 1)
    raise ValueError(f"{entry!r} is no seed: write a number, or a range as 100-199")


def _as_ranges(seeds: tuple[int, ...]) -> list[int | str]:
    entries: list[int | str] = []
    start = 0
    for end in range(1, len(seeds) + 1):
        if end == len(seeds) or seeds[end] != seeds[end - 1] + 1:
            entries += [f"{seeds[start]}-{seeds[end - 1]}"] if end - start > 2 else list(seeds[start:end])
            start = end
    return entries


def _box(entry: Any) -> Box:
    if isinstance(entry, list) and len(entry) == 4 and all(isinstance(v, int) for v in entry):
        return Box(*entry)
    raise ValueError(f"{entry!r} is no box: write [y0, y1, x0, x1]")


def _corners(box: Box) -> str:
    return f"[{box.y0}, {box.y1}, {box.x0}, {box.x1}]"


def _bounds(count: int, shares: list[float]) -> list[int]:
    """Where each part begins and ends, none of them empty."""
    ends = [0]
    for i, end in enumerate(np.rint(np.cumsum(shares) / sum(shares) * count).astype(int).tolist(), 1):
        ends.append(min(max(end, ends[-1] + 1), count - (len(shares) - i)))
    return ends
