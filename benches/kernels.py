"""Times the kernels beside what others use for the same, on one thread and on the same real pixels.

Usage: ``python benches/kernels.py [IMAGE.fits]``; by default the XDF's F160W from ../shared/data, repeated to
2000 x 2000. Compare ratios within one run: absolute figures depend on the machine and on what else it does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
import sep
from skimage.segmentation import watershed

from starnet import filters
from starnet.mosaic import Mosaic
from starnet.tiles import Box

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "xdf-demo" / "xdf_f160w.fits"
SIDE = 2000


def seconds(function: Callable[[], Any], at_least: float = 0.5) -> float:
    """The best of as many calls as fit into `at_least` seconds, two at the least."""
    best, spent, calls = np.inf, 0.0, 0
    while spent < at_least or calls < 2:
        start = time.perf_counter()
        function()
        took = time.perf_counter() - start
        best, spent, calls = min(best, took), spent + took, calls + 1
    return best


def main() -> None:
    """Print one line a kernel: Mpix/s of both, and the ratio."""
    mosaic = Mosaic.open([sys.argv[1] if len(sys.argv) > 1 else DEFAULT])
    ny, nx = mosaic.shape
    pixels = mosaic.read(Box(0, ny, 0, nx)).data[0]
    image = np.tile(pixels, (-(-SIDE // ny), -(-SIDE // nx)))[:SIDE, :SIDE].copy()
    lo, hi = np.percentile(image, [2.5, 97.5]).tolist()
    markers = scipy.ndimage.label(image > np.percentile(image, 99))[0].astype(np.int32)
    foreground = image > np.percentile(image, 80)
    small = image[: SIDE // 4, : SIDE // 4].copy()  # for what takes seconds a megapixel

    def median(size: int, a: np.ndarray) -> tuple[str, int, Callable[[], Any], str, Callable[[], Any]]:
        ours = lambda: filters.median_filter(image, size, threads=1)  # noqa: E731
        return f"median {size}", a.size, ours, "scipy", lambda: scipy.ndimage.median_filter(a, size)

    rows = [
        median(3, image),
        median(5, small),
        median(10, small),
        median(21, small),
        ("percentiles", image.size, lambda: filters.percentiles(image, [2.5, 97.5], threads=1), "numpy",
         lambda: np.nanpercentile(image, [2.5, 97.5])),
        ("mesh background", image.size, lambda: filters.mesh_background(image, 64, threads=1), "sep",
         lambda: (b := sep.Background(image), b.back(), b.rms())),
        ("normalize", image.size, lambda: filters.normalize(image, lo, hi, threads=1), "numpy",
         lambda: (np.clip(image, lo, hi) - lo) / (hi - lo)),
        ("watershed", image.size, lambda: filters.watershed(-image, markers, mask=foreground), "skimage",
         lambda: watershed(-image, markers, mask=foreground)),
    ]  # fmt: skip
    print(f"{'kernel':<16} {'starnet':>9} {'peer':>9}  Mpix/s on one thread")
    for name, size, ours, peer, theirs in rows:
        mine, other = image.size / seconds(ours) / 1e6, size / seconds(theirs) / 1e6
        print(f"{name:<16} {mine:9.2f} {other:9.2f}  {mine / other:.1f} x {peer}")


if __name__ == "__main__":
    main()
