"""Cases of the median filter and of the rolling-median background."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from starnet.bench.cases import OURS, Array, Call, Case, Contender, Prepare, Target, inside
from starnet.bench.peers import load
from starnet.bench.scene import Scene
from starnet.filters import median_filter, rolling_median

SIZES = (3, 5, 7, 10, 11, 15, 21, 31, 51, 101, 201)
QUICK_SIZES = (3, 5, 10, 21, 51)
WINDOWS = (51, 101, 201)
STEP = 16

# float32 on one thread; vips and IPP, the best at some sizes, are not among the peers.
_TARGETS = {
    3: (Target(1.0, "OpenCV"),),
    5: (Target(1.3, "OpenCV"),),
    7: (Target(75, "best"),),
    10: (Target(120, "scipy"),),
    11: (Target(100, "best"),),
    21: (Target(120, "best"),),
    51: (Target(40, "best"), Target(300, "scipy")),
    101: (Target(80, "best"),),
    201: (Target(1 / 3, "median 51 float32"),),
}


def medians(scene: Scene, sizes: Sequence[int], *, quick: bool) -> Iterator[Case]:
    """The median filter of three types of pixels."""
    for dtype in (np.float32, np.uint8, np.uint16):
        pixels = scene.image if dtype is np.float32 else scene.integers(dtype)
        for size in sizes:
            if quick and dtype is not np.float32 and size not in (5, 10):
                continue
            yield Case(
                "median",
                f"median {size} {np.dtype(dtype).name}",
                pixels,
                Contender(OURS, "filters.median_filter", _ours(size), threaded=True),
                tuple(_peers(size, np.dtype(dtype), min(pixels.shape))),
                _TARGETS.get(size, ()) if dtype is np.float32 else (),
                least=32 if size < 31 or quick else 48,
            )


def rolling(scene: Scene, windows: Sequence[int]) -> Iterator[Case]:
    """The rolling-median background, at each pixel and at every 16th."""
    for window in windows:
        yield Case(
            "rolling",
            f"rolling median {window}",
            scene.image,
            Contender(OURS, "filters.rolling_median", _rolling(window, 1), threaded=True),
            (_scipy(window),),
            (Target(0.5, f"median {window} float32"),),
            least=48,
        )
        yield Case(
            "rolling",
            f"rolling median {window} step {STEP}",
            scene.image,
            Contender(OURS, f"filters.rolling_median(step={STEP})", _rolling(window, STEP), threaded=True),
            (),
            (Target(1.0, f"rolling median {window}"),),
        )


def _ours(size: int, mode: str = "reflect") -> Prepare:
    def prepare(pixels: Array, threads: int) -> Call:
        out = np.empty_like(pixels)
        return lambda: median_filter(pixels, size, mode=mode, out=out, threads=threads)

    return prepare


def _rolling(window: int, step: int) -> Prepare:
    def prepare(pixels: Array, threads: int) -> Call:
        out = np.empty_like(pixels)
        return lambda: rolling_median(pixels, window, step=step, out=out, threads=threads)

    return prepare


def _scipy(size: int) -> Contender:
    def prepare(pixels: Array, _: int) -> Call:
        ndimage, out = load("scipy", "ndimage"), np.empty_like(pixels)

        def run() -> Array:
            ndimage.median_filter(pixels, size=size, mode="reflect", output=out)
            return out

        return run

    return Contender("scipy", "ndimage.median_filter", prepare)


def _peers(size: int, dtype: np.dtype[np.generic], side: int) -> Iterator[Contender]:
    yield _scipy(size)
    if size % 2 == 0:
        return  # the others know odd windows only
    if size <= 5 or (dtype == np.uint8 and size < 256):

        def opencv(pixels: Array, _: int) -> Call:
            cv2, out = load("OpenCV"), np.empty_like(pixels)
            return lambda: cv2.medianBlur(pixels, size, dst=out)

        # It repeats the border's pixel, which our "nearest" does as well.
        yield Contender("OpenCV", "medianBlur", opencv, reference=_ours(size, "nearest"), threaded=True)
    if size <= 7 and dtype == np.float32:

        def astroscrappy(pixels: Array, _: int) -> Call:
            function = getattr(load("astroscrappy", "utils"), f"medfilt{size}")
            return lambda: function(pixels)

        # It leaves the border as it is.
        yield Contender("astroscrappy", f"medfilt{size}", astroscrappy, inside(size // 2), threaded=True)
    if dtype == np.uint8 and side > 2 * size:

        def skimage(pixels: Array, _: int) -> Call:
            rank, footprint = load("scikit-image", "filters.rank"), np.ones((size, size), np.uint8)
            out = np.empty_like(pixels)
            return lambda: rank.median(pixels, footprint, out=out)

        # Windows shrink at the border.
        yield Contender("scikit-image", "filters.rank.median", skimage, inside(size // 2))
