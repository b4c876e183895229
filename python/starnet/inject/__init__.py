"""Injection and recovery: simulated sources in the user's own mosaic."""

from starnet.inject.injecting import InjectResult, inject

__all__ = ["InjectResult", "inject"]
