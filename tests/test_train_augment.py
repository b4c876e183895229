"""Augmentation: labels follow pixels, noise units stay noise units, and the generator decides everything."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

from starnet.train import sky
from starnet.train.augment import Augmentation, View, _kept
from starnet.train.augmentations import KINDS, PRESETS
from starnet.train.cuts import sunken, without_crumbs
from starnet.train.pictures import draw_samples

ALWAYS = {"probability": 1.0}
Batch = dict[str, Tensor]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def white(seed: int, n: int = 1, bands: int = 3, side: int = 192, correlation: float = 0.0) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(size=(n, bands, side, side))
    if correlation:
        noise = ndimage.gaussian_filter(noise, (0, 0, correlation, correlation), mode="wrap")
        noise /= noise.std()
    return noise


def batch_of(linear: NDArray[Any], labels: NDArray[Any] | None = None) -> Batch:
    n, _, ny, nx = linear.shape
    labels = np.zeros((n, ny, nx)) if labels is None else labels
    return {
        "pixels": torch.from_numpy(np.arcsinh(linear).astype(np.float32)),
        "labels": torch.from_numpy(labels.astype(np.int64)),
        "valid": torch.ones((n, ny, nx), dtype=torch.bool),
    }


def sources(seed: int, side: int = 192, count: int = 5) -> Batch:
    """Bright round sources on noise, each of its label."""
    rng = np.random.default_rng(seed)
    linear, labels = white(seed + 1, side=side), np.zeros((1, side, side), np.int64)
    y, x = np.mgrid[:side, :side]
    for k in range(1, count + 1):
        angle = 2 * np.pi * k / count
        cy, cx = side / 2 + 0.22 * side * np.array([np.sin(angle), np.cos(angle)]) + rng.uniform(-4, 4, 2)
        radius = np.hypot(y - cy, x - cx)
        linear[0] += 300 * np.exp(-((radius / 3) ** 2) / 2)
        labels[0][radius < 9] = k
    return batch_of(linear, labels)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augment(mapping: dict[str, Any], batch: Batch, seed: int = 1, **options: Any) -> Batch:
    return Augmentation.from_mapping(mapping, **options)(batch, generator(seed))


def test_nothing_asked_for_changes_nothing() -> None:
    batch = sources(1)
    after = augment({}, batch)
    assert all(torch.equal(after[name], batch[name]) for name in batch)


def test_the_report_has_its_own_list() -> None:
    assert set(PRESETS["report"]) == {
        "rotation", "horizontal_flip", "vertical_flip", "scale", "shift", "gamma", "brightness", "coarse_dropout",
        "crop",
    }  # fmt: skip
    config = Augmentation.from_mapping({"preset": "report"}).config
    assert config.rotation is not None
    assert config.rotation.degrees == 30
    assert config.scale is not None
    assert config.scale.part == 0.1
    assert config.shift is not None
    assert config.shift.part == 0.1


@pytest.mark.parametrize(("name", "axis"), [("horizontal_flip", -1), ("vertical_flip", -2)])
def test_flips(name: str, axis: int) -> None:
    batch = sources(2)
    after = augment({name: ALWAYS}, batch)
    for key in batch:
        np.testing.assert_array_equal(after[key].numpy(), np.flip(batch[key].numpy(), axis))


def test_quarter_turns() -> None:
    batch = sources(3)
    seen = set()
    for seed in range(20):
        after = augment({"rot90": ALWAYS}, batch, seed)
        same = [
            k
            for k in range(4)
            if all(np.array_equal(after[key], np.rot90(batch[key], k, (-2, -1))) for key in ("pixels", "labels"))
        ]
        assert len(same) == 1
        seen |= set(same)
    assert seen == {1, 2, 3}


@given(seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_sources_and_their_labels_move_together(seed: int) -> None:
    after = augment({"rotation": {"degrees": 180}, "scale": {"part": 0.2}, "shift": True}, sources(4), seed)
    linear, labels = np.sinh(after["pixels"].numpy()[0].astype(float)).mean(axis=0), after["labels"].numpy()[0]
    inside = np.pad(after["valid"].numpy()[0], 1)
    for k in range(1, labels.max() + 1):
        member = labels == k
        if (~inside & ndimage.binary_dilation(np.pad(member, 1), iterations=2)).any():
            continue  # cut by the frame
        light = np.array(ndimage.center_of_mass(linear * member))
        assert np.hypot(*(light - np.array(ndimage.center_of_mass(member)))) < 0.7
        assert linear[member].max() > 200


def test_rotation_and_scale_are_what_they_say() -> None:
    """Against scipy's own affine transform, on a smooth picture without noise."""
    y, x = np.mgrid[:101, :101]
    linear = 50 * np.exp(-((y - 38) ** 2 + (x - 66) ** 2) / 200)[None, None] + 1e-3
    labels = (linear[:, 0] > 10).astype(int)
    batch = batch_of(linear, labels)
    batch["valid"][:] = False  # no sky of which the noise could be measured, so that all of it is taken for white
    turn = Augmentation.from_mapping({"rotation": True})
    view = View(batch["pixels"][0], batch["labels"][0], batch["valid"][0])
    moved = turn._moved(view, 30.0, 1.1, [4.0, -3.0], generator())  # the numbers that are drawn otherwise
    place = np.array(ndimage.center_of_mass(moved.labels.numpy()))
    a = np.deg2rad(30.0)
    dy, dx = 38 - 50, 66 - 50
    expected = 50 + 1.1 * np.array([np.sin(a) * dx + np.cos(a) * dy, np.cos(a) * dx - np.sin(a) * dy]) + [-3, 4]
    np.testing.assert_allclose(place, expected, atol=0.3)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 1.2])
