"""Dataclasses from YAML and back: every key is known, and every value of its type."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml

from starnet.errors import StarnetError

T = TypeVar("T")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises
    ------
    StarnetError
        If it cannot be read, or holds none.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise StarnetError(f"{path} cannot be read ({error.strerror}): give a training's YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StarnetError(f"{path} is not YAML: give a file like those of configs/train") from error
    if not isinstance(content, dict):
        raise StarnetError(f"{path} holds no keys: give a file like those of configs/train")
    return content


def override(content: dict[str, Any], settings: Sequence[str]) -> None:
    """Change keys in place, each written as ``section.key=value`` with a value in YAML.

    Raises
    ------
    StarnetError
        If a setting is not written so, or leads through a value.
    """
    for setting in settings:
        name, equals, text = setting.partition("=")
        keys = name.split(".")
        if not equals or not all(keys):
            raise StarnetError(f"--set {setting} is no setting: write it as section.key=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise StarnetError(f"--set {setting}: {text!r} is no value in YAML") from error
        section = content
        for key in keys[:-1]:
            if section.get(key) is None:
                section[key] = {}
            section = section[key]
            if not isinstance(section, dict):
                raise StarnetError(f"--set {setting}: {key} is a value, not a section")
        section[keys[-1]] = value


def from_mapping(kind: type[T], content: Mapping[str, Any], source: str) -> T:
    """A dataclass from a mapping, its sections likewise.

    Parameters
    ----------
    kind : type
        A dataclass whose ``__post_init__`` raises ValueError where a value is out of its range.
    content : mapping
        Keys that are its fields.
    source : str
        What messages call the mapping: its file.

    Raises
    ------
    StarnetError
        If a key is unknown or missing, or a value of the wrong type or out of its range.
    """
    return typing.cast(T, _section(kind, content, source, ""))


def as_mapping(value: Any) -> Any:
    """The inverse of `from_mapping`, of what YAML and JSON hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_mapping(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: as_mapping(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [as_mapping(one) for one in value]
    return value


def difference(one: Any, other: Any, where: str = "") -> str | None:
    """The first key in which two mappings differ, as ``section.key``."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            if found := difference(one.get(key), other.get(key), f"{where}.{key}" if where else str(key)):
                return found
        return None
    return where if one != other else None


def _section(kind: Any, content: Any, source: str, where: str) -> Any:
    if not isinstance(content, Mapping):
        raise StarnetError(f"{source}: {where or 'it'} must hold keys, not {content!r}")
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    for key in content:
        if key not in names:
            raise StarnetError(f"{source}: there is no key {where}{key}; choose from {', '.join(names)}")
    values = {key: _value(hints[key], value, source, f"{where}{key}") for key, value in content.items()}
    try:
        return kind(**values)
    except TypeError as error:
        missing = [f.name for f in dataclasses.fields(kind) if f.name not in values and _needed(f)]
        raise StarnetError(f"{source} has no {where}{missing[0] if missing else error}: add it") from error
    except ValueError as error:
        raise StarnetError(f"{source}: {where}{error}") from error


def _needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _value(hint: Any, value: Any, source: str, where: str) -> Any:
    """The value as its field has it; ints where floats are wanted, lists where tuples are."""
    origin, arguments = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _section(hint, {} if value is None else value, source, f"{where}.")
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        kinds = [one for one in arguments if one is not type(None)]
        fitting = [one for one in kinds if isinstance(value, get_origin(one) or one)]
        return _value((fitting or kinds)[0], value, source, where)
    if origin is Literal:
        if value in arguments:
            return value
        raise StarnetError(f"{source}: {where}={value!r} is unknown; choose {', '.join(map(str, arguments))}")
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is not Ellipsis and len(arguments) != len(value):
            raise StarnetError(f"{source}: {where}={value!r} must be {len(arguments)} values")
        return tuple(_value(arguments[0], one, source, where) for one in value)
    if hint is Any or (origin is not None and issubclass(origin, Mapping) and isinstance(value, Mapping)):
        return value
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        # YAML 1.1 takes 1e-3 for a word.
        try:
            return float(value)
        except ValueError:
            pass
    if isinstance(hint, type) and isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    names = {float: "a number", int: "a whole number", bool: "true or false", str: "a word"}
    raise StarnetError(f"{source}: {where}={value!r} must be {names.get(hint, 'a list of values')}")
