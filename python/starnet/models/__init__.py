"""Segmentation engines, by name or file."""

from __future__ import annotations

from starnet.masks import Decoded
from starnet.models.backend import Backend, Embedding
from starnet.models.base import Drawn, Engine, Mapper, Maps, Model, Splitter, Staged
from starnet.models.choice import DEFAULT_MODEL, MODELS, NetworkOptions, get_model, open_backend
from starnet.models.classical import Classical
from starnet.models.dense import Dense
from starnet.models.network_engine import NetworkEngine
from starnet.models.prompted import Prompted

__all__ = [
    "DEFAULT_MODEL",
    "MODELS",
    "Backend",
    "Classical",
    "Decoded",
    "Dense",
    "Drawn",
    "Embedding",
    "Engine",
    "Mapper",
    "Maps",
    "Model",
    "NetworkEngine",
    "NetworkOptions",
    "Prompted",
    "Splitter",
    "Staged",
    "get_model",
    "open_backend",
]
