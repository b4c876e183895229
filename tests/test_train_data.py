"""Samples of simulated skies, and the feed that makes batches of them."""

import itertools
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.errors import StarnetError
from starnet.evaluate.labels import open_labels
from starnet.mosaic import Mosaic
from starnet.networks.adapter import Adapter
from starnet.recipe import Recipe
from starnet.simulate import Field, load_preset, write
from starnet.splits import SimulatedSplit, save_split
from starnet.train.feed import Feed, _Batches
from starnet.train.samples import Sample
from starnet.train.sources import load_source, load_sources, several
from starnet.train.sources.simulated import Simulated

PRESET, SIDE = "candels-deep", 160


def made(**more):
    return load_source({"kind": "simulated", "preset": PRESET, "field": SIDE, "bands": 2, **more})


@cache
def source():
    return made(crops_per_field=3)


def same(a, b):
    return all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in ("image", "labels", "ignore"))


@cache
def reference():
    return [made(crops_per_field=3).sample(index, 48, 5) for index in range(8)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=6))
def test_a_sample_is_a_function_of_its_number(order):
    for index in order:
        assert same(source().sample(index, 48, 5), reference()[index])


def test_seeds_fields_and_places_differ():
    assert len({one.image.tobytes() for one in reference()}) == 8
    assert not same(source().sample(0, 48, 6), reference()[0])
    seeds = [source().field_seed(index, 5) for index in range(9)]
    assert [len(set(seeds[i : i + 3])) for i in (0, 3, 6)] == [1, 1, 1]
    assert len(set(seeds)) == 3
    assert min(seeds) >= 1 << 32


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_rules_of_labels(data):
    """Of any map: objects of 5 pixels that are seen are numbered, what is smaller is ignored, nothing else changes."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    ny, nx = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    labels = rng.choice([0, 0, 3, 7, 900_000], (ny, nx)).astype(np.int64)
    ignore = rng.random((ny, nx)) < 0.2
    image = rng.normal(size=(2, ny, nx)).astype(np.float32)
    sample = Sample.of(image, labels, ignore, 14)
    assert (sample.image.dtype, sample.labels.dtype) == (np.float32, np.int32)
    assert sample.image.shape == (2, 14, 14)
    assert sample.ignore[ny:].all()
    assert sample.ignore[:, nx:].all()
    assert not sample.labels[ny:].any()
    np.testing.assert_array_equal(sample.image[:, :ny, :nx], image)
    number = 0
    for label in np.unique(labels[labels > 0]):
        own = labels == label
        here = sample.labels[:ny, :nx][own]
        if (own & ~ignore).sum() >= 5:
            number += 1
            assert (here == number).all()
            np.testing.assert_array_equal(sample.ignore[:ny, :nx][own], ignore[own])
        else:
            assert (here == 0).all()
            assert sample.ignore[:ny, :nx][own].all()
    assert sample.labels.max() == number
    np.testing.assert_array_equal(sample.ignore[:ny, :nx][labels == 0], ignore[labels == 0])


def test_a_sample_is_a_crop_of_the_files_of_its_field(tmp_path):
    """Bit for bit what the recipe makes of the files, and the true map of `starnet simulate` by the judge's rules."""
    whole = made(crops_per_field=1)
    seed = whole.field_seed(0, 3)
    sample = whole.sample(0, SIDE, 3)
    preset = load_preset(PRESET).select(("F160W", "F850LP"))
    files = write(Field(preset, (SIDE, SIDE), seed), tmp_path).outputs
    mosaic = Mosaic.open([f"{name}={files[name]}" for name in ("F160W", "F850LP")])
    shown = Recipe.fit(mosaic).apply(mosaic, mosaic.whole)
    assert sample.image.tobytes() == shown.image.tobytes()
    labels, table = open_labels(files["segmentation"]).read(mosaic.whole), Table.read(files["table"])
    counts = np.append(False, (table["snr"] >= 5) & (table["area"] >= 5))
    np.testing.assert_array_equal(sample.labels > 0, counts[labels] & (labels > 0))
    np.testing.assert_array_equal(sample.ignore, (~counts[labels] & (labels > 0)) | ~shown.valid.any(axis=0))
    pairs = np.unique(np.stack([sample.labels, labels])[:, sample.labels > 0], axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1] > 3
    assert sample.ignore.any()
    # A crop is cut from that field.
    crop = whole.sample(0, 64, 3)
    windows = np.lib.stride_tricks.sliding_window_view(sample.image[0], (64, 64))
    y, x = (int(i[0]) for i in np.nonzero(windows[..., 0, 0] == crop.image[0, 0, 0]))
    assert crop.image.tobytes() == np.ascontiguousarray(sample.image[:, y : y + 64, x : x + 64]).tobytes()
    assert not (crop.labels > 0)[sample.ignore[y : y + 64, x : x + 64]].any()


