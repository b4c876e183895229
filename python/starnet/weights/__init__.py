"""Published weights of networks: which there are, where they lie, how they are downloaded. Without torch."""

from __future__ import annotations

from starnet.weights.cache import cache_folder, fetch, find_weights, state
from starnet.weights.download import download
from starnet.weights.known import KNOWN, Weights

__all__ = ["KNOWN", "Weights", "cache_folder", "download", "fetch", "find_weights", "state"]
