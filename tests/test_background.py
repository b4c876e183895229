"""The mesh background against photutils and scipy, and its independence of windows, strips and threads."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from photutils.background import Background2D
from photutils.utils import ShepardIDWInterpolator
from scipy import ndimage

from starnet import _core
from starnet.filters.background import Background, BackgroundBuilder, mesh_background
from starnet.tiles import Box


def sky(seed, shape, *, sources=True, level=3.0):
    """A sky with a slope, noise that varies, and sources."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = level + 0.01 * x - 0.02 * y + rng.normal(size=shape) * (1 + 0.01 * x)
    if sources:
        lit = rng.random(shape) < 0.03
        image[lit] += rng.exponential(50, int(lit.sum()))
    return image.astype(np.float32)


def photutils_background(image, box_size, **keywords):
    """photutils in float64: on float32 it rounds its means to float32."""
    return Background2D(image.astype(np.float64), box_size, **keywords)


def assert_close(got, expected, scale):
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * scale, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    box=st.integers(1, 30),
    masked=st.sampled_from([0.0, 0.05, 0.5]),
    holes=st.booleans(),
)
def test_boxes_are_photutils_boxes(seed, shape, box, masked, holes):
    image = sky(seed, shape)
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < masked
    if holes:
        image[rng.random(shape) < 0.05] = np.nan
        image[rng.random(shape) < 0.02] = np.inf
    bad = mask | ~np.isfinite(image)
    assume(not bad.all())
    expected = photutils_background(image, box, mask=bad, exclude_percentile=100)
    level, rms, ngood = _core.mesh_statistics(image, tuple(expected.box_size), mask)
    np.testing.assert_array_equal(ngood, expected.n_pixels_mesh)
    assert_close(level, expected._bkg_stats, 1)
    assert_close(rms, expected._bkgrms_stats, 1)


@pytest.mark.parametrize("box", [5, 7, 50, 64, 500, 900])
def test_boxes_of_a_real_image(shared_data, box):
    with fits.open(shared_data / "xdf-demo" / "xdf_f160w.fits") as hdus:
        image = hdus["SCI"].data.astype(np.float32)
    expected = photutils_background(image, box, exclude_percentile=100)
    level, rms, ngood = _core.mesh_statistics(image, tuple(expected.box_size))
    np.testing.assert_array_equal(ngood, expected.n_pixels_mesh)
    assert_close(level, expected._bkg_stats, 1e-3)
    assert_close(rms, expected._bkgrms_stats, 1e-3)
    assert_close(mesh_background(image, box, exclude_percentile=100)[0], expected.background, 1e-3)


def test_quantised_and_skewed_pixels():
    rng = np.random.default_rng(5)
    image = np.round(rng.normal(100, 3, (96, 96))).astype(np.float32)
    image[:32, :32] = rng.exponential(2, (32, 32))
    image[32:64, :32] = 7
    image[64:, :32] = np.where(rng.random((32, 32)) < 0.4, 0, image[64:, :32])
    expected = photutils_background(image, 32, exclude_percentile=100)
    level, rms, ngood = _core.mesh_statistics(image, (32, 32))
    np.testing.assert_array_equal(ngood, expected.n_pixels_mesh)
    assert_close(level, expected._bkg_stats, 1)
    assert_close(rms, expected._bkgrms_stats, 1)
    assert level[1, 0] == 7
    assert rms[1, 0] == 0


@settings(max_examples=40, deadline=None)
@given(
    mesh=hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=7),
        elements=st.floats(-100, 100),
    ),
    box=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_expansion_is_scipys_zoom(mesh, box):
    # Nothing to expand: scipy returns a copy, without the rounding of its spline.
    assume(box != (1, 1))
    expected = ndimage.zoom(mesh, box, order=3, mode="reflect", grid_mode=True)
    np.clip(expected, mesh.min(), mesh.max(), out=expected)
    shape = mesh.shape[0] * box[0], mesh.shape[1] * box[1]
    got = _core.MeshSpline(mesh, box).expand((0, 0), shape)
    assert got.dtype == np.float32
    assert_close(got, expected, max(1e-30, np.abs(mesh).max()))


