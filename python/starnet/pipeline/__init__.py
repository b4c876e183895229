"""The whole walk: mosaic, recipe, tiles, objects, catalog, outputs."""

from starnet.pipeline.preprocessing import PreprocessResult, preprocess
from starnet.pipeline.segmenting import SegmentResult, segment

__all__ = ["PreprocessResult", "SegmentResult", "preprocess", "segment"]
