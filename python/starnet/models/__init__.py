"""Segmentation engines, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starnet.errors import StarnetError
from starnet.models.base import Maps, Model, Splitter
from starnet.models.classical import Classical

__all__ = ["MODELS", "Maps", "Model", "Splitter", "get_model"]

MODELS: dict[str, Callable[..., Model]] = {"classical": Classical}


def get_model(name: str, **parameters: Any) -> Model:
    """The engine of this name.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    **parameters
        The engine's parameters; its defaults where left out.

    Raises
    ------
    StarnetError
        If there is no such engine, or it does not take a parameter or its value.
    """
    if name not in MODELS:
        raise StarnetError(f"model {name!r} is unknown: choose one of {', '.join(MODELS)}")
    try:
        return MODELS[name](**parameters)
    except (TypeError, ValueError) as error:
        raise StarnetError(f"model {name}: {error}") from error
