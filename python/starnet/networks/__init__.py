"""Networks of the SAM family. Modules other than `config` need torch."""

from __future__ import annotations

from starnet.networks.config import NETWORKS, NetworkConfig, PromptDecoder, TinyEncoder, VitEncoder

__all__ = ["NETWORKS", "NetworkConfig", "PromptDecoder", "TinyEncoder", "VitEncoder"]
