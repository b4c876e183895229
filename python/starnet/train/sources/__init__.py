"""Where samples come from: made skies, and images with label maps."""

from starnet.train.sources.loading import load_source, load_sources
from starnet.train.sources.mixture import Several, pixel_scales, several

__all__ = ["Several", "load_source", "load_sources", "pixel_scales", "several"]
