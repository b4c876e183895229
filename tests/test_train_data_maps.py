"""Samples of images with label maps: runs, FITS and pictures, COCO; and that parts of a map stay apart."""

import json
import pickle

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from starnet.errors import StarnetError
from starnet.evaluate.labels import ArrayLabels
from starnet.mosaic import ArrayMosaic, Mosaic
from starnet.pipeline import segment
from starnet.recipe import Recipe
from starnet.simulate import Field, load_preset, write
from starnet.splits import AreaSplit, SimulatedSplit, save_split
from starnet.tiles import Box
from starnet.train.sources import load_source
from starnet.train.sources.maps import Mapped

NY, NX = 150, 170


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """The folder of a simulated field, and its mapping as a source of images."""
    folder = tmp_path_factory.mktemp("sky")
    preset = load_preset("candels-deep").select(("F160W", "F606W"))
    write(Field(preset, (NY, NX), 4), folder)
    return folder, {
        "kind": "images",
        "images": ["F160W=f160w_drz.fits", "F606W=f606w_drz.fits"],
        "labels": "truth_segmentation.fits",
        "table": "truth.fits",
    }


def cut_from(sample, whole):
    """Where in an image the crop lies."""
    ys, xs = np.nonzero(whole[0] == sample.image[0, 20, 20])
    (place,) = {
        (y - 20, x - 20)
        for y, x in zip(ys.tolist(), xs.tolist(), strict=True)
        if np.array_equal(whole[:, y - 20 : y + 12, x - 20 : x + 12], sample.image)
    }
    return Box(place[0], place[0] + 32, place[1], place[1] + 32)


def test_images_with_a_label_map(sky):
    folder, mapping = sky
    source = load_source(mapping, base=folder)
    assert source.bands == ("F160W", "F606W")
    mosaic = Mosaic.open([f"{name}={folder / f'{name.lower()}_drz.fits'}" for name in source.bands])
    shown = Recipe.fit(mosaic).apply(mosaic, mosaic.whole)
    labels, table = fits.getdata(folder / "truth_segmentation.fits"), Table.read(folder / "truth.fits")
    counts = np.append(False, (table["snr"] >= 5) & (table["area"] >= 5))
    boxes = set()
    for index in range(20):
        sample = source.sample(index, 32, 1)
        box = cut_from(sample, shown.image)
        boxes.add(box)
        own = labels[box.slices]
        held = [k for k in np.unique(own) if k > 0 and counts[k] and (own == k).sum() >= 5]
        np.testing.assert_array_equal(sample.labels > 0, np.isin(own, held))
        np.testing.assert_array_equal(sample.ignore, (own > 0) & ~np.isin(own, held))
    assert len(boxes) > 15
    again = pickle.loads(pickle.dumps(source)).sample(3, 32, 1)
    assert again.image.tobytes() == source.sample(3, 32, 1).image.tobytes()
    # Without a table all objects count.
    every = load_source({**mapping, "table": None}, base=folder)
    assert sum(every.sample(i, 64, 1).labels.max() for i in range(8)) > sum(
        source.sample(i, 64, 1).labels.max() for i in range(8)
    )


@pytest.mark.parametrize("drawn", [True, False])
def test_parts_never_meet(sky, tmp_path, drawn):
    folder, mapping = sky
    keys = {"square": 30, "split_seed": 3}
    split = AreaSplit.draw((NY, NX), square=30, seed=3)
    if not drawn:
        save_split(split, tmp_path / "area.yaml")
        keys = {"split": str(tmp_path / "area.yaml")}
    # Pixels that say where they are.
    where = np.arange(NY * NX, dtype=np.float32).reshape(1, NY, NX)
    for part in ("train", "validation"):
        source = load_source({**mapping, **keys, "part": part}, base=folder)
        seen = np.zeros((NY, NX), bool)
        object.__setattr__(source, "mosaic", ArrayMosaic(where))
        object.__setattr__(source, "recipe", Identity(source.recipe))
        for index in range(150):
            sample = source.sample(index, 24, 7)
            seen.ravel()[sample.image.astype(int).ravel()] = True
        assert not source.sample(0, 24, 7).ignore.all()
        allowed = np.zeros((NY, NX), bool)
        for box in split.parts[part]:
            allowed[box.slices] = True
            assert seen[box.slices].any()
        assert not (seen & ~allowed).any()
        assert seen.sum() > 0.8 * allowed.sum()


class Identity:
    """A recipe that changes nothing."""

    def __init__(self, recipe):
        self.bands = recipe.bands

    def apply(self, mosaic, box):
        pixels = mosaic.read(box)
        pixels.image = pixels.data
        return pixels


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_squares_smaller_than_a_sample_are_filled_up(data):
    ny, nx, size = (data.draw(st.integers(1, 40)) for _ in range(3))
    source = plain_source(ny, nx)
    sample = source.sample(data.draw(st.integers(0, 100)), size, 1)
    assert sample.image.shape == (1, size, size)
    assert (~sample.ignore).sum() == min(ny, size) * min(nx, size)
    assert sample.ignore[ny:].all()
    assert sample.ignore[:, nx:].all()


