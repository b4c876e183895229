"""The detection image against SciPy, and its noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from starnet import _core
from starnet.detection import gaussian_profile


def reference(bands: np.ndarray, valid: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """The formula of the docstring, in double precision."""
    count = valid.sum(axis=0)
    combined = np.where(valid, bands, 0).sum(axis=0, dtype=float) / np.sqrt(np.maximum(count, 1))
    kernel = np.outer(profile, profile).astype(float)
    covered = (count > 0).astype(float)
    top = ndimage.correlate(combined, kernel, mode="constant")
    bottom = ndimage.correlate(covered, kernel**2, mode="constant")
    return np.where(covered > 0, top / np.sqrt(np.maximum(bottom, 1e-30)), 0)


@given(st.integers(0, 10**6), st.sampled_from([0.5, 1.0, 2.5, 6.0]), st.sampled_from([1, 2, 5]))
@settings(max_examples=60, deadline=None)
def test_equals_scipy_and_does_not_depend_on_the_window(seed: int, fwhm: float, threads: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (rng.integers(1, 4), *rng.integers(1, 90, 2))
    valid = rng.random(shape) < rng.choice([0.3, 0.9, 1.0])
    bands = np.where(valid, rng.normal(0, 3, shape), 0).astype(np.float32)
    profile = gaussian_profile(fwhm)
    image = _core.detection_image(bands, valid.view(np.uint8), profile, threads=threads)
    np.testing.assert_allclose(image, reference(bands, valid, profile), rtol=1e-4, atol=1e-5)
    half = len(profile) // 2
    y0, x0 = (rng.integers(0, n) for n in shape[1:])
    y1, x1 = (rng.integers(start, n) + 1 for start, n in zip((y0, x0), shape[1:], strict=True))
    window = slice(max(0, y0 - half), y1 + half), slice(max(0, x0 - half), x1 + half)
    part = _core.detection_image(bands[:, *window], valid.view(np.uint8)[:, *window], profile)
    core = slice(y0 - window[0].start, y1 - window[0].start), slice(x0 - window[1].start, x1 - window[1].start)
    np.testing.assert_array_equal(part[core], image[y0:y1, x0:x1])


def test_white_noise_keeps_its_scatter() -> None:
    bands = np.random.default_rng(1).standard_normal((3, 500, 500), np.float32)
    image = _core.detection_image(bands, np.ones(bands.shape, np.uint8), gaussian_profile(2.5))
    assert abs(image.std() - 1) < 0.02


def test_arguments_are_checked() -> None:
    image, valid = np.zeros((1, 4, 4), np.float32), np.ones((1, 4, 4), np.uint8)
    with pytest.raises(ValueError, match="odd"):
        _core.detection_image(image, valid, np.ones(4, np.float32))
    with pytest.raises(ValueError, match="valid"):
        _core.detection_image(image, valid[:, :3], np.ones(3, np.float32))
    with pytest.raises(ValueError, match="positive"):
        gaussian_profile(0)
