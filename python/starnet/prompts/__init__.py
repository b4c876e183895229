"""Prompts for a network, made instead of drawn by hand."""

from __future__ import annotations

from starnet.prompts.base import KINDS, Prompts, pixel_numbers
from starnet.prompts.centres import centres, local_maxima
from starnet.prompts.grid import grid
from starnet.prompts.peaks import peaks
from starnet.prompts.tables import read_prompts

__all__ = ["KINDS", "Prompts", "centres", "grid", "local_maxima", "peaks", "pixel_numbers", "read_prompts"]
