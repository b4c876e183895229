"""Simulated skies with exact truth."""

from starnet.simulate.artefacts import without_artefacts
from starnet.simulate.field import Field, Truth, Window
from starnet.simulate.presets import PRESETS, Band, Preset, load_preset
from starnet.simulate.writing import SimulateResult, survey, to_yaml, write

__all__ = [
    "PRESETS",
    "Band",
    "Field",
    "Preset",
    "SimulateResult",
    "Truth",
    "Window",
    "load_preset",
    "survey",
    "to_yaml",
    "without_artefacts",
    "write",
]