@settings(max_examples=40, deadline=None)
@given(
    mesh=hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.one_of(st.floats(-100, 100), st.just(np.nan)),
    ),
    size=st.sampled_from([3, 5]),
)
def test_completion_is_shepards_and_the_median(mesh, size):
    missing = np.isnan(mesh)
    assume(not missing.all())
    filled = _core.complete_mesh(mesh, 1)
    np.testing.assert_array_equal(filled[~missing], mesh[~missing])
    known = np.argwhere(~missing)
    interpolate = ShepardIDWInterpolator(known, mesh[~missing])
    for y, x in np.argwhere(missing):
        distance = np.sort(np.hypot(*(known - (y, x)).T))
        # Beyond a tie for the tenth place photutils' choice is arbitrary.
        if len(distance) <= 10 or distance[9] < distance[10]:
            expected = interpolate(np.array([[y, x]]), n_neighbors=10, power=1)
            np.testing.assert_allclose(filled[y, x], expected, rtol=1e-12, atol=1e-10)
    median = ndimage.generic_filter(filled, np.nanmedian, size=size, mode="constant", cval=np.nan)
    np.testing.assert_array_equal(_core.complete_mesh(mesh, size), median)


def test_filling_knows_no_direction():
    mesh = np.random.default_rng(2).normal(size=(9, 8))
    mesh[3:7, 2:6] = np.nan
    filled = _core.complete_mesh(mesh, 1)
    for flip in (np.flipud, np.fliplr, np.transpose):
        np.testing.assert_allclose(_core.complete_mesh(np.ascontiguousarray(flip(mesh)), 1), flip(filled), rtol=1e-14)


def test_mesh_background_is_photutils(shared_data):
    with fits.open(shared_data / "xdf-demo" / "xdf_f606w.fits") as hdus:
        image = hdus["SCI"].data[:448, :448].astype(np.float32)
    mask = np.zeros(image.shape, dtype=bool)
    mask[200:230, 100:140] = True
    outside = np.zeros(image.shape, dtype=bool)
    outside[:100, :30] = True
    expected = photutils_background(image, 64, mask=mask, coverage_mask=outside, exclude_percentile=60)
    assert not np.isnan(expected._bkg_stats).any()
    got = mesh_background(image, 64, mask=mask, coverage_mask=outside, exclude_percentile=60)
    for image, reference in zip(got, (expected.background, expected.background_rms), strict=True):
        assert image.dtype == np.float32
        assert_close(image, reference, 1e-4)
        assert (image[outside] == 0).all()


def test_excluded_boxes_are_photutils():
    # Ten good boxes at most, so that there are no ties to break.
    image = sky(1, (60, 70))
    mask = np.zeros(image.shape, dtype=bool)
    mask[:5, :25] = True
    expected = photutils_background(image, 20, mask=mask)
    measured = ~np.isnan(expected._bkg_stats)
    assert 0 < measured.sum() <= 10 < measured.size
    assert_close(mesh_background(image, 20, mask=mask)[0], expected.background, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, ">f4", np.float64, bool])
def test_other_types_are_rounded_to_float32(dtype):
    image = (sky(3, (50, 60)) + 20).astype(dtype)
    got = mesh_background(image, 16)
    expected = mesh_background(image.astype(np.float32), 16)
    np.testing.assert_array_equal(got, expected)


def test_input_may_be_strided_and_is_not_written_to():
    image = sky(4, (80, 100))
    view = image[::2, ::-2]
    copy = view.copy()
    np.testing.assert_array_equal(mesh_background(view, 16), mesh_background(copy, 16))
    np.testing.assert_array_equal(view, copy)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), shape=st.tuples(st.integers(1, 90), st.integers(1, 90)), box=st.integers(1, 40))
