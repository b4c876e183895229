"""Recipes: noise units that are right, the published chain to the letter, pixels that do not depend on the window."""

import pickle
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import yaml
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from starnet import _core
from starnet.errors import StarnetError
from starnet.filters import rolling_median
from starnet.mosaic import ArrayMosaic, Mosaic
from starnet.recipe import NoiseRecipe, Recipe, SeedRecipe
from starnet.tiles import Box

SATURATION = 500
PLANES = ("image", "snr", "flux", "sigma", "valid")


def sources(rng, shape, number):
    """Gaussian sources of many brightnesses, with unit noise in mind."""
    image = np.zeros(shape)
    image[rng.integers(0, shape[0], number), rng.integers(0, shape[1], number)] = rng.pareto(1, number) * 100
    return ndimage.gaussian_filter(image, 2.0)


@cache
def field(weights):
    """Three bands: a sloping sky, holes, bad pixels; with weights also a step in depth, and no coverage at a border."""
    rng = np.random.default_rng(42)
    shape = (190, 230)
    x = np.arange(shape[1])
    scale = np.array([1.0, 0.02, 300.0])[:, None, None]
    noise = np.where(x < 120, 1.0, 3.0 if weights else 1.0) * np.ones((3, *shape))
    data = sources(rng, shape, 60) + rng.normal(size=(3, *shape)) * noise + 5 + 0.01 * x
    data *= scale
    data[:, 60:90, 40:70] = np.nan
    data[1, 150:, :] = np.nan
    data[:, rng.random(shape) < 0.01] = np.nan
    valid = rng.random((3, *shape)) > 0.01
    if not weights:
        return ArrayMosaic(data, valid=valid, saturation=SATURATION)
    # The weight map knows the depth up to a factor, and one band has none.
    ivar = (0.25 / (noise * scale) ** 2).astype(np.float32)
    ivar[:, :, :20] = 0
    ivar[2] = np.nan
    return ArrayMosaic(data, ivar, valid=valid, saturation=SATURATION)


CONFIGS = {
    "noise": NoiseRecipe(box_size=32),
    "seed": SeedRecipe(box_size=32, sky_window=21, median_size=10),
    "seed with nodes": SeedRecipe(box_size=32, sky_window=21, sky_step=8, median_size=5),
}