def plain_source(ny, nx):
    mosaic = ArrayMosaic(np.random.default_rng(1).normal(size=(1, ny, nx)))
    recipe = Identity(type("Bands", (), {"bands": ("B0",)}))
    return Mapped(mosaic, recipe, ArrayLabels(np.zeros((ny, nx), int)), (mosaic.whole,))


def test_a_run_and_its_corrected_map(sky, tmp_path):
    folder, _ = sky
    run = tmp_path / "run"
    segment([folder / "f160w_drz.fits", folder / "f606w_drz.fits"], run, model="classical")
    source = load_source({"kind": "run", "run": "run"}, base=tmp_path)
    mosaic = Mosaic.open([folder / "f160w_drz.fits", folder / "f606w_drz.fits"])
    shown = Recipe.load(run / "recipe.yaml").apply(mosaic, mosaic.whole)
    sample = source.sample(0, max(NY, NX), 1)
    assert sample.image[:, :NY].tobytes() == shown.image.tobytes()
    labels = fits.getdata(run / "segmentation.fits")
    assert sample.labels.max() > 5
    assert (sample.labels[:NY] > 0).sum() == (labels > 0).sum() - (sample.ignore[:NY] & (labels > 0)).sum()
    corrected = np.zeros_like(labels)
    corrected[60:80, 60:90] = 77
    fits.writeto(tmp_path / "corrected.fits", corrected)
    mended = load_source({"kind": "run", "run": "run", "labels": "corrected.fits"}, base=tmp_path)
    np.testing.assert_array_equal(mended.sample(0, max(NY, NX), 1).labels[:NY] > 0, corrected > 0)
    with pytest.raises(StarnetError, match="no finished run"):
        load_source({"kind": "run", "run": "."}, base=tmp_path)


def test_coco(tmp_path):
    rng = np.random.default_rng(5)
    images, annotations, truth = [], [], {}
    for k, name in enumerate(("a.png", "b.png"), 1):
        pixels = rng.normal(100, 10, (64, 72, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
        images.append({"id": k, "file_name": name, "height": 64, "width": 72})
        mask = np.zeros((64, 72), np.uint8, order="F")
        mask[10 * k : 10 * k + 8, 5:20] = 1
        truth[name] = mask
        code = coco_mask.encode(mask)
        annotations.append(
            {"id": k, "image_id": k, "category_id": 1, "segmentation": code | {"counts": code["counts"].decode()}}
        )
    (tmp_path / "masks.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    both = load_source({"kind": "coco", "images": ".", "annotations": "masks.json"}, base=tmp_path)
    assert both.bands == ("R", "G", "B")
    found = {(both.sample(i, 72, 1).labels[:64] > 0).tobytes() for i in range(4)}
    assert found == {np.ascontiguousarray(mask > 0).tobytes() for mask in truth.values()}
    one = {"kind": "coco", "images": ["a.png"], "annotations": "masks.json[a.png]"}
    np.testing.assert_array_equal(load_source(one, base=tmp_path).sample(0, 72, 1).labels[:64], truth["a.png"])
    (tmp_path / "empty.json").write_text('{"annotations": []}')
    with pytest.raises(StarnetError, match="names no images"):
        load_source({"kind": "coco", "images": ".", "annotations": "empty.json"}, base=tmp_path)


def test_bad_files(sky, tmp_path):
    folder, mapping = sky
    fits.writeto(tmp_path / "small.fits", np.zeros((5, 5), np.int32))
    save_split(AreaSplit((9, 9), {"train": (Box(0, 9, 0, 9),)}), tmp_path / "other.yaml")
    save_split(AreaSplit((NY, NX), {"train": (Box(0, 9, 0, 9),)}), tmp_path / "train.yaml")
    save_split(SimulatedSplit("xdf", (9, 9), {"train": (1,)}), tmp_path / "seeds.yaml")
    for change, message in [
        ({"labels": str(tmp_path / "small.fits")}, r"small.fits.* has 5 x 5 pixels, but the images have 170 x 150"),
        ({"labels": "no.fits"}, r"no\.fits"),
        ({"images": ["no.fits"]}, r"no\.fits"),
        ({"split": str(tmp_path / "other.yaml"), "part": "train"}, "the split is of 9 x 9 pixels"),
        ({"split": str(tmp_path / "train.yaml"), "part": "tune"}, "no squares to tune"),
        ({"split": str(tmp_path / "seeds.yaml"), "part": "train"}, "splits simulated fields"),
        ({"part": "train"}, "too few for 4"),
    ]:
        with pytest.raises(StarnetError, match=message):
            load_source({**mapping, **change}, base=folder)
    with pytest.raises(StarnetError, match="splits a map by area"):
        load_source({"kind": "simulated", "split": str(tmp_path / "train.yaml"), "part": "train"})