def test_every_window_is_a_crop(data, shape, box):
    background = Background.fit(sky(7, shape), box, exclude_percentile=60)
    whole = Box(0, shape[0], 0, shape[1])
    y0, x0 = data.draw(st.integers(0, shape[0] - 1)), data.draw(st.integers(0, shape[1] - 1))
    window = Box(y0, data.draw(st.integers(y0 + 1, shape[0])), x0, data.draw(st.integers(x0 + 1, shape[1])))
    for method in (background.level, background.rms):
        assert method(window).tobytes() == method(whole)[window.slices].tobytes()


@settings(max_examples=30, deadline=None)
@given(data=st.data(), shape=st.tuples(st.integers(1, 90), st.integers(1, 40)), box=st.integers(1, 40))
def test_strips_in_any_order_give_the_same_mesh(data, shape, box):
    image, mask = sky(8, shape), np.random.default_rng(8).random(shape) < 0.2
    whole = Background.fit(image, box, mask=mask)
    builder = BackgroundBuilder(shape, box)
    by = builder.box_shape[0]
    heights = data.draw(st.lists(st.integers(1, 3), min_size=1))
    starts = [0]
    while starts[-1] < shape[0]:
        starts.append(min(shape[0], starts[-1] + by * heights[len(starts) % len(heights)]))
    for y0, y1 in data.draw(st.permutations(list(pairwise(starts)))):
        builder.add_rows(y0, image[y0:y1], mask[y0:y1])
    strips = builder.finish()
    np.testing.assert_array_equal(strips.level_mesh, whole.level_mesh)
    np.testing.assert_array_equal(strips.rms_mesh, whole.rms_mesh)


def test_threads_do_not_matter():
    image = sky(9, (300, 310))
    mask = np.zeros(image.shape, dtype=bool)
    mask[40:200, 50:220] = True
    one, three = (mesh_background(image, 16, mask=mask, threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_large_areas_without_coverage():
    image = sky(10, (400, 500), sources=False)
    image[:, 60:] = np.nan
    background, rms = mesh_background(image, 32)
    assert np.isfinite(background).all()
    assert (rms > 0).all()
    assert abs(np.median(background[:, :60] - image[:, :60])) < 0.2


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (5, 3)])
def test_images_smaller_than_a_box(shape):
    image = sky(11, shape, sources=False)
    background, rms = mesh_background(image, 64)
    level, scatter, _ = _core.mesh_statistics(image, shape)
    assert (background == np.float32(level)).all()
    assert (rms == np.float32(scatter)).all()


def test_where_no_box_has_enough_sky_the_best_count():
    image = sky(12, (64, 64))
    mask = np.ones(image.shape, dtype=bool)
    mask[:16, :16] = False
    mask[40, 40] = False
    background, rms = mesh_background(image, 32, mask=mask)
    level, scatter, ngood = _core.mesh_statistics(image, (32, 32), mask)
    assert ngood[1, 1] == 1
    assert (background == np.float32(level[0, 0])).all()
    assert (rms == np.float32(scatter[0, 0])).all()


def test_a_constant_image_has_no_rms():
    background, rms = mesh_background(np.full((70, 50), 0.1, dtype=np.float32), 16)
    assert (background == np.float32(0.1)).all()
    assert (rms == 0).all()


