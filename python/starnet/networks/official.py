"""Meta's own code of SAM: `segment_anything`'s modelling classes, also where torchvision is missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType

try:
    import segment_anything  # noqa: F401
except (ImportError, RuntimeError):
    # The package imports its predictor, which resizes pictures through torchvision; the network itself does not need
    # it. A bare package lets its modules be imported without running its __init__. (RuntimeError: a torchvision that
    # was made for another torch.)
    _spec = find_spec("segment_anything")
    if _spec is None or _spec.submodule_search_locations is None:
        raise
    _bare = ModuleType("segment_anything", "Without its predictor, which needs torchvision.")
    _bare.__path__ = list(_spec.submodule_search_locations)
    sys.modules["segment_anything"] = _bare

from segment_anything.build_sam import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d

__all__ = [
    "ImageEncoderViT",
    "LayerNorm2d",
    "MaskDecoder",
    "PromptEncoder",
    "Sam",
    "TwoWayTransformer",
    "sam_model_registry",
]
