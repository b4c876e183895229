"""The kernels' threads: one setting, safe in forked children."""

from __future__ import annotations

import os

import numpy as np
import pytest

from starnet import _core
from starnet.filters import median_filter


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
