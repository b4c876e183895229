"""StarNet: a survey mosaic in, a WCS label map and a flux catalog out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from starnet._core import __version__

if TYPE_CHECKING:
    from starnet.errors import StarnetError
    from starnet.mosaic import Mosaic
    from starnet.outputs.catalog_files import read_catalog, write_catalog
    from starnet.outputs.photutils_bridge import source_catalog
    from starnet.outputs.segmentation_map import read_segmentation_map
    from starnet.pipeline import preprocess, segment
    from starnet.recipe import Recipe

# Imported when they are asked for: `starnet --help` and the kernels need neither astropy nor Zarr.
_WHERE = {
    "Mosaic": "starnet.mosaic",
    "Recipe": "starnet.recipe",
    "StarnetError": "starnet.errors",
    "preprocess": "starnet.pipeline",
    "read_catalog": "starnet.outputs.catalog_files",
    "read_segmentation_map": "starnet.outputs.segmentation_map",
    "segment": "starnet.pipeline",
    "source_catalog": "starnet.outputs.photutils_bridge",
    "write_catalog": "starnet.outputs.catalog_files",
}

__all__ = [
    "Mosaic",
    "Recipe",
    "StarnetError",
    "__version__",
    "preprocess",
    "read_catalog",
    "read_segmentation_map",
    "segment",
    "source_catalog",
    "write_catalog",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'starnet' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return __all__