def test_parts_of_a_split(tmp_path):
    path = tmp_path / "split.yaml"
    save_split(SimulatedSplit(PRESET, (64, 64), {"train": (5, 6, 7, 8), "test": (9,)}, ("F160W",)), path)
    mapping = {"kind": "simulated", "split": path.name, "part": "train", "crops_per_field": 2}
    split = load_source(mapping, base=tmp_path)
    assert split.bands == ("F160W",)
    rounds = [[split.field_seed(2 * (4 * epoch + i), 1) for i in range(4)] for epoch in range(6)]
    assert all(sorted(one) == [5, 6, 7, 8] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1
    with pytest.raises(StarnetError, match="no fields to tune"):
        load_source(mapping | {"part": "tune"}, base=tmp_path)


def test_cache(tmp_path, monkeypatch):
    folder = tmp_path / "fields"
    kept = made(crops_per_field=2, cache=str(folder))
    first = [kept.sample(index, 48, 2) for index in range(6)]
    plain = made(crops_per_field=2)
    for index, one in enumerate(first):
        exact = plain.sample(index, 48, 2)
        np.testing.assert_array_equal(one.image, exact.image.astype(np.float16).astype(np.float32))
        np.testing.assert_array_equal(one.labels, exact.labels)
    assert len(list(folder.iterdir())) == 3
    # A damaged file is made anew; no other field is.
    next(folder.glob("*.npz")).write_bytes(b"PK")
    made_anew = []
    make = Simulated._make
    monkeypatch.setattr(Simulated, "_make", lambda self, seed: made_anew.append(seed) or make(self, seed))
    again = made(crops_per_field=2, cache=str(folder))
    assert all(same(again.sample(index, 48, 2), one) for index, one in enumerate(first))
    assert len(made_anew) == 1
    # Other settings are other fields; a full cache takes no more.
    before = len(list(folder.iterdir()))
    soft = replace(kept, cache_bytes=1, crops_per_field=1)
    soft.sample(40, 48, 2)
    assert len(list(folder.iterdir())) == before
    full = replace(kept, preset=load_preset(PRESET).select(("F606W", "F160W")))
    full.sample(0, 48, 2)
    assert len(list(folder.iterdir())) == before + 1


class Numbers:
    """Samples that say who they are."""

    bands = ("A",)

    def __init__(self, broken=-1):
        self.broken = broken

    def sample(self, index, size, seed):
        if index == self.broken:
            raise StarnetError("f160w.fits is damaged: copy it again")
        image = np.full((1, size, size), index * 100 + seed, np.float32)
        labels = np.zeros((size, size), np.int32)
        labels[1:4, 1:4] = 1
        return Sample(image, labels, labels == 2)


def targets(labels):
    return np.stack([labels > 0] * 3).astype(np.float32)


def jitter(batch, generator):
    noise = torch.randn(batch["pixels"].shape, generator=generator)
    return batch | {"pixels": batch["pixels"] + noise}


def take(feed, n, *args):
    return list(itertools.islice(feed(*args), n))


def equal(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("samples", [None, 7])
def test_a_feed_begins_anywhere(samples):
    feed = Feed(Numbers(), 8, 3, 11, targets, jitter, samples=samples)
    batches = take(feed, 9)
    assert batches[0]["pixels"].shape == (3, 1, 8, 8)
    assert [batches[0][name].dtype for name in ("pixels", "labels", "valid", "targets")] == [
        torch.float32, torch.int64, torch.bool, torch.float32,
    ]  # fmt: skip
    for first in range(9):
        assert all(equal(a, b) for a, b in zip(take(feed, 9 - first, first), batches[first:], strict=True))
    numbers = [round(float(one.mean()) - 11) // 100 for batch in batches for one in batch["pixels"]]
    rows = [row * 4096 + np.arange(3) for row in range(4)]
    endless = np.concatenate([*rows, *(row + 3 for row in rows), rows[0] + 6]).tolist()
    assert numbers == (endless if samples is None else [i % samples for i in range(27)])
    pixels = torch.cat([batch["pixels"] for batch in batches])
    if samples is not None:
        assert torch.equal(pixels[0], pixels[samples])  # augmented as at first


def test_devices_share_the_samples():
    batches = [_Batches(Feed(Numbers(), 4, 2, 1, targets), rank, 3) for rank in range(3)]
    # As many as there are in the first stretch of all rows.
    numbers = [one._index(number, place) for one in batches for number in range(4 * 4096 // 2) for place in range(2)]
    assert sorted(numbers) == list(range(3 * 4 * 4096))
    assert min(one._index(4 * 4096 // 2, 0) for one in batches) == 3 * 4 * 4096


def test_validation_is_other_samples_and_the_training_s_random_numbers_are_left_alone():
    feed = Feed(Numbers(), 4, 2, 1, targets, jitter)
    state = torch.random.get_rng_state()
    judged = feed.validation(5)
    take(feed, 3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [len(one["pixels"]) for one in judged] == [2, 2, 1]
    seeds = {int(pixel) % 100 for batch in judged for pixel in batch["pixels"][:, 0, 0, 0]}
    assert len(seeds) == 1
    assert 1 not in seeds
    assert equal(judged[0], feed.validation(2)[0])


def test_errors_are_sentences():
    feed = Feed(Numbers(broken=4096), 4, 2, 1, targets)
    batches = feed()
    next(batches)
    with pytest.raises(StarnetError, match=r"^f160w.fits is damaged: copy it again$"):
        next(batches)


def test_processes_make_the_same_batches():
    """Of a simulated source that is cut in two by the number of workers."""
    mapping = {"kind": "simulated", "preset": PRESET, "field": 96, "bands": 1, "crops_per_field": 4}
    feed = partial(Feed, load_sources([mapping, mapping | {"weight": 2}]), 32, 2, 7, targets)
    here = take(feed(augment=jitter), 5, 2)
    beside = take(feed(augment=jitter, workers=2), 5, 2)
    assert all(equal(a, b) for a, b in zip(here, beside, strict=True))
    broken = Feed(Numbers(broken=0), 4, 2, 1, targets, workers=1)
    with pytest.raises(StarnetError, match=r"^f160w.fits is damaged: copy it again$"):
        next(broken())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=5))
def test_turns_keep_the_weights(weights):
    taken = [[] for _ in weights]

    class Own(Numbers):
        def __init__(self, which):
            super().__init__()
            self.which = which

        def sample(self, index, size, seed):
            taken[self.which].append((index, seed))
            return super().sample(index, size, seed)

    mixed = several([Own(i) for i in range(len(weights))], weights)
    for index in range(300):
        mixed.sample(index, 4, 3)
    for own, weight in zip(taken, weights, strict=True):
        assert [index for index, _ in own] == list(range(len(own)))
        assert len(own) / 300 == pytest.approx(weight / sum(weights), abs=0.03)
    assert len({seed for own in taken for _, seed in own}) == len(weights)
    for index in range(299, 0, -37):
        before = [len(own) for own in taken]
        mixed.sample(index, 4, 3)
        which = next(i for i, own in enumerate(taken) if len(own) > before[i])
        assert taken[which][-1] in taken[which][:-1]


def test_bad_mappings():
    for mapping, message in [
        ({"kind": "cloud"}, "kind 'cloud' is unknown; choose simulated"),
        ({"kind": "simulated", "preset": "xdf", "crop": 3}, "no key 'crop'; choose from preset"),
        ({"kind": "simulated"}, "either a preset or a split"),
        ({"kind": "simulated", "split": "a.yaml"}, "split and part"),
        ({"kind": "simulated", "preset": "xdf", "part": "train"}, "split and part"),
        ({"kind": "simulated", "split": "a.yaml", "part": "tain"}, "part='tain' is unknown"),
        ({"kind": "simulated", "preset": "xdf", "crops_per_field": 0}, "crops_per_field=0"),
        ({"kind": "simulated", "preset": "xdf", "bands": "F160W"}, "wrong type"),
        ({"kind": "images", "images": ["a.fits"]}, "needs the key 'labels'"),
        ({"kind": "images", "images": [], "labels": "b.fits"}, "images is empty"),
        ({"kind": "run", "run": "r", "split": "s.yaml"}, "a split needs a part"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_source(mapping)
    for mapping, message in [
        ({"kind": "simulated", "preset": "xd"}, "no preset xd"),
        ({"kind": "simulated", "preset": "xdf", "bands": ["F1"]}, "has no band F1"),
        ({"kind": "simulated", "preset": "xdf", "bands": 10}, "has 9 bands"),
        ({"kind": "simulated", "preset": "xdf", "recipe": "loud"}, "no recipe 'loud'"),
    ]:
        with pytest.raises(StarnetError, match=message):
            load_source(mapping)


def test_other_numbers_of_bands_are_shown_as_channels():
    """As a network without a learned adapter shows itself the bands: of one and of six."""
    mappings = [{"kind": "simulated", "preset": "nircam", "field": 64, "bands": n} for n in (1, 6)]
    mixed = load_sources(mappings)
    assert mixed.bands == ("red", "green", "blue")
    for which, mapping in enumerate(mappings):
        own, shown = load_source(mapping).sample(0, 32, 2 * 5 + which), mixed.sample(which, 32, 5)
        assert np.array_equal(shown.labels, own.labels)
        assert np.array_equal(shown.ignore, own.ignore)
        channels = Adapter()(torch.from_numpy(own.image)[None])[0].numpy()
        np.testing.assert_allclose(shown.image, channels, atol=1e-5)
        assert shown.image.dtype == np.float32
    assert load_sources([mappings[1]] * 2).bands[0] == "F444W"
