"""Simulated sources in real images, stars without spikes, real galaxies in simulated fields."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from scipy import ndimage

from starnet.errors import StarnetError
from starnet.simulate import Field, load_preset, truth
from starnet.simulate.noise import Noise
from starnet.simulate.population import DISK, STAR
from starnet.splits import AreaSplit
from starnet.tiles import Box
from starnet.train.correlation import correlation, power
from starnet.train.sources import load_source
from starnet.train.sources.simulated import Simulated
from starnet.train.sources.spikes import without_spikes

SIDE = 384
BANDS = ("F160W", "F606W")
PRESET = replace(load_preset("candels-deep").select(BANDS), pointing=0.0)
BLOB = Box(90, 130, 200, 240)


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """A folder with the noise of a survey, a blob of light on it, and a corner without data."""
    folder, noise = tmp_path_factory.mktemp("sky"), Noise(PRESET, 5)
    whole = Box(0, SIDE, 0, SIDE)
    for i, band in enumerate(PRESET.bands):
        data = noise.noise(i, whole) + np.float32(3)
        data[BLOB.slices] += 30 * noise.reference[i]
        weight = noise.weight(i, whole)
        weight[:30, :50] = 0
        header = fits.Header([("FILTER", band.name), ("BUNIT", "electron/s"), ("ABMAGZP", band.zero_point + 1)])
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(data, header, "SCI"), fits.ImageHDU(weight, name="WHT")]
        fits.HDUList(hdus).writeto(folder / f"{band.name}.fits")
    labels = np.zeros((SIDE, SIDE), np.int32)
    labels[BLOB.slices] = 9
    fits.writeto(folder / "labels.fits", labels)
    return folder


def mapping(**more):
    return {
        "kind": "injected", "images": [f"{name}.fits" for name in BANDS], "preset": "candels-deep",
        "pixel_scale": 0.06, "field": 256, "crops_per_field": 3, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def source(sky):
    return load_source(mapping(), base=sky)


def same(a, b):
    return all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in ("image", "labels", "ignore"))


def test_a_sample_is_a_function_of_its_number(source):
    samples = [source.sample(index, 64, 5) for index in range(6)]
    assert len({one.image.tobytes() for one in samples}) == 6
    other = pickle.loads(pickle.dumps(source))
    for index in (4, 0, 5, 2):
        assert same(other.sample(index, 64, 5), samples[index])
    assert not same(source.sample(0, 64, 6), samples[0])


def test_pixels_are_the_images_and_the_light(source):
    """What is added to the images is the light, with the noise of its photons."""
    target, seed, number = source.target, 3, 1
    region = source._region(np.random.default_rng([seed, number, 1]))
    rng = np.random.default_rng([seed, number, 1])
    source._region(rng)
    light, labels, rows = source._paint(int(rng.integers(1 << 62)), region)
    plain, scene = target.recipe.apply(target.mosaic, region), source._make(seed, number)
    change = (np.sinh(scene.image.astype(float)) - np.sinh(plain.image.astype(float))) * plain.sigma
    exposure = np.array([band.exposure for band in target.preset.bands])[:, None, None]
    photons = np.sqrt(np.maximum(light, 0) / exposure)
    off = (change - light) / np.hypot(photons, 1e-4 * plain.sigma)  # and what float32 rounds
    assert np.abs(off[plain.valid]).max() < 6
    assert off[(photons > 0.01 * plain.sigma) & plain.valid].std() == pytest.approx(1, abs=0.05)
    assert (light > plain.sigma).sum() > 100
    assert exposure.ravel() == pytest.approx([band.exposure / 10**0.4 for band in PRESET.bands])
    labels = without_spikes(labels, rows)
    np.testing.assert_array_equal(scene.labels > 0, (rows["snr"] >= 5)[labels - 1] & large(labels))


def large(labels):
    found, place, count = np.unique(labels, return_inverse=True, return_counts=True)
    return ((count >= 5) & (found > 0))[place].reshape(labels.shape)


def test_a_pixel_belongs_to_the_brightest(source):
    """Against a picture of each source alone."""
    region = Box(100, 356, 64, 320)
    light, labels, rows = source._paint(77, region)
    sources, layout = source._population(77, region.shape)
    ivar = 1 / source.target.recipe.apply(source.target.mosaic, region).sigma ** 2
    weights = truth.detection_weights(ivar)
    total, best, owner = np.zeros_like(light), np.ones(region.shape), np.zeros(region.shape, int)
    box = Box(0, 256, 0, 256)
    wanted = layout.reaching(box)
    for stamps in source.painter.stamps(sources.sources, sources.components, layout, wanted):
        for index, pixels in zip(stamps.index.tolist(), stamps.pixels, strict=True):
            place = Box(layout.y0[index], layout.y0[index] + layout.side[index],
                        layout.x0[index], layout.x0[index] + layout.side[index])  # fmt: skip
            part = place.intersect(box)
            alone = np.zeros_like(light)
            alone[:, *part.slices] = pixels[:, *part.slices_in(place)]
            total += alone
            image = truth.detection(alone, weights)
            owner[image > best] = index + 1
            best = np.maximum(best, image)
    np.testing.assert_allclose(light, total, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(labels, owner)
    assert set(np.unique(labels)) <= {0, *rows["label"].tolist()}


def test_signal_to_noise_knows_the_correlation(source):
    """As the simulator's own, whose noise is known and not measured."""
    region = Box(64, 320, 64, 320)
    _, _, rows = source._paint(12, region)
    sources, layout = source._population(12, region.shape)
    noise = Noise(PRESET, 5)
    sigma = np.array(noise.reference, np.float32)[:, None, None]
    exact, white = np.zeros((2, len(rows)))
    inside = (layout.y0 >= 0) & (layout.x0 >= 0) & (layout.y0 + layout.side <= 256) & (layout.x0 + layout.side <= 256)
    for stamps in source.painter.stamps(sources.sources, sources.components, layout, inside):
        for index, pixels in zip(stamps.index.tolist(), stamps.pixels, strict=True):
            ivar = np.broadcast_to(1 / sigma**2, pixels.shape)
            spectra = [noise.power(band, pixels.shape[-1]) for band in range(2)]
            exact[index] = truth.signal_to_noise(pixels[None], ivar[None], spectra)[0]
            white[index] = np.sqrt((pixels.astype(float) ** 2 * ivar).sum())
    chosen = inside & (exact > 3) & (exact < 50)
    assert chosen.sum() > 20
    assert np.median(rows["snr"][chosen] / exact[chosen]) == pytest.approx(1, abs=0.08)
    assert np.median(white[chosen] / exact[chosen]) > 1.15  # it would matter


