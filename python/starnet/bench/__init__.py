"""StarNet's kernels beside those that others offer for the same, on the user's own image.

Each result is compared with ours before it is timed; then all have their turns in one process, round after round
(A B C A B C), and medians over the rounds are reported. Ratios are those of pairs of the same round.
"""

from starnet.bench.chart import plot
from starnet.bench.comparison import OPERATIONS, Comparison, compare
from starnet.bench.report import print_comparison

__all__ = ["OPERATIONS", "Comparison", "compare", "plot", "print_comparison"]
