"""The peers: which are installed, and on how many threads they run."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

#: Name, module, and distributions that may bring it.
PEERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "numpy": ("numpy", ("numpy",)),
    "scipy": ("scipy", ("scipy",)),
    "OpenCV": ("cv2", ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless")),
    "scikit-image": ("skimage", ("scikit-image",)),
    "astroscrappy": ("astroscrappy", ("astroscrappy",)),
    "bottleneck": ("bottleneck", ("bottleneck",)),
    "sep": ("sep", ("sep",)),
    "photutils": ("photutils", ("photutils",)),
    "astropy": ("astropy", ("astropy",)),
    "fitsio": ("fitsio", ("fitsio",)),
    "numba": ("numba", ("numba",)),
}


def installed(name: str) -> str | None:
    """Version of a peer, None if it is not installed."""
    module, distributions = PEERS[name]
    if find_spec(module) is None:
        return None
    for distribution in distributions:
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "unknown"


def load(name: str, part: str = "") -> Any:
    """Import a peer, or a part of it, which it need not declare types for."""
    return import_module(PEERS[name][0] + (f".{part}" if part else ""))


def set_threads(n: int, names: list[str]) -> None:
    """Have the peers that have threads use `n` of them.

    What reads its number of threads when it is imported (OpenMP without threadpoolctl) gets it from the environment.
    """
    os.environ["OMP_NUM_THREADS"] = str(n)
    if "OpenCV" in names:
        load("OpenCV").setNumThreads(n)
    if "numba" in names:
        numba = load("numba")
        numba.set_num_threads(min(n, numba.config.NUMBA_NUM_THREADS))
    if find_spec("threadpoolctl") is not None:
        if "astroscrappy" in names:
            load("astroscrappy")  # OpenMP pools can be limited once they are there
        import_module("threadpoolctl").threadpool_limits(n)