def test_power_is_that_of_its_correlation():
    taps = np.array([0.6, 1.0, 0.3])
    kernel = np.outer(taps, taps) / (taps @ taps)
    white = np.random.default_rng(1).normal(size=(1, 700, 700))
    noise = ndimage.convolve(white, kernel[None], mode="wrap").astype(np.float32)
    found = correlation(noise, np.ones(noise.shape[1:], bool), 8)[0]
    for side in (16, 24, 64):
        exact = np.abs(np.fft.rfft2(kernel, (side, side))) ** 2
        # Bounded: where hardly any power is, what is measured is not much.
        np.testing.assert_allclose(power(found, side), np.maximum(exact, 0.03), rtol=0.08, atol=0.06)
        assert power(found, side).min() >= 0.03


def test_what_is_there_is_ignored(sky, source):
    region = BLOB.pad(12)
    shown = source.target.recipe.apply(source.target.mosaic, region)
    found = source._objects(region, shown)
    assert found[12:52, 12:52].all()
    assert not found[0].any()
    assert found.sum() < 52**2
    # By a map, its objects and two pixels around them.
    told = load_source(mapping(labels="labels.fits"), base=sky)
    expected = np.zeros(region.shape, bool)
    expected[10:54, 10:54] = True
    np.testing.assert_array_equal(told._objects(region, shown), expected)
    whole = replace(told, side=SIDE)._make(1, 0)
    assert whole.ignore[BLOB.pad(2).slices].all()
    assert whole.ignore[:30, :50].all()
    assert whole.ignore.mean() < 0.1


def test_noise_alone_is_not_taken_for_objects(source):
    empty = Box(140, SIDE, 0, 190)
    assert source._objects(empty, source.target.recipe.apply(source.target.mosaic, empty)).mean() < 0.01


def test_parts_never_meet(sky):
    split = AreaSplit.draw((SIDE, SIDE), square=96, seed=2)
    keys = {"square": 96, "split_seed": 2}
    for part in ("train", "validation"):
        own = load_source(mapping(part=part, **keys), base=sky)
        regions = {own._region(np.random.default_rng(i)) for i in range(200)}
        assert regions == set(split.parts[part])
        sample = own.sample(0, 128, 1)
        assert sample.ignore[96:].all()
        assert not sample.ignore[:96, :96].all()


