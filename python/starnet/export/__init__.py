"""Networks of torch to model bundles of ONNX, which find the same objects. Its modules need torch."""

from __future__ import annotations

from importlib.util import find_spec

from starnet.errors import StarnetError

__all__ = ["require_onnx"]


def require_onnx() -> None:
    """To be called before anything of this package is imported.

    Raises
    ------
    StarnetError
        If a package that export needs is not installed.
    """
    needed = ("torch", "segment_anything", "safetensors", "onnx", "onnxscript", "onnxruntime", "galsim", "scipy")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise StarnetError(f"export needs {', '.join(missing)}: pip install 'starnet[export]'")
