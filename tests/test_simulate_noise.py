"""Noise is the same in every window, and has the scatter, spectrum and weights that are stated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, gaussian_filter

from starnet.simulate.noise import Noise, taps, white_sigma
from starnet.simulate.presets import PRESETS
from starnet.tiles import Box

DEEP = PRESETS["candels-deep"]
EVEN = replace(DEEP, pointing=0.0)


@settings(max_examples=20, deadline=None)
@given(y=st.integers(-300, 300), x=st.integers(-300, 300), ny=st.integers(1, 90), nx=st.integers(1, 90))
def test_any_window_has_the_same_bits(y: int, x: int, ny: int, nx: int) -> None:
    box = Box(y, y + ny, x, x + nx)
    wide = box.pad(37)
    for name in ("noise", "sigma", "weight", "exposure"):
        alone = getattr(Noise(DEEP, 7), name)(0, box)
        np.testing.assert_array_equal(alone, getattr(Noise(DEEP, 7), name)(0, wide)[box.slices_in(wide)])


@pytest.mark.parametrize("name", PRESETS)
def test_scatter_and_power_spectrum(name: str) -> None:
    preset = replace(PRESETS[name], pointing=0.0)
    noise, n = Noise(preset, 3), 64
    box = Box(0, 16 * n, 0, 8 * n)
    for band in range(len(preset.bands)):
        unit = noise.noise(band, box) / noise.sigma(band, box)
        assert unit.std() == pytest.approx(1, abs=0.03)
        tiles = unit.reshape(16, n, 8, n).swapaxes(1, 2).reshape(-1, n, n)
        measured = (np.abs(np.fft.rfft2(tiles)) ** 2).mean(axis=0) / n**2
        expected = noise.power(band, n)
        full = np.concatenate([expected, expected[:, 1 : n // 2]], axis=1)
        assert full.mean() == pytest.approx(1, rel=0.02)
        low = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)) < 0.1
        assert measured[low].mean() == pytest.approx(expected[low].mean(), rel=0.1)
        strong = expected > 0.5  # below, the tiles' edges leak
        assert (measured[strong] / expected[strong]).mean() == pytest.approx(1, abs=0.05)


def test_large_apertures_have_the_stated_depth() -> None:
    noise, side = Noise(EVEN, 5), 16
    for band in range(len(EVEN.bands)):
        sums = noise.noise(band, Box(0, 1024, 0, 1024)).reshape(64, side, 64, side).sum(axis=(1, 3))
        white = white_sigma(EVEN.bands[band], EVEN.pixel_scale) * side
        assert sums.std() == pytest.approx(white, rel=0.08)
        assert noise.weight(band, Box(0, 1, 0, 1))[0, 0] == pytest.approx((side / white) ** 2, rel=1e-4)


def test_depth_has_steps_shared_by_a_camera() -> None:
    noise, box = Noise(DEEP, 1), Box(0, 6000, 0, 40)
    exposure = noise.exposure(1, box)
    np.testing.assert_array_equal(exposure, noise.exposure(2, box))
    assert not np.array_equal(exposure, noise.exposure(0, box))
    assert 1.4 < exposure.max() / exposure.min() < 5
    assert len(np.unique(exposure)) < 60


def test_taps_have_drizzles_autocorrelation() -> None:
    """Casertano et al. (2000): of two boxes, here of 1.7 and 1 pixels, averaged over all shifts."""
    band = replace(DEEP.bands[0], drop=1.7 * 0.06)
    filter_ = taps(band, 0.06)
    fine = np.convolve(np.ones(1700), np.ones(1000))
    boxes = np.correlate(fine, fine, "full")[fine.size - 1 :: 1000][:3]
    own = np.correlate(filter_, filter_, "full")[filter_.size - 1 :][:3]
    np.testing.assert_allclose(own / own[0], boxes / boxes[0], atol=0.01)


def test_wide_preset_has_the_scatter_of_real_noise(shared_data: Path) -> None:
    preset = PRESETS["candels-wide"]
    reference = dict(zip((band.name for band in preset.bands), Noise(preset, 1).reference, strict=True))
    for letter, name in {"h": "F160W", "j": "F125W", "z": "F850LP", "v": "F606W"}.items():
        sample = fits.getdata(shared_data / f"candels-psf-noise/noise/{letter}_noise.fits").astype(float)
        assert reference[name] == pytest.approx(deviation(sample), rel=0.1)


def test_xdf_preset_has_its_scatter_weights_and_correlation(shared_data: Path) -> None:
    preset = PRESETS["xdf"]
    noise, pixel = Noise(replace(preset, pointing=0.0), 1), Box(0, 1, 0, 1)
    for i, band in enumerate(preset.bands):
        with fits.open(shared_data / f"xdf-demo/xdf_{band.name.lower()}.fits") as hdus:
            image, weight = hdus["SCI"].data.astype(float), hdus["WHT"].data.astype(float)
        smooth = gaussian_filter(image, 2)
        sources = np.abs(smooth - np.median(smooth)) > 2 * deviation(smooth)
        sky = ~binary_dilation(sources, iterations=3) & (weight < 4 * np.median(weight))
        ratio = deviation(image[sky]) * np.sqrt(np.median(weight[sky]))
        own = float(noise.sigma(i, pixel)[0, 0] * np.sqrt(noise.weight(i, pixel)[0, 0]))
        assert own == pytest.approx(ratio, rel=0.2)
        pairs = sky[:, 1:] & sky[:, :-1]
        flat = image - np.median(image[sky])
        neighbour = (flat[:, 1:] * flat[:, :-1])[pairs].mean() / (flat[sky] ** 2).mean()
        step = taps(band, preset.pixel_scale)
        assert (step[1:] @ step[:-1]) / (step @ step) == pytest.approx(neighbour, abs=0.12)


def deviation(values: np.ndarray) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
