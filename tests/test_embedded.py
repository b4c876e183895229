"""The network that comes with the package: what is shipped, and that it is what runs where nothing is chosen."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from astropy.table import QTable, Table
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from conftest import REPOSITORY
from fake_sky import write_sky
from starnet.bundle import Bundle
from starnet.cli import app
from starnet.errors import StarnetError
from starnet.export import parity
from starnet.export.tiles import simulated_tiles
from starnet.models import DEFAULT_MODEL, NetworkOptions, open_backend
from starnet.models.session import SessionBackend
from starnet.models.torch_backend import TorchBackend
from starnet.networks import NETWORKS
from starnet.outputs.segmentation_map import read_segmentation_map
from starnet.pipeline import segment
from starnet.reproduce import Plan
from starnet.reproduce.start import prepare_start
from starnet.train.config import NetworkChoice, TrainConfig
from starnet.train.training import start
from starnet.weights import EMBEDDED, embedded_weights, find_weights, named_weights

#: Bytes of all shipped files: what a wheel may grow by.
ROOM = 12_000_000


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return Bundle.open(EMBEDDED["tiny"])


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_sky(tmp_path_factory.mktemp("sky"))


def invoke(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


def without(names: tuple[str, ...], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line where these packages are not installed."""
    code = (
        f"import sys\nfor name in {names!r}: sys.modules[name] = None\n"
        "import importlib.util\nfound = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *more: None if name in {names!r} else found(name, *more)\n"
        "from starnet.cli import main\nmain()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_what_is_shipped_is_small_and_says_what_it_is(shipped: Bundle) -> None:
    files = list(shipped.folder.iterdir())
    assert {path.name for path in files} == {
        "bundle.json", "decoder.onnx", "encoder.onnx", "instances.onnx", "weights.safetensors",
    }  # fmt: skip
    assert sum(path.stat().st_size for path in files) < ROOM
    assert shipped.config.name == "tiny"
    assert shipped.config.instance_head
    assert shipped.config.bands == ()  # any number
    assert shipped.reach is not None
    assert shipped.about["licence"] == "BSD-3-Clause"
    assert shipped.about["parity"]["objects"]["count"] > 0
    assert shipped.pixel_scales is not None
    for config in shipped.about["training"]["configs"]:
        assert config["network"]["name"] == "tiny"


def test_the_shipped_weights_are_of_the_network_of_that_name(shipped: Bundle) -> None:
    assert shipped.config.encoder == NETWORKS["tiny"].encoder
    assert shipped.config.prompt == NETWORKS["tiny"].prompt


def test_graphs_and_weights_are_the_same_network(shipped: Bundle) -> None:
    """Graphs in float32 not nearly: both hold the numbers that were rounded."""
    assert shipped.weights == embedded_weights("tiny")
    session = SessionBackend(shipped, device="cpu", threads=1)
    network = TorchBackend.load(shipped.weights, device="cpu", threads=1)
    assert network.config == session.config
    assert all(tensor.dtype == torch.float32 for tensor in network.network.state_dict().values() if tensor.ndim > 1)
    tiles = simulated_tiles(network, seed=3, count=1)
    ours, theirs = (backend.maps(backend.encode(tiles[0].image)) for backend in (session, network))
    if shipped.precision == "fp32":
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
    assert np.mean(np.abs(ours - theirs)) < 0.01
    found = parity.compare(network, session, tiles)
    assert found.failure(parity.GATES[shipped.precision]) is None


def test_matrices_are_stored_in_16_bits() -> None:
    tensors = load_file(embedded_weights("tiny"))
    assert {tensor.dtype for tensor in tensors.values() if tensor.ndim > 1} == {torch.float16}


def test_it_is_the_default_and_torch_is_not_imported(shared_data: Path, tmp_path: Path) -> None:
    bands = [shared_data / "xdf-demo" / f"xdf_{band}.fits" for band in ("f160w", "f850lp", "f606w")]
    done = without(
        ("torch", "onnx", "safetensors", "segment_anything", "lightning"),
        *("segment", *bands, "-o", tmp_path / "run", "--threads", "1", "--json", "--quiet"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["model"]["name"] == DEFAULT_MODEL == "tiny"
    assert run["network"]["fingerprint"] == Bundle.open(EMBEDDED["tiny"]).fingerprint
    assert run["network"]["device"].startswith("cpu (ONNX Runtime")
    catalog = QTable.read(tmp_path / "run" / "catalog.fits")
    labels = read_segmentation_map(tmp_path / "run" / "segmentation.fits").labels
    assert np.array_equal(np.unique(labels[labels > 0]), catalog["id"])
    assert len(catalog) > 50


def test_what_is_simulated_is_found(tmp_path: Path) -> None:
    """Most of what stands out; how much, the comparison says."""
    made = invoke("simulate", "--size", "512x512", "--seed", "5", "--bands", "F160W,F850LP,F606W", "-o", tmp_path, "-q")
    assert made.exit_code == 0, made.output
    bands = [tmp_path / f"{name}_drz.fits" for name in ("f160w", "f850lp", "f606w")]
    result = segment(bands, tmp_path / "run", threads=1)
    labels = read_segmentation_map(result.outputs["segmentation"]).labels
    truth = Table.read(tmp_path / "truth.fits")
    plain = truth[(truth["snr"] > 20) & (truth["area"] > 20)]
    inside = [labels[round(float(row["y"])), round(float(row["x"]))] > 0 for row in plain]
    assert len(plain) > 5
    assert np.mean(inside) > 0.8


@pytest.mark.parametrize("prompts", ["peaks", "centres"])
def test_it_is_prompted_too(sky: list[Path], tmp_path: Path, prompts: str) -> None:
    """By its own thresholds, which are not SAM's: of sources of a few pixels no mask is as sure as that."""
    drawn = segment(sky, tmp_path / "run", prompts=prompts, threads=1)
    formed = segment(sky, tmp_path / "formed", threads=1)
    parameters = drawn.run["model"]["parameters"]
    assert parameters["prompts"]["kind"] == prompts
    assert (parameters["pred_iou_threshold"], parameters["stability_threshold"]) == (0.55, 0)
    assert drawn.n_sources > 0.5 * formed.n_sources > 10


@pytest.mark.parametrize("command", ["segment", "inject", "demo"])
def test_without_onnxruntime_one_sentence_says_what_to_do(sky: list[Path], tmp_path: Path, command: str) -> None:
    zero_points = ("--zero-point", "F160W=26", "--zero-point", "F606W=26")
    more = {"segment": sky, "inject": [*sky, "--preset", "candels-deep", *zero_points], "demo": []}[command]
    done = without(("onnxruntime",), command, *more, "-o", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "starnet: error: networks run with onnxruntime, which is not installed: pip install 'starnet[cpu]' "
        "('starnet[gpu]' for a GPU), or choose --model classical\n"
    )
    assert not list((tmp_path / "out").rglob("*.fits"))


def test_without_onnxruntime_there_is_classical(sky: list[Path], tmp_path: Path) -> None:
    done = without(("onnxruntime",), "segment", *sky, "-o", tmp_path / "run", "--model", "classical", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")


def test_checkpoint_chooses_torch_and_the_names_of_weights(sky: list[Path], tmp_path: Path) -> None:
    one = open_backend("tiny", NetworkOptions(device="cpu"))
    assert isinstance(one, SessionBackend)
    for checkpoint in ("tiny", Path("tiny"), embedded_weights("tiny")):
        backend = open_backend("tiny", NetworkOptions(checkpoint=checkpoint, device="cpu"))
        assert isinstance(backend, TorchBackend)
    with pytest.raises(StarnetError, match="is not a checkpoint of vit_b, but seems to be of tiny"):
        open_backend("vit_b", NetworkOptions(checkpoint="tiny", device="cpu"))
    assert find_weights("tiny") == named_weights("tiny") == embedded_weights("tiny")
    assert named_weights("weights.safetensors") is None


def test_a_folder_of_that_name_is_not_the_network(sky: list[Path], tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert open_backend("tiny").config.name == "tiny"
    with pytest.raises(StarnetError, match=r"tiny is no model bundle"):
        open_backend("tiny/")


def test_fine_tuning_begins_with_the_shipped_weights_in_one_setting(tmp_path: Path) -> None:
    config = TrainConfig.load(REPOSITORY / "configs" / "train" / "tiny-quick.yaml", ["network.checkpoint=tiny"])
    begun = start(config.network).state_dict()
    for name, tensor in load_file(embedded_weights("tiny")).items():
        assert torch.equal(begun[name], tensor.float() if tensor.is_floating_point() else tensor), name
    # Without it a network begins anew, and one with an adapter keeps all but that.
    fresh = start(NetworkChoice("tiny")).state_dict()
    assert not all(torch.equal(fresh[name], tensor) for name, tensor in begun.items())
    adapted = start(NetworkChoice("tiny", checkpoint="tiny", bands=("F160W", "F606W")))
    assert adapted.config.bands == ("F160W", "F606W")
    with pytest.raises(StarnetError, match="run `starnet fetch sam-vit-b`"):
        start(NetworkChoice("vit_b", checkpoint="sam-vit-b"))


@pytest.fixture(autouse=True)
def nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARNET_CACHE", str(tmp_path / "cache"))


def test_the_report_begins_with_them_too(tmp_path: Path) -> None:
    begun = prepare_start(Plan(model="tiny"), tmp_path / "start")
    assert begun.learned
    assert begun.words.startswith("the weights of tiny that come with StarNet (SHA-256 ")


def test_fetch_says_that_they_are_there() -> None:
    result = invoke("fetch", "tiny")
    assert result.exit_code == 0
    assert result.stdout.strip() == str(embedded_weights("tiny"))
    assert result.stderr == "tiny comes with the package, there is nothing to fetch:\n"
    (row,) = (line for line in invoke("fetch", "--list").stdout.splitlines() if line.split()[:1] == ["tiny"])
    assert "comes with the package" in row


def test_classicals_options_are_refused_by_name(sky: list[Path], tmp_path: Path) -> None:
    for option in ("--threshold", "--deblend-levels", "--deblend-contrast"):
        refused = invoke("segment", *sky, "-o", tmp_path / "run", option, "1")
        assert refused.exit_code == 2
        name = option.removeprefix("--").replace("-", "_")
        assert f"model tiny with --prompts head takes no {name} (it has " in refused.stderr
        assert refused.stderr.endswith("choose --model classical, which does\n")
        assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_make_embed_writes_what_is_read() -> None:
    """The Makefile's line, with the files that this checkout has, as far as that does not take minutes."""
    line = ["make", "--dry-run", "--always-make", "embed", "WEIGHTS=weights.safetensors"]
    said = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
    assert said[said.index("--output") + 1] == "python/starnet/weights/tiny"
    assert said[said.index("--precision") + 1] == "int8"
    assert "--with-weights" in said
    assert (REPOSITORY / "python" / "starnet" / "weights" / "tiny" / "bundle.json").is_file()
    trainings = [value for option, value in itertools.pairwise(said) if option == "--training"]
    assert trainings[0] == "configs/train/tiny-first.yaml"
    for name in trainings:
        assert yaml.safe_load((REPOSITORY / name).read_text())["network"]["name"] == "tiny"