@cache
def fitted(config, weights):
    mosaic = field(weights)
    recipe = Recipe.fit(mosaic, CONFIGS[config])
    return mosaic, recipe, recipe.apply(mosaic, mosaic.whole)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("config", CONFIGS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_window_is_a_crop(config, weights, data):
    mosaic, recipe, whole = fitted(config, weights)
    ny, nx = mosaic.shape
    y0, x0 = data.draw(st.integers(0, ny - 1)), data.draw(st.integers(0, nx - 1))
    box = Box(y0, data.draw(st.integers(y0 + 1, ny)), x0, data.draw(st.integers(x0 + 1, nx)))
    window = recipe.apply(mosaic, box, threads=data.draw(st.sampled_from([None, 1, 3])))
    assert window.box == box
    for name in PLANES:
        got, expected = getattr(window, name), getattr(whole, name)[:, *box.slices]
        assert got.dtype == expected.dtype
        assert got.flags.c_contiguous
        assert got.tobytes() == expected.tobytes(), name
    np.testing.assert_array_equal(window.saturated, whole.saturated[box.slices])


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("config", CONFIGS)
def test_pixels_that_are_not_valid(config, weights):
    mosaic, _, whole = fitted(config, weights)
    hole = ~whole.valid
    assert (whole.valid <= mosaic.read(mosaic.whole).valid).all()
    assert 0 < hole.mean() < 0.5
    assert (whole.image[hole] == 0).all()
    assert (whole.snr[hole] == 0).all()
    assert np.isnan(whole.flux[hole]).all()
    assert (whole.sigma[hole] == np.inf).all()
    for name in ("image", "snr", "flux", "sigma"):
        assert getattr(whole, name).dtype == np.float32
        assert np.isfinite(getattr(whole, name)[whole.valid]).all()
    assert (whole.sigma > 0).all()


@given(npst.arrays(np.float32, (3, 19), elements=st.floats(width=32)), st.floats(0.125, 8, width=32))
def test_noise_of_a_weight_map_is_numpys(ivar, factor):
    sigma = np.zeros(ivar.shape, np.float32)
    np.sqrt(ivar, out=sigma, where=ivar > 0)
    known = sigma > 0
    np.divide(np.float32(factor), sigma, out=sigma, where=known)
    sigma[~known] = np.inf
    np.testing.assert_array_equal(_core.noise_from_weight(ivar, factor), sigma)


@pytest.mark.parametrize("weights", [False, True])
def test_noise_units_have_unit_noise(weights):
    mosaic, recipe, whole = fitted("noise", weights)
    for i, sky in enumerate(recipe.skies):
        snr = whole.snr[i][whole.valid[i]]
        below, median = np.percentile(snr, [15.87, 50])
        assert median - below == pytest.approx(1, abs=0.1)
        assert abs(median) < 0.3
        assert (sky.noise_factor is not None) == mosaic.bands[i].has_weight
        if sky.noise_factor is not None:
            # 0.25 in the weights: they overstate the noise twice.
            assert sky.noise_factor == pytest.approx(0.5, rel=0.05)
            deep, shallow = (whole.snr[i][:, half][whole.valid[i][:, half]] for half in (slice(120), slice(120, None)))
            assert np.std(np.clip(deep, -3, 1)) == pytest.approx(np.std(np.clip(shallow, -3, 1)), rel=0.15)
    np.testing.assert_allclose(whole.snr[whole.valid], (whole.flux / whole.sigma)[whole.valid], rtol=1e-6)
    np.testing.assert_allclose(whole.image, np.arcsinh(whole.snr), rtol=1e-6, atol=1e-7)


def test_masking_sources_lowers_sky_and_noise():
    rng = np.random.default_rng(3)
    data = rng.normal(size=(1, 400, 400)) + sources(rng, (400, 400), 1500)
    plain = Recipe.fit(ArrayMosaic(data), NoiseRecipe(source_threshold=1e6))
    masked = Recipe.fit(ArrayMosaic(data))
    backgrounds = [recipe.skies[0].background for recipe in (plain, masked)]
    assert 0 <= abs(backgrounds[1].median_level) < 0.5 * abs(backgrounds[0].median_level)
    assert abs(backgrounds[1].median_rms - 1) < abs(backgrounds[0].median_rms - 1)


def test_softening():
    mosaic, recipe, whole = fitted("noise", False)
    soft = replace(recipe, config=replace(recipe.config, asinh_softening=5.0)).apply(mosaic, mosaic.whole)
    np.testing.assert_array_equal(soft.snr, whole.snr)
    np.testing.assert_allclose(soft.image, np.arcsinh(whole.snr / 5), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("step", [1, 7])
def test_seed_is_the_published_chain(step):
    rng = np.random.default_rng(5)
    data = (rng.normal(size=(2, 120, 130)) + sources(rng, (120, 130), 30)).astype(np.float32)
    mosaic = ArrayMosaic(data)
    config = SeedRecipe(sky_window=25, sky_step=step)
    result = Recipe.fit(mosaic, config).apply(mosaic, mosaic.whole)
    for i, band in enumerate(data):
        exact = step == 1
        sky = ndimage.median_filter(band, 25, mode="reflect") if exact else rolling_median(band, 25, step=step)
        residual = band - sky
        clipped = np.clip(residual, *np.percentile(residual, (2.5, 97.5)).astype(np.float32))
        smooth = ndimage.median_filter(clipped, 10, mode="reflect")
        expected = (smooth - smooth.min()) / (smooth.max() - smooth.min())
        np.testing.assert_allclose(result.image[i], expected, rtol=1e-6, atol=1e-7)
        below, median = np.percentile(smooth, [15.865525393145708, 50])
        np.testing.assert_allclose(result.snr[i], (smooth - median) / (median - below), rtol=1e-5, atol=1e-5)
        assert result.image[i].min() == 0
        assert result.image[i].max() == 1


def test_flux_and_sigma_do_not_depend_on_the_recipe():
    noise, seed = (fitted(config, True)[2] for config in ("noise", "seed"))
    both = noise.valid & seed.valid
    np.testing.assert_array_equal(noise.flux[both], seed.flux[both])
    np.testing.assert_array_equal(noise.sigma[both], seed.sigma[both])


@pytest.mark.parametrize("config", CONFIGS)
def test_strips_do_not_matter(config, monkeypatch):
    mosaic, recipe, whole = fitted(config, True)
    monkeypatch.setattr("starnet.recipe.sky._STRIP_PIXELS", 1)
    told = []
    again = Recipe.fit(mosaic, CONFIGS[config], threads=1, progress=lambda *step: told.append(step))
    strips = again.apply(mosaic, mosaic.whole)
    for name in PLANES:
        assert getattr(strips, name).tobytes() == getattr(whole, name).tobytes(), name
    assert again.scales == recipe.scales
    assert ("sky, sources masked", 0, 6) in told
    assert ("sky, sources masked", 6, 6) in told


def assert_same(a, b, mosaic):
    one, other = (recipe.apply(mosaic, Box(3, 99, 50, 170)) for recipe in (a, b))
    for name in PLANES:
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert (a.config, a.bands, a.shape, a.scales, a.fingerprint) == (
        b.config,
        b.bands,
        b.shape,
        b.scales,
        b.fingerprint,
    )


@pytest.mark.parametrize("config", CONFIGS)
def test_saved_and_loaded(config, tmp_path):
    mosaic, recipe, _ = fitted(config, True)
    path = tmp_path / "recipe.yaml"
    recipe.save(path)
    recipe.save(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["recipe.background.fits", "recipe.yaml"]
    document = yaml.safe_load(path.read_text())
    assert list(document) == ["format", "recipe", "parameters", "fitted"]
    assert document["fitted"]["bands"][0]["noise_factor"] == recipe.skies[0].noise_factor
    assert document["fitted"]["bands"][2]["noise_factor"] is None
    with fits.open(tmp_path / "recipe.background.fits") as hdus:
        assert hdus["RMS", 2].header["BAND"] == "B1"
        assert hdus["LEVEL", 1].header["BKGMED"] == document["fitted"]["bands"][0]["background"]
    for again in (Recipe.load(path), Recipe.fit(mosaic, path), pickle.loads(pickle.dumps(recipe))):
        assert_same(recipe, again, mosaic)
    # Saved again it is the same to the byte.
    Recipe.load(path).save(tmp_path / "again.yaml")
    assert (tmp_path / "again.background.fits").read_bytes() == (tmp_path / "recipe.background.fits").read_bytes()


def test_only_parameters_are_fitted_anew(tmp_path):
    mosaic, recipe, _ = fitted("noise", True)
    path = tmp_path / "mine.yaml"
    path.write_text("format: 1\nrecipe: noise\nparameters:\n  box_size: 32\n")
    assert_same(recipe, Recipe.fit(mosaic, str(path)), mosaic)
    with pytest.raises(StarnetError, match="no 'fitted' section"):
        Recipe.load(path)


def test_fitted_to_another_mosaic(tmp_path):
    mosaic, recipe, _ = fitted("noise", True)
    path = tmp_path / "recipe.yaml"
    recipe.save(path)
    renamed = ArrayMosaic(mosaic.data, mosaic.ivar, names=["B0", "B1", "other"])
    smaller = ArrayMosaic(mosaic.data[:, :-1], mosaic.ivar[:, :-1])
    unweighted = ArrayMosaic(mosaic.data)
    for other in (renamed, smaller, unweighted):
        with pytest.raises(StarnetError, match=r"was fitted .*delete its 'fitted' section"):
            Recipe.fit(other, path)
    with pytest.raises(ValueError, match="the recipe was fitted to"):
        recipe.apply(smaller, Box(0, 1, 0, 1))
    with pytest.raises(ValueError, match="Box"):
        recipe.apply(mosaic, Box(0, 191, 0, 1))


DAMAGED = {
    "cannot be read": None,
    "is not YAML": "format: [1",
    "must hold 'format'": "just text",
    "there is no key 'formt'": "formt: 1\nrecipe: noise",
    "format is 2": "format: 2\nrecipe: noise",
    "recipe is 'loud', must be noise or seed": "format: 1\nrecipe: loud",
    "there is no parameter 'boxsize'": "format: 1\nrecipe: noise\nparameters: {boxsize: 3}",
    "there is no parameter 'clip'": "format: 1\nrecipe: noise\nparameters: {clip: [1, 2]}",
    "parameters must be a section": "format: 1\nrecipe: noise\nparameters: 3",
    "box_size is 'large', must be a whole number": "format: 1\nrecipe: noise\nparameters: {box_size: large}",
    "asinh_softening is nan, must be a number": "format: 1\nrecipe: noise\nparameters: {asinh_softening: .nan}",
    "clip is 97.5, must be two numbers": "format: 1\nrecipe: seed\nparameters: {clip: 97.5}",
    "section is damaged": "format: 1\nrecipe: noise\nfitted: {shape: [3, 4], bands: 3}",
}


@pytest.mark.parametrize("message", DAMAGED)
def test_damaged_yaml_gets_one_sentence(message, tmp_path):
    path = tmp_path / "mine.yaml"
    if DAMAGED[message] is not None:
        path.write_text(DAMAGED[message])
    with pytest.raises(StarnetError, match=message) as caught:
        Recipe.fit(field(False), path)
    assert "mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_meshes(tmp_path):
    _, recipe, _ = fitted("noise", True)
    path, meshes = tmp_path / "recipe.yaml", tmp_path / "recipe.background.fits"
    recipe.save(path)
    whole = meshes.read_bytes()
    for content in (
        whole[:4000],
        b"",
        whole.replace(b"IMNAXIS1=                  230", b"IMNAXIS1=                  330"),
    ):
        meshes.write_bytes(content)
        with pytest.raises(StarnetError, match=r"recipe\.background\.fits"):
            Recipe.load(path)
    meshes.unlink()
    with pytest.raises(StarnetError, match=r"recipe\.background\.fits beside it"):
        Recipe.load(path)


WRONG = [
    *({"box_size": value} for value in (1, True, 64.0)),
    {"filter_size": 2},
    {"exclude_percentile": -1},
    {"source_threshold": 0},
    {"source_dilation": -1},
    {"sky_window": 0},
    {"sky_step": 0},
    {"clip": (97.5, 2.5)},
    {"clip": (1, 2, 3)},
    {"median_size": 0},
]


@pytest.mark.parametrize("parameters", WRONG, ids=str)
def test_parameters_check_themselves(parameters):
    with pytest.raises(ValueError, match=rf"{next(iter(parameters))} is .*, must be "):
        SeedRecipe(**parameters)


def test_unknown_recipes_are_refused():
    with pytest.raises(StarnetError, match=r"there is no recipe 'loud'; name noise or seed, or a \.yaml file"):
        Recipe.fit(field(False), "loud")
    with pytest.raises(ValueError, match="asinh_softening"):
        NoiseRecipe(asinh_softening=0)


@pytest.mark.parametrize("name", ["noise", "seed"])
def test_bands_without_noise_are_named(name):
    good = np.random.default_rng(6).normal(size=(80, 90))
    with pytest.raises(StarnetError, match="band B1 has no valid pixel"):
        Recipe.fit(ArrayMosaic([good, np.full_like(good, np.nan)]), name)
    with pytest.raises(StarnetError, match="band B1 has no valid pixel"):
        Recipe.fit(ArrayMosaic([good, good], np.stack([np.ones_like(good), np.zeros_like(good)])), name)
    for ivar in (None, np.ones((2, 80, 90), dtype=np.float32)):
        with pytest.raises(StarnetError, match="band B1 is constant"):
            Recipe.fit(ArrayMosaic([good, np.full_like(good, 3)], ivar), name)
    with pytest.raises(StarnetError, match="band B0 is constant"):
        Recipe.fit(ArrayMosaic(np.ones((1, 1, 1))), name)


def test_seed_without_noise_left():
    data = np.zeros((1, 320, 320))
    data[:, :, 256:] = np.random.default_rng(7).normal(size=(1, 320, 64))
    with pytest.raises(StarnetError, match="band B0: the filters of the recipe 'seed' leave most pixels equal"):
        Recipe.fit(ArrayMosaic(data), SeedRecipe(box_size=16))


def test_where_there_is_no_noise_pixels_are_not_valid():
    rng = np.random.default_rng(8)
    data = np.zeros((1, 320, 320))
    data[:, :, 192:] = rng.normal(size=(1, 320, 128))
    mosaic = ArrayMosaic(data)
    result = Recipe.fit(mosaic, NoiseRecipe(box_size=32)).apply(mosaic, mosaic.whole)
    assert not result.valid[0, :, :96].any()
    assert result.valid[0, :, 256:].all()
    assert np.std(result.snr[0, :, 256:]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (7, 5)])
@pytest.mark.parametrize("config", [NoiseRecipe(), SeedRecipe(sky_window=9, median_size=2)])
def test_tiny_mosaics(shape, config):
    mosaic = ArrayMosaic(np.random.default_rng(9).normal(size=(1, *shape)))
    recipe = Recipe.fit(mosaic, config)
    whole = recipe.apply(mosaic, mosaic.whole)
    assert whole.valid.all()
    part = Box(shape[0] // 2, shape[0], shape[1] // 2, shape[1])
    np.testing.assert_array_equal(recipe.apply(mosaic, part).image, whole.image[:, *part.slices])


@pytest.mark.parametrize("name", ["noise", "seed"])
def test_xdf(shared_data, name):
    files = [shared_data / "xdf-demo" / f"xdf_{band}.fits" for band in ("f160w", "f850lp", "f606w")]
    mosaic = Mosaic.open(files)
    recipe = Recipe.fit(mosaic, name)
    whole = recipe.apply(mosaic, Box(0, 500, 0, 500))
    window = recipe.apply(mosaic, Box(100, 431, 77, 200))
    for plane in PLANES:
        assert getattr(window, plane).tobytes() == getattr(whole, plane)[:, 100:431, 77:200].tobytes()
    assert whole.valid.mean() > 0.99
    for i, sky in enumerate(recipe.skies):
        # The weight maps overstate the scatter of single pixels: resampling has correlated them.
        assert 0.2 < sky.noise_factor < 0.5
        below, median = np.percentile(whole.snr[i], [15.87, 50])
        assert 0.8 < (median - below) < 1.4
    if name == "seed":
        assert whole.image.min() == 0
        assert whole.image.max() == 1