def test_bad_inputs(sky, tmp_path):
    data = fits.getdata(sky / "F160W.fits", "SCI")
    fits.writeto(tmp_path / "plain.fits", data)
    fits.writeto(tmp_path / "small.fits", np.zeros((5, 5), np.int32))
    for change, message in [
        ({"pixel_scale": None}, "no WCS"),
        ({"images": [f"F160W={tmp_path / 'plain.fits'}"]}, "which AB magnitude one unit is"),
        ({"zero_points": {"F850LP": 25.0}}, "the mosaic has no such band"),
        ({"psf": {"F160W": "none.fits"}}, "point-spread function .*none.fits is not there"),
        ({"labels": str(tmp_path / "small.fits")}, "has 5 x 5 pixels, but the images have 384 x 384"),
        ({"preset": "no"}, r"no preset .*no"),
        ({"part": "tune", "square": 300}, "too few for 4"),
    ]:
        with pytest.raises(StarnetError, match=message):
            load_source(mapping(**change), base=sky)
    for change, message in [
        ({"zero_points": {"F160W": "25"}}, "zero_points=.* is of the wrong type"),
        ({"images": []}, "images is empty"),
        ({"weights": "all"}, "weights='all': must be none"),
        ({"field": 0}, "field=0"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_source(mapping(**change), base=sky)
    given = load_source(mapping(zero_points={"F160W": 24.0}), base=sky)
    assert given.target.zero_point == 24.0


def star_map(y, x, shape=(120, 120)):
    """A disk of radius 20 with a cross 3 pixels wide and 50 long, and a piece of it further out."""
    dy, dx = np.mgrid[: shape[0], : shape[1]] - np.array([y, x])[:, None, None]
    disk = np.hypot(dy, dx) < 20
    arms = (np.minimum(abs(dy), abs(dx)) < 2) & (np.maximum(abs(dy), abs(dx)) < 50)
    arms[2:5, x - 1 : x + 2] = True
    return np.where(disk | arms, 7, 0).astype(np.int32), disk


@pytest.mark.parametrize(("y", "x"), [(60, 60), (-5, 40), (118, 3)])
def test_spikes_are_sky(y, x):
    labels, disk = star_map(y, x)
    labels[(labels == 0) & (np.indices(labels.shape)[1] > 100)] = 3  # a neighbour
    row = np.zeros(1, [("label", "i4"), ("kind", "u1"), ("y", "f8"), ("x", "f8")])
    row["label"], row["kind"], row["y"], row["x"] = 7, STAR, y, x
    plain = without_spikes(labels, row)
    disk &= labels == 7
    np.testing.assert_array_equal(plain[disk], 7)
    assert ((plain == 7) & ~disk).sum() < 0.1 * disk.sum()
    np.testing.assert_array_equal(plain == 3, labels == 3)
    row["kind"] = DISK
    np.testing.assert_array_equal(without_spikes(labels, row), labels)


def test_stars_of_simulated_fields_are_round():
    preset = replace(load_preset("candels-deep").select(("F160W",)), stars=60.0, faintest=20.0)
    sky = Field(preset, (400, 400), 3)
    window, found = sky.window_and_truth(sky.whole)
    made = Simulated(preset, (400, 400), (3,))._make(3)
    areas = np.bincount(window.labels.ravel(), minlength=int(found.rows["label"].max()) + 1)[found.rows["label"]]
    bright = found.rows[(found.rows["kind"] == STAR) & (areas > 1000)]
    inside = [row for row in bright if min(row["y"], row["x"]) > 0 and max(row["y"], row["x"]) < 399]
    assert inside
    cut = 0
    for row in inside:
        before = window.labels == row["label"]
        after = made.labels == made.labels[int(row["y"]), int(row["x"])]
        assert not (after & ~before).any()
        assert ndimage.label(after)[1] <= ndimage.label(before)[1]
        y, x = np.nonzero(after)
        reach = np.hypot(y - row["y"], x - row["x"]).max()
        y, x = np.nonzero(before)
        cut += reach < 0.9 * np.hypot(y - row["y"], x - row["x"]).max()
    assert cut


def test_real_galaxies_are_painted(shared_data):
    keys = {"kind": "simulated", "preset": "candels-deep", "bands": 1, "field": 192, "crops_per_field": 1}
    stamps = str(shared_data / "cosmos-realgal-btk")
    plain, real = load_source(keys), load_source(keys | {"stamps": stamps})
    a, b = plain.sample(0, 192, 4), real.sample(0, 192, 4)
    assert b.image.shape == a.image.shape
    differ = (a.image != b.image).any(axis=0)
    # Elsewhere noise and sky are the same; the recipe's fit is not, by a little.
    assert np.median(np.abs(a.image - b.image)) < 0.05
    assert np.abs(a.image - b.image)[:, (a.labels > 0) | (b.labels > 0)].max() > 0.5
    assert differ.any()
    assert b.labels.max() > 5
