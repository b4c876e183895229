"""Cases of statistics, scaling, pictures, tiles and files: what takes a pass or two over the pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from starnet.bench.cases import OURS, Array, Call, Case, Contender, Target, within
from starnet.bench.numba_kernels import numba_normalize, numba_stack
from starnet.bench.peers import load
from starnet.bench.scene import Scene
from starnet.filters import mesh_background, normalize, percentiles, stack_rgb

Q = [2.5, 97.5]
# No box is left out for its sources, and boxes are whole: photutils fills in what is missing in another way.
_EXCLUDE = 90.0


def percentile_cases(scene: Scene) -> Iterator[Case]:
    """The two percentiles of the published clip."""

    def ours(pixels: Array, threads: int) -> Call:
        return lambda: percentiles(pixels, Q, threads=threads)

    def numpy_nan(pixels: Array, _: int) -> Call:
        return lambda: np.nanpercentile(pixels, Q)

    def numpy(pixels: Array, _: int) -> Call:
        return lambda: np.percentile(pixels, Q)

    def bottleneck(pixels: Array, _: int) -> Call:
        partition = load("bottleneck").partition
        virtual = (pixels.size - 1) * np.true_divide(Q, 100)
        below = np.floor(virtual).astype(int)

        def run() -> Array:
            flat, values = pixels.ravel(), []
            for rank, way in zip(below, virtual - below, strict=True):
                flat = partition(flat, rank)
                a, b = flat[rank], flat[rank + 1 :].min(initial=flat.max())
                values.append(np.where(way >= 0.5, b - (b - a) * (1 - way), a + (b - a) * way))
            return np.array(values)

        return run

    mine = Contender(OURS, "filters.percentiles", ours, threaded=True)
    for pixels in (scene.image, scene.integers(np.uint16)):
        others = [Contender("numpy", "nanpercentile", numpy_nan), Contender("numpy", "percentile", numpy)]
        if pixels.dtype == np.float32:
            close = within(1e-6, 0, "equal to rounding")
            others.append(Contender("bottleneck", "partition, twice", bottleneck, close))
        targets = (Target(6, "nanpercentile"),) if pixels.dtype == np.float32 else ()
        yield Case("percentiles", f"percentiles {pixels.dtype.name}", pixels, mine, tuple(others), targets)
    swapped = scene.image.astype(">f4")
    yield Case(
        "percentiles",
        "percentiles of FITS pixels (>f4)",
        swapped,
        mine,
        (Contender("numpy", "nanpercentile", numpy_nan),),
        (Target(0.9, "percentiles float32"),),
    )


def background_cases(scene: Scene) -> Iterator[Case]:
    """Mesh background and rms, expanded to all pixels."""

    def ours(pixels: Array, threads: int) -> Call:
        return lambda: mesh_background(pixels, 64, exclude_percentile=_EXCLUDE, threads=threads)

    def sep(pixels: Array, _: int) -> Call:
        module = load("sep")

        def run() -> tuple[Array, Array]:
            background = module.Background(pixels, bw=64, bh=64, fw=3, fh=3)
            return background.back(dtype=np.float32), background.rms(dtype=np.float32)

        return run

    def photutils(pixels: Array, _: int) -> Call:
        module, stats = load("photutils", "background"), load("astropy", "stats")
        clip = stats.SigmaClip(3.0, maxiters=10)

        def run() -> tuple[Array, Array]:
            background = module.Background2D(
                pixels,
                64,
                exclude_percentile=_EXCLUDE,
                filter_size=3,
                sigma_clip=clip,
                bkg_estimator=module.SExtractorBackground(),
            )
            return background.background, background.background_rms

        return run

    ny, nx = (length // 64 * 64 for length in scene.image.shape)
    pixels = np.ascontiguousarray(scene.image[:ny, :nx])
    rms = float(np.median(mesh_background(pixels, 64)[1]))
    close = within(1e-5, 1e-4 * rms, "equal to rounding")
    yield Case(
        "background",
        "mesh background + rms, 64 px",
        pixels,
        Contender(OURS, "filters.mesh_background", ours, threaded=True),
        (
            # sep clips at other limits, and takes the mode of a quantised histogram.
            Contender("sep", "Background, back, rms", sep, None),
            Contender("photutils", "Background2D", photutils, close),
        ),
        (Target(3, "sep"),),
        least=128,
    )


def normalize_cases(scene: Scene) -> Iterator[Case]:
    """Clip and scale to [0, 1], into an array that is there."""

    def limits(pixels: Array) -> tuple[np.float32, np.float32]:
        low, high = np.percentile(pixels, Q).astype(np.float32)
        return low, high

    def ours(pixels: Array, threads: int) -> Call:
        low, high = (float(v) for v in limits(pixels))
        out = np.empty_like(pixels)
        return lambda: normalize(pixels, low, high, out=out, threads=threads)

    def numpy(pixels: Array, _: int) -> Call:
        (low, high), out = limits(pixels), np.empty_like(pixels)

        def run() -> Array:
            np.clip(pixels, low, high, out=out)
            np.subtract(out, low, out=out)
            return np.divide(out, high - low, out=out)

        return run

    def numba(pixels: Array, _: int) -> Call:
        (low, high), out, kernel = limits(pixels), np.empty_like(pixels), numba_normalize()

        def run() -> Array:
            kernel(pixels, low, high, out)
            return out

        return run

    def skimage(pixels: Array, _: int) -> Call:
        rescale, (low, high) = load("scikit-image", "exposure").rescale_intensity, limits(pixels)
        return lambda: rescale(pixels, in_range=(low, high), out_range=(0.0, 1.0))

    def astropy(pixels: Array, _: int) -> Call:
        interval = load("astropy", "visualization").ManualInterval(*limits(pixels))
        return lambda: interval(pixels)

    rounding = within(1e-6, 1e-6, "equal to rounding")
    yield Case(
        "normalize",
        "normalize",
        scene.image,
        Contender(OURS, "filters.normalize", ours, threaded=True),
        (
            _copy(),
            Contender("numba", "a loop", numba, threaded=True),
            Contender("numpy", "clip, subtract, divide", numpy),
            Contender("scikit-image", "exposure.rescale_intensity", skimage, rounding),
            Contender("astropy", "visualization.ManualInterval", astropy, rounding),
        ),
        (Target(0.9, "copy"), Target(1, "best")),
    )


def stack_cases(scene: Scene) -> Iterator[Case]:
    """Three bands, clipped and scaled, into one picture."""

    def limits(pixels: Array) -> tuple[Array, Array]:
        low, high = np.percentile(pixels, Q, axis=(1, 2)).astype(np.float32)
        return low, high

    for dtype in (np.float32, np.uint8):

        def ours(pixels: Array, threads: int, dtype: Any = dtype) -> Call:
            low, high = (v.tolist() for v in limits(pixels))
            out = np.empty((*pixels.shape[1:], 3), dtype)
            return lambda: stack_rgb(pixels, lo=low, hi=high, out=out, dtype=dtype, threads=threads)

        def numpy(pixels: Array, _: int, dtype: Any = dtype) -> Call:
            low, high = limits(pixels)
            out, plane = np.empty((*pixels.shape[1:], 3), dtype), np.empty_like(pixels[0])

            def run() -> Array:
                for i, band in enumerate(pixels):
                    np.clip(band, low[i], high[i], out=plane)
                    np.subtract(plane, low[i], out=plane)
                    np.divide(plane, high[i] - low[i], out=plane)
                    if dtype is np.uint8:
                        np.multiply(plane, np.float32(255), out=plane)
                        np.add(plane, np.float32(0.5), out=plane)
                    out[..., i] = plane
                return out

            return run

        def numba(pixels: Array, _: int, dtype: Any = dtype) -> Call:
            low, high = limits(pixels)
            out, kernel = np.empty((*pixels.shape[1:], 3), dtype), numba_stack(eight_bits=dtype is np.uint8)

            def run() -> Array:
                kernel(pixels[0], pixels[1], pixels[2], low, high, out)
                return out

            return run

        yield Case(
            "stack",
            f"RGB stack to {np.dtype(dtype).name}",
            scene.bands,
            Contender(OURS, "filters.stack_rgb", ours, threaded=True),
            (Contender("numba", "a loop", numba, threaded=True), Contender("numpy", "clip, subtract, divide", numpy)),
            (Target(1.2, "numba"),),
        )


def _copy() -> Contender:
    """What memory allows: each byte read and written once."""

    def prepare(pixels: Array, _: int) -> Call:
        out = np.empty_like(pixels)
        return lambda: np.copyto(out, pixels)

    return Contender("numpy", "copyto", prepare, None, ranked=False)
