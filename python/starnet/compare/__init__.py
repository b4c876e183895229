"""Segmentation programs on the same images, each tuned on one part of the sky and judged on another.

In the order in which they are built upon each other: `scenes` (the fields of a split), `images` (what the programs are
given), `methods`, `programs` and `models` (the programs), `tuning`, `trials` (what they do to the fields of the test),
`comparison` (all of it), `report`.
"""

from starnet.compare.comparison import Comparison, compare
from starnet.compare.methods import Method

__all__ = ["Comparison", "Method", "compare"]
