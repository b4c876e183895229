"""Samples that are pictures of 8 bits, pixels of another size, and more bands than three."""

import numpy as np
import pytest

from starnet.networks import NETWORKS
from starnet.networks.geometry import grouped
from starnet.train.sources import load_source, load_sources
from starnet.train.sources.rendering import rendered


def noise(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("bands", [1, 3, 9])
def test_a_picture_shows_noise_stars_and_nothing_beyond_its_levels(bands):
    snr = noise(bands, 96, 128)
    snr[:, 40:44, 60:64] += 3000
    picture = rendered(snr, np.random.default_rng(2))
    assert (picture.dtype, picture.shape) == (np.uint8, (3, 96, 128))
    sky = np.delete(picture, np.s_[24:60], axis=1)
    assert 1 < sky.std() < 10
    assert 3 <= np.median(sky) <= 31
    assert picture[:, 40:44, 60:64].min() > 120


def test_a_picture_is_drawn_by_its_generator():
    snr = noise(3, 32, 32)
    first, again, other = (rendered(snr, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_fields_as_pictures_keep_their_truth():
    plain, picture = (
        load_source({"kind": "simulated", "preset": "candels-deep", "field": 256, "picture": one})
        for one in (False, True)
    )
    assert picture.bands == ("red", "green", "blue")
    of_bands, of_picture = plain.sample(0, 256, 3), picture.sample(0, 256, 3)
    assert np.array_equal(of_bands.labels, of_picture.labels)
    assert np.array_equal(of_bands.ignore, of_picture.ignore)
    assert of_picture.image.shape == (3, 256, 256)
    # In noise units again, and brighter where the sources are.
    sky, light = (
        of_picture.image[:, one & ~of_picture.ignore] for one in (of_picture.labels == 0, of_picture.labels > 0)
    )
    assert 0.4 < sky.std() < 1.2
    assert light.mean() > sky.mean() + 1
    assert plain._identity != picture._identity


def test_pixels_of_another_size():
    coarse = load_source({"kind": "simulated", "preset": "xdf", "bands": 1, "pixel_scale": 0.2})
    assert coarse.preset.pixel_scale == 0.2
    with pytest.raises(ValueError, match="pixel_scale=-1"):
        load_source({"kind": "simulated", "preset": "xdf", "pixel_scale": -1.0})
    with pytest.raises(ValueError, match="pixel_scale is that of a preset"):
        load_source({"kind": "simulated", "split": "a.yaml", "part": "train", "pixel_scale": 0.1})
    with pytest.raises(ValueError, match="picture=1 "):
        load_source({"kind": "simulated", "preset": "xdf", "picture": 1})


@pytest.mark.parametrize("pictures", [False, True])
def test_mixed_sources_show_what_the_network_would(pictures):
    one = {"kind": "simulated", "preset": "rubin", "field": 96, "bands": 4, "crops_per_field": 1}
    mixed = load_sources([one, {**one, "bands": 1}], pictures=pictures)
    alone = load_source(one)
    index = next(i for i in range(2) if np.array_equal(mixed.sample(i, 96, 0).labels, alone.sample(0, 96, 0).labels))
    expected = np.tensordot(grouped(4, pictures=pictures), alone.sample(0, 96, 0).image, axes=1)
    np.testing.assert_array_equal(mixed.sample(index, 96, 0).image, expected)


def test_networks_of_the_recipe_noise_take_noise_units():
    assert not NETWORKS["tiny"].pictures
