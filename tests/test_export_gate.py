"""An export is the network, or there is none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from export_samples import TINY, VIT, lively
from starnet.bundle import Bundle
from starnet.cli import app
from starnet.errors import StarnetError
from starnet.export import exporting, parity, tiles
from starnet.export.exporting import export
from starnet.export.parity import GATES, Gate
from starnet.models.torch_backend import TorchBackend
from starnet.networks import NETWORKS, NetworkConfig, checkpoints

XDF = ("xdf_f160w.fits", "xdf_f850lp.fits", "xdf_f606w.fits")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "SIDE", 160)
    monkeypatch.setattr(exporting, "CALIBRATION", 2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "SIDE", 160)
        checkpoints.save(lively(TINY, sky=True), path, {"steps": 7, "figures": {"ap50": 0.5}})
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["export", *map(str, arguments)])


@pytest.mark.parametrize(
    ("config", "precision"),
    [
        (TINY, "int8"),
        (VIT, "fp16"),
        pytest.param(VIT, "fp32", marks=pytest.mark.slow),
        pytest.param(VIT, "int8", marks=pytest.mark.slow),
    ],
)
def test_a_bundle_finds_the_objects_of_its_network(
    config: NetworkConfig, precision: str, tmp_path: Path, shared_data: Path
) -> None:
    files = [shared_data / "xdf-demo" / name for name in XDF]
    stages = []
    made = export(
        lively(config, sky=True), tmp_path / "b", precision=precision, tiles=files, threads=1,
        gate=Gate(0.7, 0.3) if precision == "int8" else None, progress=lambda *step: stages.append(step[0]),
    )  # fmt: skip
    assert made.parity.tiles[XDF[0]] >= 1
    assert made.parity.tiles["simulated"] == 2
    assert made.parity.objects is not None
    assert made.parity.objects.count > 5  # of maps that nobody trained: most centres are joined
    assert made.parity.masks.count > 20
    if precision != "int8":
        gate = GATES[precision]
        assert min(made.parity.objects.iou_mean, made.parity.masks.iou_mean) >= gate.iou
        assert max(made.parity.objects.flux, made.parity.masks.flux) <= gate.flux
    assert {"tiles", "graphs", "compare"} <= set(stages)
    found = Bundle.open(made.folder)
    assert found.config == config
    assert found.precision == precision
    assert found.about["parity"]["objects"]["iou_mean"] == made.parity.objects.iou_mean


@pytest.fixture(scope="module")
def written(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A bundle of the command, and what it printed."""
    folder = tmp_path_factory.mktemp("bundles") / "b"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "SIDE", 160)
        return folder, run(weights, "-o", folder, "--threads", 1)


def test_the_command_writes_a_bundle_and_says_how_good_it_is(written: tuple[Path, Result], weights: Path) -> None:
    folder, result = written
    assert result.exit_code == 0, result.stderr
    assert "b: fp32, opset 18" in result.stdout
    assert "2 of simulated" in result.stdout
    assert "IoU 1.0000" in result.stdout
    about = json.loads((folder / "bundle.json").read_text())
    assert about["quality"] == {"ap50": 0.5}
    assert about["training"] == {"file": "mine.safetensors", "steps": 7}
    assert about["recipe"] == "noise"
    assert about["tile"] == 1024
    assert about["parity"]["gate"] == {"iou": 0.99, "flux": 1e-3}
    assert set(about["made"]) == {"starnet", "torch", "onnx", "onnxruntime"}
    again = run(weights, "-o", folder)
    assert (again.exit_code, again.stderr.count("\n")) == (2, 1)
    assert "give --force" in again.stderr


