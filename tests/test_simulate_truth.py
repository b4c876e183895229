"""Truth by its definitions: whose a pixel is, full masks, S/N of the optimal filter."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from starnet.simulate.truth import LabelMap, compress_runs, detection, detection_weights, run_lengths, signal_to_noise
from starnet.tiles import Box


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_masks_are_those_of_coco(data: st.DataObject) -> None:
    ny, nx = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    masks, runs = [], []
    for _ in range(data.draw(st.integers(1, 4))):
        y0, x0 = data.draw(st.integers(0, ny - 1)), data.draw(st.integers(0, nx - 1))
        box = Box(y0, data.draw(st.integers(y0 + 1, ny)), x0, data.draw(st.integers(x0 + 1, nx)))
        part = data.draw(arrays(bool, box.shape))
        part.flat[data.draw(st.integers(0, part.size - 1))] = True
        whole = np.zeros((ny, nx), bool)
        whole[box.slices] = part
        masks.append(whole)
        runs.append(run_lengths(part, box, (ny, nx)))
    for whole, counts, text in zip(masks, runs, compress_runs(runs), strict=True):
        assert text == coco.encode(np.asfortranarray(whole.astype(np.uint8)))["counts"].decode()
        assert counts[1::2].sum() == whole.sum()


def test_long_runs_are_those_of_coco() -> None:
    whole = np.zeros((2000, 1500), bool, order="F")
    whole[700:1200, 3:1400] = whole[5, 1450] = whole[:, 1499] = True
    (text,) = compress_runs([run_lengths(whole, Box(0, 2000, 0, 1500), whole.shape)])
    assert text == coco.encode(whole.view(np.uint8))["counts"].decode()
    assert compress_runs([]) == []


@given(seed=st.integers(0, 2**32 - 1))
def test_a_pixel_is_that_of_the_most_flux_there(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.exponential(1.0, (5, 9, 7)).astype(np.float32)
    labels = LabelMap(Box(20, 29, -3, 4))
    for label, image in enumerate(images, 1):
        labels.add(label, labels.box, image)
    np.testing.assert_array_equal(labels.labels, np.where(images.max(axis=0) > 1, images.argmax(axis=0) + 1, 0))


def test_a_source_claims_only_its_own_box() -> None:
    labels = LabelMap(Box(10, 20, 10, 20))
    labels.add(3, Box(12, 14, 15, 20), np.full((2, 5), 2, np.float32))
    assert (labels.labels > 0).sum() == 10
    assert (labels.labels[2:4, 5:] == 3).all()


@given(seed=st.integers(0, 2**32 - 1))
def test_detection_image_is_the_weighted_mean_over_its_noise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    flux = rng.normal(0, 1, (3, 4, 5)).astype(np.float32)
    sigma = rng.uniform(0.5, 2, (3, 4, 5))
    ivar = np.where(rng.random((3, 4, 5)) < 0.3, 0, sigma**-2).astype(np.float32)
    expected = np.zeros((4, 5))
    for y, x in np.ndindex(4, 5):
        seen = ivar[:, y, x] > 0
        if seen.any():
            weights = ivar[seen, y, x]
            mean = (weights * flux[seen, y, x]).sum() / weights.sum()
            expected[y, x] = mean * np.sqrt(weights.sum())
    np.testing.assert_allclose(detection(flux, detection_weights(ivar)), expected, rtol=1e-4, atol=1e-5)


def test_signal_to_noise_is_that_of_the_optimal_filter() -> None:
    """``sqrt(D^T C^-1 D)`` with the covariance of correlated noise, on a torus."""
    rng = np.random.default_rng(4)
    side = 12
    flux = rng.exponential(1.0, (2, 2, side, side)).astype(np.float32)
    sigma = np.array([0.7, 1.9])
    ivar = np.broadcast_to(sigma[None, :, None, None] ** -2.0, flux.shape).astype(np.float32)
    kernel = np.zeros((side, side))
    kernel[:2, :2] = [[1.0, 0.4], [0.3, 0.1]]
    kernel /= np.sqrt((kernel**2).sum())  # unit variance
    spectra = [np.ones((side, side // 2 + 1)), np.abs(np.fft.rfft2(kernel)) ** 2]
    covariances = [np.eye(side**2), _covariance(kernel)]
    expected = [
        sum(
            one[band].ravel().astype(float) @ np.linalg.solve(covariances[band] * sigma[band] ** 2, one[band].ravel())
            for band in range(2)
        )
        for one in flux
    ]
    np.testing.assert_allclose(signal_to_noise(flux, ivar, spectra), np.sqrt(expected), rtol=1e-4)


def _covariance(kernel: np.ndarray) -> np.ndarray:
    """Covariance of white noise that is convolved with a kernel, on a torus."""
    side = len(kernel)
    mixing = np.stack([np.roll(kernel, (y, x), (0, 1)).ravel() for y, x in np.ndindex(side, side)])
    return mixing.T @ mixing