def test_round_trip_through_fits(tmp_path):
    background = Background.fit(sky(13, (100, 130)), 32)
    fits.HDUList([fits.PrimaryHDU(), *background.to_hdus("F160W", 2)]).writeto(tmp_path / "mesh.fits")
    with fits.open(tmp_path / "mesh.fits") as hdus:
        again = Background.from_hdus(hdus["LEVEL", 2], hdus["RMS", 2])
        header = hdus["RMS", 2].header
        header["IMNAXIS1"] = 900
        with pytest.raises(ValueError, match="header"):
            Background.from_hdus(hdus["RMS", 2], hdus["LEVEL", 2])
    assert header["BAND"] == "F160W"
    assert header["BKGMED"] == np.median(background.level_mesh)
    assert header["BKGRMS"] == np.median(background.rms_mesh)
    for other in (again, pickle.loads(pickle.dumps(background))):
        assert (other.shape, other.box_shape) == (background.shape, background.box_shape)
        box = Box(3, 90, 5, 120)
        np.testing.assert_array_equal(other.level(box), background.level(box))
        np.testing.assert_array_equal(other.rms(box), background.rms(box))


def test_out_is_filled():
    background = Background.fit(sky(14, (50, 60)), 16)
    out = np.empty((10, 20), dtype=np.float32)
    assert background.level(Box(5, 15, 7, 27), out=out) is out
    np.testing.assert_array_equal(out, background.level(Box(5, 15, 7, 27)))
    with pytest.raises(ValueError, match="shape"):
        background.level(Box(5, 15, 7, 28), out=out)


def test_wrong_arguments_are_said():
    image = sky(15, (20, 20))
    with pytest.raises(ValueError, match="all pixels are masked"):
        mesh_background(image, 8, mask=np.ones(image.shape, dtype=bool))
    with pytest.raises(ValueError, match="all pixels are masked"):
        mesh_background(np.full((20, 20), np.nan), 8)
    with pytest.raises(ValueError, match="box_size"):
        mesh_background(image, 0)
    with pytest.raises(ValueError, match="filter_size"):
        mesh_background(image, 8, filter_size=2)
    with pytest.raises(ValueError, match="exclude_percentile"):
        mesh_background(image, 8, exclude_percentile=101)
    with pytest.raises(ValueError, match="mask has shape"):
        mesh_background(image, 8, mask=np.zeros((20, 21), dtype=bool))
    for wrong, message in ((image[0], "axes"), (np.empty((0, 4)), "must be positive")):
        with pytest.raises(ValueError, match=message):
            mesh_background(wrong, 8)
    for wrong in (image.astype(complex), np.ma.array(image)):
        with pytest.raises(TypeError, match="a "):
            mesh_background(wrong, 8)
    with pytest.raises(ValueError, match="not inside the mosaic"):
        Background.fit(image, 8).level(Box(0, 21, 0, 20))
    builder = BackgroundBuilder((20, 20), 8)
    for y0, rows in ((4, image[4:12]), (0, image[:12]), (0, image[:8, :19]), (16, image[:8])):
        with pytest.raises(ValueError, match="whole boxes"):
            builder.add_rows(y0, rows)
    builder.add_rows(0, image[:8])
    with pytest.raises(ValueError, match="2 rows of boxes were never added"):
        builder.finish()


@settings(max_examples=30, deadline=None)
@given(
    mask=hnp.arrays(
        bool,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=20),
        elements=st.integers(0, 9).map(lambda i: i == 0),
    ),
    radius=st.integers(0, 25),
)
def test_dilation_is_scipys(mask, radius):
    square = np.ones((2 * radius + 1,) * 2, dtype=bool)
    np.testing.assert_array_equal(_core.dilate_square(mask, radius), ndimage.binary_dilation(mask, square))


def test_sources_are_where_the_mean_exceeds():
    snr = np.random.default_rng(16).normal(size=(60, 70)).astype(np.float32)
    snr[20:23, 30:33] += 4
    found = np.zeros(snr.shape, dtype=bool)
    _core.mark_sources(snr, 1.0, found)
    # Inside, and where no sum is so close to the threshold that its rounding matters.
    mean = ndimage.uniform_filter(snr.astype(np.float64), 3)[1:-1, 1:-1]
    clear = np.abs(mean - 1) > 1e-5
    np.testing.assert_array_equal(found[1:-1, 1:-1][clear], (mean > 1)[clear])
    assert found[21, 31]
