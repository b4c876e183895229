"""The kernels' threads: one setting, safe in forked children."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from starnet import _core, filters
from starnet.filters import median_filter
from starnet.tiles import Box

IMAGE = np.random.default_rng(0).normal(10, 3, (150, 170)).astype(np.float32)
MARKERS = np.zeros(IMAGE.shape, np.int32)
MARKERS[5::30, 7::30] = np.arange(1, MARKERS[5::30, 7::30].size + 1).reshape(MARKERS[5::30, 7::30].shape)
BANDS = np.stack([IMAGE, IMAGE[::-1], IMAGE[:, ::-1]])
BOXES = [Box(-5, 95, -5, 95), Box(60, 160, 70, 170)]
KERNELS: dict[str, Callable[[], Any]] = {
    "median 3": lambda: median_filter(IMAGE, 3),
    "median 10": lambda: median_filter(IMAGE, 10),
    "median 10, bytes": lambda: median_filter(IMAGE.astype(np.uint8), 10),
    "median 51": lambda: median_filter(IMAGE, 51),
    "rolling median": lambda: filters.rolling_median(IMAGE, 21, step=4),
    "percentiles": lambda: filters.percentiles(IMAGE, [2.5, 50, 97.5]),
    "mesh background": lambda: np.stack(filters.mesh_background(IMAGE, 32)),
    "normalize": lambda: filters.normalize(IMAGE, 5, 15),
    "stack rgb": lambda: filters.stack_rgb(BANDS, lo=[5, 5, 5], hi=[15, 15, 15]),
    "label": lambda: filters.label(IMAGE > 11)[0],
    "watershed": lambda: filters.watershed(IMAGE, MARKERS),
    "extract": lambda: filters.extract_tiles(IMAGE, BOXES),
    "stitch": lambda: filters.stitch(filters.extract_tiles(IMAGE, BOXES), BOXES, IMAGE.shape),
    "detection": lambda: _core.detection_image(BANDS, np.ones(BANDS.shape, np.uint8), np.ones(3, np.float32)),
    "measure": lambda: _core.measure(
        *filters.label(IMAGE > 11), IMAGE, np.zeros(IMAGE.shape, np.uint8), BANDS, np.ones_like(BANDS)
    )["flux_0"],
}


@pytest.mark.parametrize("name", KERNELS)
def test_calls_from_many_threads_at_once_equal_calls_in_turn(name: str) -> None:
    """The kernels share nothing but the pools: eight threads that start together get what one gets."""
    kernel = KERNELS[name]
    expected = kernel()
    barrier = threading.Barrier(8)
    equal: list[bool] = []

    def work() -> None:
        barrier.wait()
        equal.extend(np.array_equal(kernel(), expected, equal_nan=True) for _ in range(3))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert equal == [True] * 24


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    image = np.random.default_rng(0).random((200, 200), np.float32)
    expected = median_filter(image, 5, threads=2)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(median_filter(image, 5, threads=2), expected) else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_absurd_numbers_of_threads_are_capped() -> None:
    image = np.ones((8, 8), np.float32)
    try:
        _core.set_threads(2**40)
        assert median_filter(image, 3).min() == 1
    finally:
        _core.set_threads(0)