@pytest.mark.parametrize(
    "mapping",
    [
        {"rotation": ALWAYS, "scale": ALWAYS, "shift": ALWAYS},
        {"rotation": {"degrees": 2}},
        {"blur": ALWAYS},
        {"blur": ALWAYS | {"sigma": 2.0}},
        {"depth": ALWAYS | {"magnitudes": 2.0}},
        {"noise": ALWAYS | {"sigma": 2.0, "white": 1.0}},
        {"noise": ALWAYS | {"sigma": 2.0, "white": 0.0, "correlation": 2.0}},
        {"background": ALWAYS | {"slope": 0.0}},
    ],
)
def test_noise_stays_one(mapping: dict[str, Any], correlation: float) -> None:
    batch = batch_of(white(5, n=2, side=320, correlation=correlation))
    for seed in range(3):
        after = augment(mapping, batch, seed)
        for image, valid in zip(np.sinh(after["pixels"].numpy().astype(float)), after["valid"].numpy(), strict=True):
            for band in image:
                assert band[valid].std() == pytest.approx(1, abs=0.03)


def test_interpolation_alone_would_have_smoothed_it() -> None:
    """The variance that the formula says is kept is what bilinear interpolation keeps, pixel by pixel."""
    noise = torch.from_numpy(white(6, n=1, bands=400, side=24)[0])
    fx, fy = 0.3, 0.45
    shifted = (1 - fy) * ((1 - fx) * noise[:, :-1, :-1] + fx * noise[:, :-1, 1:])
    shifted += fy * ((1 - fx) * noise[:, 1:, :-1] + fx * noise[:, 1:, 1:])
    own = np.zeros((1, 7, 7))
    own[0, 3, 3] = 1
    kept = _kept(np.array([[1, 0, fx], [0, 1, fy], [0, 0, 1.0]]), (5, 5), own)
    np.testing.assert_allclose(kept, float(shifted.var()), rtol=0.02)


def test_correlation_is_measured() -> None:
    noise = white(7, side=512, correlation=0.8).astype(np.float32)[0]
    found = sky.correlation(torch.from_numpy(noise), torch.ones(512, 512, dtype=torch.bool))
    lag = np.arange(-3, 4)
    expected = np.exp(-(lag[:, None] ** 2 + lag**2) / (4 * 0.8**2))  # of noise smoothed by a Gaussian
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=0.03)


def test_depth_dims_sources_and_forgets_the_lost() -> None:
    linear, labels = white(8), np.zeros((1, 192, 192), int)
    linear[:, :, 20:30, 20:30] += 100
    linear[:, :, 100:104, 100:104] += 1
    labels[:, 20:30, 20:30], labels[:, 100:104, 100:104] = 1, 2
    after = augment({"depth": ALWAYS | {"magnitudes": 4.0}}, batch_of(linear, labels))
    drawn = np.sinh(after["pixels"].numpy()[0, :, 20:30, 20:30]).mean() / 100
    assert 10 ** (-1.6) < drawn < 0.5
    assert after["labels"].max() == 1
    assert not after["valid"][0, 100:104, 100:104].any()
    assert after["valid"].sum() == 192**2 - 16


def test_sunken_against_its_formula() -> None:
    labels = np.zeros((10, 10), np.int64)
    labels[:2, :2], labels[5:8, 5:8] = 3, 7
    pixels = np.where(labels == 3, 2.0, 0.5)[None].astype(np.float32)
    # 4 x 2 / 2 = 4, and 9 x 0.5 / 3 = 1.5
    np.testing.assert_array_equal(sunken(pixels, labels, 3.0), labels == 7)


