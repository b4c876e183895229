"""Bundles of networks as they are, without the comparison of an export."""

from __future__ import annotations

from starnet.export.exporting import ungated as write_bundle

__all__ = ["write_bundle"]
