"""Masks that prompts ask for: as runs of pixels, and made into objects that do not overlap."""

from __future__ import annotations

from starnet.masks.drawn import Decoded, Masks
from starnet.masks.resolving import resolve, suppress

__all__ = ["Decoded", "Masks", "resolve", "suppress"]
