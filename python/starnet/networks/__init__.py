"""Networks of the SAM family. Modules other than `config`, `geometry` and `receptive` need torch."""

from __future__ import annotations

from importlib.util import find_spec

from starnet.errors import StarnetError
from starnet.networks.config import NETWORKS, NetworkConfig, PromptDecoder, TinyEncoder, VitEncoder

__all__ = ["NETWORKS", "NetworkConfig", "PromptDecoder", "TinyEncoder", "VitEncoder", "require_torch"]


def require_torch() -> None:
    """To be called before anything is imported that needs torch.

    Raises
    ------
    StarnetError
        If a package that networks need is not installed.
    """
    missing = [name for name in ("torch", "segment_anything", "safetensors") if find_spec(name) is None]
    if missing:
        raise StarnetError(f"this needs {', '.join(missing)}: pip install 'starnet[train]'")
