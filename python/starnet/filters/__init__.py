"""The kernels, on NumPy arrays: backgrounds, filters, percentiles, labels, tiles.

Each is equal to the reference that its docstring names, takes strided views, writes into ``out=`` where it makes an
image, releases Python's lock, and gives the same bits for any number of threads.
"""

from starnet.filters.background import mesh_background
from starnet.filters.images import median_filter, normalize, rolling_median, stack_rgb, watershed
from starnet.filters.labels import join_tiles, label
from starnet.filters.percentiles import StreamingPercentiles, percentiles
from starnet.filters.tiling import extract_tiles, stitch, taper

__all__ = [
    "StreamingPercentiles",
    "extract_tiles",
    "join_tiles",
    "label",
    "median_filter",
    "mesh_background",
    "normalize",
    "percentiles",
    "rolling_median",
    "stack_rgb",
    "stitch",
    "taper",
    "watershed",
]