def test_blur_smooths_sources_as_a_gaussian() -> None:
    linear = np.full((1, 1, 65, 65), 1e-6)
    linear[0, 0, 32, 32] = 1e4
    kernel_sigma = 1.3
    out = sky.blur(torch.from_numpy(linear[0].astype(np.float32)), kernel_sigma, torch.ones(65, 65).bool(), generator())
    expected = ndimage.gaussian_filter(linear[0, 0], kernel_sigma)
    np.testing.assert_allclose(out[0].numpy(), expected, atol=6)  # the white noise that it adds


def test_an_empty_pixel_stays_empty() -> None:
    batch = batch_of(white(9))
    batch["pixels"][:, 1] = 0
    batch["pixels"][:, :, :40] = 0
    mapping = dict.fromkeys(("blur", "depth", "noise", "background"), ALWAYS) | {"brightness": ALWAYS}
    after = augment(mapping, batch)["pixels"]
    assert torch.equal(after == 0, batch["pixels"] == 0)
    turned = augment({"rotation": True}, batch)["pixels"]
    assert not turned[:, 1].any()
    assert turned[:, 0].any()


@given(seed=st.integers(0, 2**31), bands=st.integers(1, 5), part=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_one_band_is_always_kept(seed: int, bands: int, part: float) -> None:
    batch = batch_of(white(10, bands=bands, side=32))
    after = augment({"band_dropout": ALWAYS | {"part": part}}, batch, seed)["pixels"]
    kept = [torch.equal(after[:, i], batch["pixels"][:, i]) for i in range(bands)]
    assert any(kept)
    assert all(not after[:, i].any() for i in range(bands) if not kept[i])
    if part == 1:
        assert sum(kept) == 1


def test_an_object_of_lost_bands_only_is_forgotten() -> None:
    linear, labels = white(16, bands=2), np.zeros((1, 192, 192), int)
    linear[:, 0, 20:30, 20:30] += 100
    linear[:, 1, 80:90, 80:90] += 100
    labels[:, 20:30, 20:30], labels[:, 80:90, 80:90] = 1, 2
    after = augment({"band_dropout": ALWAYS | {"part": 1.0}}, batch_of(linear, labels))
    kept = 0 if after["pixels"][0, 0].any() else 1
    gone, there = [(24, 24), (84, 84)][1 - kept], [(24, 24), (84, 84)][kept]
    assert after["labels"][0][there] == 1
    assert after["labels"][0][gone] == 0
    assert not after["valid"][0][gone]


def test_dropped_squares_belong_to_nothing() -> None:
    batch = sources(11)
    after = augment({"coarse_dropout": ALWAYS | {"holes": 12, "part": 0.2}}, batch)
    hole = ~after["valid"][0].numpy()
    assert 0 < hole.mean() < 0.7
    assert not after["labels"][0].numpy()[hole].any()
    emptied = (after["pixels"][0] == 0).all(0).numpy()
    assert (emptied <= hole).all()
    assert (hole & ~emptied).sum() < 40
    np.testing.assert_array_equal(after["pixels"][0].numpy()[:, ~emptied], batch["pixels"][0].numpy()[:, ~emptied])


@given(seed=st.integers(0, 2**31), pixels=st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_hot_pixels_are_sky(seed: int, pixels: int) -> None:
    batch = sources(17)
    batch["pixels"][:, 2] = 0
    after = augment({"hot_pixels": ALWAYS | {"pixels": pixels, "height": 1000.0}}, batch, seed)
    assert torch.equal(after["labels"], batch["labels"])
    assert torch.equal(after["valid"], batch["valid"])
    assert not after["pixels"][:, 2].any()
    rise = after["pixels"].sinh() - batch["pixels"].sinh()
    hot = rise.abs().amax(1) > 1
    assert hot.sum() <= pixels
    assert not batch["labels"][hot].any()
    assert rise.min() > -0.1
    assert rise.max() < 1000 * pixels + 10


def test_crops_are_windows() -> None:
    batch = sources(12)
    after = augment({"crop": {"part": 0.7}}, batch)
    assert after["pixels"].shape == (1, 3, 128, 128)
    image, window = batch["pixels"].numpy()[0, 0], after["pixels"].numpy()[0, 0]
    y, x = next(zip(*np.nonzero(image == window[0, 0]), strict=True))
    np.testing.assert_array_equal(image[y : y + 128, x : x + 128], window)
    cut = batch["labels"].numpy()[0, y : y + 128, x : x + 128]
    np.testing.assert_array_equal(after["labels"].numpy()[0][after["valid"][0]] > 0, cut[after["valid"][0]] > 0)


def test_crumbs() -> None:
    labels = np.zeros((12, 12), np.int64)
    labels[0, :3] = 1  # 3 pixels
    labels[4:6, 4:6] = 2
    labels[6:9, 6] = 2  # touches it by a corner
    labels[11, 9:] = 2  # a piece of 3 pixels far off
    labels[2, 8:12] = 3
    kept, valid = without_crumbs(labels, np.ones(labels.shape, bool))
    crumbs = np.zeros(labels.shape, bool)
    crumbs[0, :3] = crumbs[11, 9:] = True
    np.testing.assert_array_equal(kept, np.where(crumbs, 0, labels))
    np.testing.assert_array_equal(valid, ~crumbs)


def test_gamma_and_brightness_of_the_shown_image() -> None:
    image = np.random.default_rng(13).uniform(0, 1, (1, 3, 32, 32)).astype(np.float32)
    batch = batch_of(image) | {"pixels": torch.from_numpy(image)}
    bent = augment({"gamma": ALWAYS}, batch, recipe="seed")["pixels"].numpy()
    power = np.log(bent[0, 0, 0, 0]) / np.log(image[0, 0, 0, 0])
    assert 0.8 < power < 1.2
    np.testing.assert_allclose(bent, image**power, rtol=1e-3)
    lifted = augment({"brightness": ALWAYS}, batch, recipe="seed")["pixels"].numpy()
    change = np.median(lifted - image)
    assert 0 < abs(change) <= 0.2
    np.testing.assert_allclose(lifted, np.clip(image + change, 0, 1), atol=1e-6)


@pytest.mark.parametrize("preset", ["report", "sky", ["report", "sky"]])
def test_the_generator_decides(preset: Any) -> None:
    batch = sources(14)
    augmentation = Augmentation.from_mapping({"preset": preset})
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = augmentation(batch, generator(5))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    torch.set_num_threads(2)
    again = pickle.loads(pickle.dumps(augmentation))(batch, generator(5))
    other = augmentation(batch, generator(6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["pixels"], other["pixels"])


def test_each_can_be_switched_and_scaled() -> None:
    for name, kind in KINDS.items():
        assert Augmentation.from_mapping({name: True}).config.active == [name]
        assert Augmentation.from_mapping({name: {"probability": 0}}).config.active == [name]
        assert isinstance(getattr(Augmentation.from_mapping({name: {}}).config, name), kind)
    mapping = {"preset": ["report", "sky"], "gamma": False, "noise": {"sigma": 0.2}, "rotation": None}
    config = Augmentation.from_mapping(mapping).config
    assert config.gamma is None
    assert config.rotation is None
    assert config.noise is not None
    assert (config.noise.sigma, config.noise.probability) == (0.2, 0.3)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"rotate": True}, "augmentation.rotate is unknown; choose from preset, horizontal_flip"),
        ({"rotation": {"angle": 3}}, "augmentation.rotation.angle is unknown; choose from probability, degrees"),
        ({"preset": "all"}, "augmentation.preset='all' is unknown; choose from report, sky"),
        ({"gamma": 0.3}, "augmentation.gamma=0.3: must hold parameters, or be true or false"),
        ({"noise": {"sigma": -1}}, "augmentation.noise.sigma=-1: must be a number, 0 or more"),
        ({"blur": {"probability": 2}}, "augmentation.blur.probability=2: must be within 0 to 1"),
        ({"scale": {"part": 1}}, "augmentation.scale.part=1: must be less than 1"),
        ({"crop": {"probability": 0.5}}, "all samples are cropped, or none"),
    ],
)
def test_mistakes_are_named(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        Augmentation.from_mapping(mapping)


def test_the_seed_recipe_has_no_noise_units() -> None:
    with pytest.raises(ValueError, match=r"augmentation\.noise needs noise units"):
        Augmentation.from_mapping({"noise": True}, recipe="seed")
    with pytest.raises(ValueError, match=r"augmentation\.hot_pixels needs noise units"):
        Augmentation.from_mapping({"hot_pixels": True}, recipe="seed")
    Augmentation.from_mapping({"preset": "report"}, recipe="seed")


def test_a_picture_shows_what_is_told(tmp_path: Path) -> None:
    before = sources(15, side=64, count=1)
    before["valid"][:, :16] = False
    after = augment({"crop": {"part": 0.5}}, before)
    draw_samples(tmp_path / "samples.png", before, after, zoom=2)
    page = np.asarray(Image.open(tmp_path / "samples.png"))
    assert page.shape == (140, 274, 3)
    outline = (page[6:134, 6:134] == (255, 200, 60)).all(-1)
    assert 30 < outline.sum() < 1000
    hatched = (page[6:134, 6:134] == (130, 60, 60)).all(-1)
    assert hatched[-32:].sum() > 300
    assert not hatched[:-32].any()
    with pytest.raises(ValueError, match="no samples"):
        draw_samples(tmp_path / "none.png")
