"""Watershed against scikit-image."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.segmentation
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from image_strategies import views
from starnet.filters import watershed


@given(views(("f4",), side=16), st.data(), st.sampled_from([1, 2]))
@settings(deadline=None, max_examples=300)
def test_equals_scikit_image(landscape: NDArray[Any], data: st.DataObject, connectivity: int) -> None:
    # Few heights, many plateaus: ties decide.
    if data.draw(st.booleans()):
        landscape = np.sign(landscape)
    seeds = st.sampled_from([0, 0, 0, 0, 1, 2, 3, -4, 2**31 - 1])
    markers = data.draw(hnp.arrays(np.int32, landscape.shape, elements=seeds))
    mask = data.draw(st.none() | hnp.arrays(bool, landscape.shape, elements=st.sampled_from([True, True, False])))
    expected = skimage.segmentation.watershed(landscape, markers, mask=mask, connectivity=connectivity)
    result = watershed(landscape, markers, mask=mask, connectivity=connectivity)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("connectivity", [1, 2])
def test_real_galaxies(shared_data: Path, connectivity: int) -> None:
    image = fits.getdata(shared_data / "xdf-demo" / "xdf_f160w.fits", "SCI").astype(np.float32)
    smooth = ndimage.gaussian_filter(image, 1.5)
    mask = smooth > 3 * np.median(np.abs(smooth))
    peaks = (smooth == ndimage.maximum_filter(smooth, 7)) & mask
    markers, count = ndimage.label(peaks)
    assert count > 50
    result = watershed(-smooth, markers, mask=mask, connectivity=connectivity)
    expected = skimage.segmentation.watershed(-smooth, markers, mask=mask, connectivity=connectivity)
    np.testing.assert_array_equal(result, expected)


def test_nan_outside_the_mask_is_harmless() -> None:
    landscape = np.array([[0, np.nan, 0]], np.float32)
    markers = np.array([[1, 0, 2]])
    out = np.empty((1, 3), np.int32)
    assert watershed(landscape, markers, mask=[[1, 0, 1]], out=out) is out
    np.testing.assert_array_equal(out, [[1, 0, 2]])
    with pytest.raises(ValueError, match=r"NaN at \(0, 1\)"):
        watershed(landscape, markers)


def test_concurrent_calls_equal_serial_ones() -> None:
    rng = np.random.default_rng(1)
    landscape = rng.normal(size=(80, 90)).astype(np.float32)
    markers = (rng.random(landscape.shape) < 0.01) * np.arange(1, landscape.size + 1).reshape(landscape.shape)
    barrier = threading.Barrier(4)

    def run(_: int) -> NDArray[Any]:
        barrier.wait()
        return watershed(landscape, markers, connectivity=2)

    with ThreadPoolExecutor(4) as pool:
        for labels in pool.map(run, range(4)):
            np.testing.assert_array_equal(labels, watershed(landscape, markers, connectivity=2))


def test_wrong_arguments_are_said() -> None:
    landscape = np.zeros((4, 5), np.float32)
    markers = np.zeros((4, 5), np.int32)
    with pytest.raises(ValueError, match="connectivity=3"):
        watershed(landscape, markers, connectivity=3)
    with pytest.raises(ValueError, match="markers has shape"):
        watershed(landscape, markers.T)
    with pytest.raises(ValueError, match="mask has shape"):
        watershed(landscape, markers, mask=np.ones((5, 4)))
    with pytest.raises(TypeError, match="must be integers"):
        watershed(landscape, markers.astype(float))
    with pytest.raises(ValueError, match="exceed int32"):
        watershed(landscape, np.full((4, 5), 2**31))
    with pytest.raises(ValueError, match="overlaps"):
        watershed(landscape, markers, out=markers)
