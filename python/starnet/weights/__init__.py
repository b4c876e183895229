"""Weights of networks: those that come with the package, and published ones, how they are downloaded. Without torch."""

from __future__ import annotations

from starnet.weights.cache import cache_folder, fetch, find_weights, named_weights, state
from starnet.weights.download import download
from starnet.weights.embedded import EMBEDDED, embedded_weights
from starnet.weights.known import KNOWN, Weights

__all__ = [
    "EMBEDDED",
    "KNOWN",
    "Weights",
    "cache_folder",
    "download",
    "embedded_weights",
    "fetch",
    "find_weights",
    "named_weights",
    "state",
]
