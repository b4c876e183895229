"""SAM's networks, with weights that have learned nothing, through the whole walk on real pixels."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from PIL import Image

from starnet.pipeline import segment

torch = pytest.importorskip("torch")
from starnet.models.torch_backend import TorchBackend  # noqa: E402
from starnet.networks import NETWORKS  # noqa: E402
from starnet.networks.checkpoints import save  # noqa: E402
from starnet.networks.network import build  # noqa: E402

# An untrained network has no opinion of its masks.
LENIENT = {"pred_iou_threshold": 0.0, "stability_threshold": 0.0}


@pytest.fixture(scope="module")
def xdf(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A corner of the Hubble eXtreme Deep Field, 200 x 220 pixels."""
    folder, paths = tmp_path_factory.mktemp("xdf"), []
    for band in ("f160w", "f850lp", "f606w"):
        with fits.open(shared_data / "xdf-demo" / f"xdf_{band}.fits") as hdus:
            cut = fits.HDUList([hdu.copy() for hdu in hdus])
        for hdu in cut:
            if hdu.data is not None:
                hdu.data = hdu.data[200:400, 100:320].copy()
        paths.append(folder / f"{band}.fits")
        cut.writeto(paths[-1])
    return paths


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, files = tmp_path_factory.mktemp("weights"), {}
    for name in ("vit_test", "tiny"):
        torch.manual_seed(5)
        files[name] = folder / f"{name}.safetensors"
        save(build(NETWORKS[name]), files[name])
    return files


def labels_of(run: Any) -> np.ndarray:
    return np.asarray(fits.getdata(run.outputs["segmentation"]))


def agreement(one: np.ndarray, two: np.ndarray) -> float:
    """Part of the pixels of both runs' objects that lie in objects which are each other's best match, as IoU weighs."""
    pairs, counts = np.unique(
        np.stack([one[(one > 0) & (two > 0)], two[(one > 0) & (two > 0)]]), axis=1, return_counts=True
    )
    best = sum(counts[pairs[0] == label].max() for label in np.unique(pairs[0]))
    return float(best / max(1, np.count_nonzero((one > 0) | (two > 0))))


@pytest.mark.parametrize("prompts", ["peaks", "grid"])
def test_a_vision_transformer_draws_what_it_is_asked(
    xdf: list[Path], untrained: dict[str, Path], tmp_path: Path, prompts: str
) -> None:
    result = segment(
        xdf, tmp_path / "run", model=untrained["vit_test"], prompts=prompts, grid_spacing=40, threads=1, device="cpu",
        **LENIENT,
    ) if prompts == "grid" else segment(
        xdf, tmp_path / "run", model=untrained["vit_test"], threads=1, device="cpu", **LENIENT
    )  # fmt: skip
    catalog = QTable.read(result.outputs["catalog"])
    labels = labels_of(result)
    assert len(catalog) == labels.max() > 0
    assert set(catalog["prompt"]) == {prompts}
    assert np.all(np.isfinite(catalog["predicted_iou"]))
    network = result.run["network"]
    assert network["config"]["name"] == "vit_test"
    assert network["device"] == "cpu"
    assert len(network["fingerprint"]) == 64
    assert result.run["model"]["parameters"]["network"] == network["fingerprint"]
    with Image.open(result.outputs["overlay"]) as overlay:
        assert overlay.size[0] * 200 == overlay.size[1] * 220


def test_a_local_network_draws_the_same_tiled_and_direct(
    xdf: list[Path], untrained: dict[str, Path], tmp_path: Path, record_property: Any
) -> None:
    backend = TorchBackend.load(untrained["tiny"], device="cpu", threads=2)
    assert backend.reach is not None
    for prompts, settings in (
        ("peaks", LENIENT),
        ("head", {"foreground_threshold": 0.15, "centre_threshold": 0.02}),
    ):
        runs = [
            segment(xdf, tmp_path / f"{prompts} {tile}", model=backend, prompts=prompts, threads=1, **mode, **settings)
            for tile, mode in (("direct", {"mode": "direct"}), ("tiled", {"tile": 64, "tile_origin": (7, 13)}))
        ]
        assert runs[0].n_sources > 0
        agree = agreement(*(labels_of(run) for run in runs))
        record_property(f"agreement {prompts}", agree)
        # torch may add in another order in windows of another size.
        assert agree > 0.999


