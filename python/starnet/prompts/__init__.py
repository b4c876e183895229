"""Prompts for a network, made instead of drawn by hand."""

from __future__ import annotations

from starnet.prompts.base import KINDS, Prompts

__all__ = ["KINDS", "Prompts"]