def test_an_export_that_differs_is_not_kept(
    written: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = written
    other = lively(TINY, sky=True)
    with torch.no_grad():
        for parameter in other.image_encoder.stem.parameters():
            parameter.mul_(0.9)
    checkpoints.save(other, tmp_path / "other.safetensors")
    monkeypatch.setattr(exporting, "write", lambda graph, to, opset: shutil.copy(folder / graph.file, to))
    result = run(tmp_path / "other.safetensors", "-o", tmp_path / "b", "-q", "--threads", 1)
    assert result.exit_code == 2
    assert "the export of tiny is not the same as the network, and was not kept: the mean IoU of its" in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["other.safetensors"]


def test_a_network_that_finds_nothing_cannot_be_compared() -> None:
    nothing = parity.Agreement(0, 0.0, 0.0, 0.0, 0.0)
    same = parity.Agreement(5, 1.0, 1.0, 0.0, 0.0)
    for objects, masks, said in ((nothing, same, "no objects"), (same, nothing, "no masks of prompts")):
        with pytest.raises(StarnetError, match=f"there are {said} .* to compare|there are {said} to compare"):
            parity.check(parity.Parity({}, objects, masks), GATES["fp32"], "tiny")
    parity.check(parity.Parity({}, None, same), GATES["fp32"], "tiny")
    fainter = parity.Agreement(5, 1.0, 1.0, 0.02, 0.1)
    with pytest.raises(StarnetError, match=r"fluxes of its objects differ by 0.02 in the mean, and 0.001 is the most"):
        parity.check(parity.Parity({}, fainter, same), GATES["fp32"], "tiny")


def test_figures_of_two_label_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = TorchBackend(lively(TINY), device="cpu")
    sky = tiles.simulated_tiles(backend, count=1)[0]
    ours = np.zeros(sky.preprocessed.box.shape, np.int32)
    ours[10:20, 10:20], ours[40:50, 40:50] = 1, 2
    theirs = np.zeros_like(ours)
    theirs[10:20, 10:15] = 1  # half of the first; nothing of the second
    tally = parity._Tally()
    parity._add_labels(tally, sky, ours, theirs)
    found = tally.agreement()
    assert found.count == 3
    assert found.iou_mean == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert (found.iou_worst, found.flux_worst) == (0, pytest.approx(1, abs=0.5))
    tally = parity._Tally()
    parity._add_labels(tally, sky, ours, (ours > 0) * (3 - ours))
    assert tally.agreement() == parity.Agreement(4, 1.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tiny", "-o", "b", "--checkpoint", "missing.pth"], "missing.pth"),
        (["missing.safetensors", "-o", "b"], "missing.safetensors could not be read"),
        (["WEIGHTS", "-o", "b", "--checkpoint", "WEIGHTS"], "is a file of weights already: leave --checkpoint out"),
        (["WEIGHTS", "-o", "b", "--int8-iou", "0.8"], "--int8-iou is for --precision int8, and this is fp32"),
        (["WEIGHTS", "-o", "b", "--precision", "int8", "--int8-iou", "2"], "--int8-iou 2.0: must be above 0"),
        (["WEIGHTS", "-o", "b", "--opset", "9"], "opset 9: choose one from 18"),
        (["WEIGHTS", "-o", "b", "--tiles", "missing.fits"], "missing.fits"),
        (["WEIGHTS", "-o", "WEIGHTS"], "exists and is no model bundle"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    arguments: list[str], said: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*(weights if one == "WEIGHTS" else one for one in arguments), "-q")
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_bands_that_no_simulation_has() -> None:
    backend = TorchBackend(lively(replace(TINY, bands=("X1", "X2"))), device="cpu")
    with pytest.raises(
        StarnetError, match="no simulated sky has the bands X1, X2: give real images of them with --tiles"
    ):
        tiles.simulated_tiles(backend)


@pytest.mark.slow
def test_sam_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The make of Meta's smallest file, with random weights.
    from starnet.networks.network import build

    monkeypatch.setattr(tiles, "PER_MOSAIC", 1)
    torch.manual_seed(0)
    network = build(NETWORKS["vit_b"])
    made = export(network, tmp_path / "b", gate=Gate(0.99, 1e-3))
    assert made.parity.objects is None
    assert made.parity.masks.count > 20
    assert made.files["encoder.onnx"] > 3e8
    assert Bundle.open(made.folder).instances is None