def test_a_transformers_masks_depend_on_the_tiles_and_by_how_much_is_reported(
    xdf: list[Path], untrained: dict[str, Path], tmp_path: Path, record_property: Any
) -> None:
    runs = [
        segment(xdf, tmp_path / mode, model=untrained["vit_test"], mode=mode, threads=1, device="cpu", **LENIENT)
        for mode in ("direct", "tiled")
    ]
    agree = agreement(*(labels_of(run) for run in runs))
    record_property("agreement", agree)
    assert 0 <= agree < 1


def test_a_catalog_asks_by_position_on_the_sky(shared_data: Path, untrained: dict[str, Path], tmp_path: Path) -> None:
    bands = [shared_data / "phosim-decam" / f"set0_img_{band}.fits" for band in "zrg"]
    classical = segment(bands, tmp_path / "classical", model="classical", threshold=20, threads=1)
    asked = QTable.read(classical.outputs["catalog"])
    assert {"ra", "dec"} <= set(asked.colnames)
    asked["ra", "dec"].write(tmp_path / "asked.ecsv")
    result = segment(
        bands, tmp_path / "run", model=untrained["vit_test"], prompts=tmp_path / "asked.ecsv", threads=1, device="cpu"
    )
    found = QTable.read(result.outputs["catalog"])
    assert set(found["prompt"]) == {"catalog"}
    assert set(found["prompt_id"]) <= set(range(len(asked)))
    assert result.run["model"]["parameters"]["prompts"]["number"] == len(asked)
    assert result.run["model"]["parameters"]["pred_iou_threshold"] == 0


def test_embeddings_of_torch_are_kept(xdf: list[Path], untrained: dict[str, Path], tmp_path: Path) -> None:
    settings = {"model": untrained["tiny"], "threads": 1, "device": "cpu", "embeddings": tmp_path / "kept"}
    one = segment(xdf, tmp_path / "one", prompts="peaks", **settings, **LENIENT)
    assert len(list((tmp_path / "kept").glob("*.npz"))) == 1
    two = segment(xdf, tmp_path / "two", prompts="peaks", **settings, **LENIENT)
    np.testing.assert_array_equal(labels_of(one), labels_of(two))
    head = segment(xdf, tmp_path / "head", prompts="head", foreground_threshold=0.15, **settings)
    assert head.n_sources > 0
    assert len(list((tmp_path / "kept").glob("*.npz"))) == 1  # of the same window


def starnet(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "starnet", "segment", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_command(xdf: list[Path], untrained: dict[str, Path], tmp_path: Path) -> None:
    done = starnet(
        *xdf, "-o", tmp_path / "run", "--model", "vit_test", "--checkpoint", untrained["vit_test"], "--prompts", "grid",
        "--grid-spacing", 50, "--pred-iou-threshold", 0, "--stability-threshold", 0, "--recipe", "seed", "--device",
        "cpu", "--json", "--threads", 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["n_sources"] > 0
    assert re.match("model vit_test was made for the recipe noise, not seed", content["notes"][0])
    assert "masks: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "vit_b"], "starnet fetch sam-vit-b.*--checkpoint FILE"),
        (["--model", "vit_b", "--checkpoint", "FILE"], "is not a checkpoint of vit_b, but seems to be of tiny"),
        (["--model", "nothing.pth"], "nothing.pth could not be read"),
        (["--model", "FILE", "--device", "cuda:77"], r"device cuda:77: .*choose"),
        (["--model", "FILE", "--memory", "600MiB"], r"memory 600 MiB is too little .*model tiny.* give \d+ MiB"),
        (["--model", "FILE", "--checkpoint", "FILE"], "is a file of weights already: leave --checkpoint out"),
    ],
)
def test_a_mistake_is_one_sentence(
    xdf: list[Path],
    untrained: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("STARNET_CACHE", str(tmp_path / "cache"))
    filled = [str(untrained["tiny"]) if one == "FILE" else one for one in arguments]
    done = starnet(*xdf, "-o", tmp_path / "run", *filled)
    assert done.returncode == 2
    assert re.search(message, done.stderr)
    assert done.stderr.strip().count("\n") == 0


def test_workers_that_measure_do_not_import_torch(xdf: list[Path], untrained: dict[str, Path], tmp_path: Path) -> None:
    result = segment(xdf, tmp_path / "run", model=untrained["vit_test"], tile=64, threads=2, device="cpu", **LENIENT)
    import pickle

    from starnet.models.detector import Detector
    from starnet.models.painted import Painted

    assert result.run["workers"] == 2
    masks = result.directory / "masks"
    job = Painted(masks / "runs.npy", masks / "rows.npy", masks / "extents.npy", 8, Detector(noise=1.0))
    code = "import pickle, sys; pickle.loads(sys.stdin.buffer.read()); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(job), check=True)
