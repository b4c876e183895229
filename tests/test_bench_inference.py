"""`starnet bench --inference`: what it compares, what it counts, and that a wrong result is an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from network_samples import network
from starnet import bench
from starnet.bench import arithmetic, inference, network_cases, scene
from starnet.bench.arithmetic import Cost, Gpu
from starnet.bench.end_to_end import EndToEnd
from starnet.bench.race import Effort
from starnet.bench.subjects import Sky, subject
from starnet.cli import app
from starnet.errors import StarnetError
from starnet.mosaic import Mosaic
from starnet.networks import NETWORKS, TinyEncoder, checkpoints


def invoke(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["bench", *map(str, arguments)])


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One round, few prompts, no compiler: figures mean nothing here."""
    effort = Effort(rounds=1, sample=0.0, slow=float("inf"), patience=0.1, fewest=1)
    monkeypatch.setattr(inference, "FULL", effort)
    monkeypatch.setattr(inference, "QUICK", effort)
    monkeypatch.setattr(inference, "PROMPTS", (1, 5))
    monkeypatch.setattr(inference, "compiler", lambda device: "none in this test")
    monkeypatch.setattr(inference, "expected_rates", list)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    from astropy.io import fits

    folder = tmp_path_factory.mktemp("field")
    paths = []
    for name, band in zip(("F160W", "F850LP", "F606W"), scene.made(folder, 160).bands, strict=True):
        paths.append(str(folder / f"{name}.fits"))
        fits.PrimaryHDU(band).writeto(paths[-1])
    return paths


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vit_test.safetensors"
    checkpoints.save(network("vit_test"), path)
    return path


def test_parts_automatic_masks_and_the_whole_command(files: list[str], weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "inference.json"
    result = invoke(*files, "--inference", "--model", weights, "--threads", 1, "--quick", "--json", file)
    assert result.exit_code == 0, result.output
    for text in ("vit_test encoder", "vit_test decoder, 5 prompts", "torch eager", "cpu (ONNX Runtime", "FITS to FITS"):
        assert text in result.output
    assert "torch.compile does not work here, and is left out: none in this test" in result.output
    content = json.loads(file.read_text(encoding="utf-8"))
    names = [one["name"] for one in content["results"]]
    assert names[:3] == ["vit_test encoder", "vit_test decoder, 1 prompt", "vit_test decoder, 5 prompts"]
    assert "automatic masks" in names[3]
    for one in content["results"]:
        ours, eager = one["contenders"]
        assert ours["library"] == "StarNet"
        assert eager["library"] == ("segment_anything" if "automatic" in one["name"] else "torch eager")
        assert eager["ranked"] == ("automatic" not in one["name"])
        assert len(ours["rounds"]) == len(ours["cpu"]) == len(eager["cpu"]) >= 1
    assert [one["backend"] for one in content["load"]] == ["ONNX Runtime", "torch eager"]
    assert all(one["seconds"] > 0 and one["cpu"] > 0 for one in content["load"])
    onnx, eager = content["segment"]
    assert (onnx["backend"], eager["backend"]) == ("ONNX Runtime", "torch eager")
    assert onnx["pixels"] == eager["pixels"] == 160 * 160
    assert onnx["tiles"] == eager["tiles"]
    assert onnx["sources"] == eager["sources"]
    assert {"fit", "masks", "segment", "catalog", "outputs"} <= set(onnx["seconds"])
    assert set(onnx["busy"]) == {"read", "network", "objects"}
    assert onnx["peak_memory"] > 2**20
    assert content["sep"]["sources"] > 0
    assert content["sep"]["cpu"] > 0
    assert f"{content['sep']['version']}, files to labels" in result.output


def test_a_bundle_is_measured_alone(files: list[str], weights: Path, tmp_path: Path) -> None:
    made = subject(str(weights), tmp_path, device="cpu", threads=1)
    found = inference.infer(files, models=[str(made.bundle)], operations=["encoder"], device="cpu")
    (result,) = found.results
    assert not result.peers
    assert any("this bundle holds no weights for torch" in note for note in found.notes)


def test_the_shipped_network_is_measured_with_its_weights_beside(files: list[str]) -> None:
    found = inference.infer(files, models=["tiny"], operations=["load", "head"], device="cpu", quick=True)
    (device,) = found.devices
    assert device.startswith("tiny (as it comes with the package, ")
    assert [one.backend for one in found.loads] == ["ONNX Runtime", "torch eager"]
    assert not found.disagreements
    assert "torch eager" in [peer.library for peer in found.results[0].peers]


def test_another_network_is_a_disagreement(files: list[str], weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = inference.subject

    def other(*arguments: Any, **options: Any) -> Any:
        made = plain(*arguments, **options)
        assert made.torch is not None
        with torch.no_grad():
            made.torch.network.image_encoder.neck[3].weight *= 1.1
        return made

    monkeypatch.setattr(inference, "subject", other)
    result = invoke(*files, "--inference", "--model", weights, "--threads", 1, "--op", "encoder")
    assert result.exit_code == 1
    assert "disagree: the largest difference is" in result.stderr
    assert "DISAGREES" in result.stdout


def test_random_weights_are_the_same_every_time(tmp_path: Path) -> None:
    prints = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made = subject("vit_test", tmp_path / name, device="cpu", threads=1)
        assert made.torch is not None
        prints.append(made.torch.fingerprint)
    assert prints[0] == prints[1]


def test_windows_are_those_of_the_engine(files: list[str], weights: Path, tmp_path: Path) -> None:
    session = subject(str(weights), tmp_path, device="cpu", threads=1).session
    tile = Sky.opened(files).tile(session)
    box = tile.preprocessed.box
    assert box.shape == tile.image.shape[1:]
    assert box.shape[0] < 160  # less than the mosaic: a window
    assert (box.y0 + box.y1, box.x0 + box.x1) == (160, 160)


def test_prompts_are_spread() -> None:
    prompts = network_cases.spread(17, (100, 80))
    assert len(prompts) == 17
    x, y = prompts.anchors.T
    assert (x.min() >= 0, y.min() >= 0, x.max() < 80, y.max() < 100) == (True,) * 4
    assert np.ptp(y) > 60


def test_differences_are_seen() -> None:
    a = np.linspace(1, 2, 50, dtype=np.float32)
    assert network_cases.differ((a, a), (a, a)) is None
    assert network_cases.differ({"x": a, "shape": 0}, {"x": a * 1.0001, "shape": 1}) is None
    assert "of the root mean square" in str(network_cases.differ((a, a), (a, a + 0.1)))
    assert network_cases.differ(a, a[:3]) == "shape (3,) instead of (50,)"
    assert network_cases.differ({"x": a}, {"x": a * np.nan}) is not None


def test_operations_are_counted() -> None:
    """Against the sums of a convolution, by hand."""
    layer = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False, device="meta")
    image = torch.empty((1, 3, 8, 8), device="meta")
    cost = arithmetic._counted(lambda: layer(image))
    assert cost.operations == 2 * 3 * 5 * 9 * 64
    assert cost.traffic == 2 * (3 * 64 + 5 * 64 + 3 * 5 * 9)


def test_rates_are_operations_over_peak() -> None:
    gpu = Gpu("one", operations=1e12, bandwidth=1e11)
    assert Cost(2e12, 0).seconds(gpu) == pytest.approx(2 / arithmetic.FRACTION)
    assert Cost(0, 3e11).seconds(gpu) == pytest.approx(3 / arithmetic.FRACTION)


def test_expected_rates_are_marked(monkeypatch: pytest.MonkeyPatch, files: list[str], weights: Path) -> None:
    monkeypatch.setattr(arithmetic, "LISTED", ("tiny", "vit_b"))
    monkeypatch.setattr(inference, "expected_rates", arithmetic.expected_rates)
    result = invoke(*files, "--inference", "--model", weights, "--threads", 1, "--op", "encoder")
    assert (
        "By arithmetic, not measured: operations and bytes in float16 over 0.4 of the published peaks" in result.output
    )
    tiny, vit = arithmetic.costs(NETWORKS["tiny"]), arithmetic.costs(NETWORKS["vit_b"])
    # By hand: 64 x 64 tokens, 70 x 70 in the eight blocks with windows of 14 x 14; relative positions are the rest.
    width, tokens, padded = 768, 64**2, 70**2
    layers = 4 * width**2 * (8 * padded + 4 * tokens) + 8 * width**2 * 12 * tokens
    attention = 2 * width * (8 * padded * 14**2 + 4 * tokens**2)
    ends = tokens * (width * 3 * 16**2 + width * 256 + 256 * 256 * 9)
    assert vit[2].operations == pytest.approx(2 * (layers + attention + ends), rel=0.01)
    # Of tiny: a stride, or a factor of two upwards, and blocks of 3 x 3 to twice the width and 1 x 1 back.
    encoder, (ny, nx) = NETWORKS["tiny"].encoder, tiny[0]
    assert isinstance(encoder, TinyEncoder)
    coarsest = len(encoder.widths) - 1
    pairs = pairwise((4 * 3, *encoder.widths))
    convolutions = ny * nx / 16 * encoder.widths[1] * NETWORKS["tiny"].prompt.width
    for level, ((before, width), blocks) in enumerate(zip(pairs, encoder.blocks, strict=True)):
        up = width * before if level else 0
        all_blocks = (blocks + (level < coarsest)) * 20 * width**2
        convolutions += ny * nx / 4 ** (level + 1) * (9 * before * width + up + all_blocks)
    assert tiny[2].operations == pytest.approx(2 * convolutions, rel=0.01)


def test_a_run_adds_up() -> None:
    seconds, busy = {"fit": 1.0, "segment": 3.0}, {"read": 1.0, "network": 2.5}
    run = EndToEnd("m", "ONNX Runtime", "cpu", 4_000_000, 4, 9, 6.0, 5.0, seconds, busy, 2**20)
    assert run.rate == pytest.approx(1.0)
    assert run.overlap == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--inference", "--model", "huge"], "model 'huge' is unknown: choose tiny"),
        (["--inference", "--model", "tiny", "--op", "median"], "there is no operation 'median' of inference"),
        (["--inference", "--size", "3"], "--size is for filters"),
        (["--inference", "--plot", "x.png"], "--plot is for filters"),
        (["--model", "tiny"], "--model is for networks: add --inference"),
        (["--device", "cpu"], "--device is for networks: add --inference"),
        (["a.fits", "b.fits"], "2 images: give one"),
        (["missing.fits", "--inference", "--model", "tiny"], "missing.fits"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: list[str], says: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_gpu_that_is_not_there_is_an_error(weights: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(StarnetError, match="choose --device cpu"):
        subject(str(weights), tmp_path, device="cuda", threads=1)


def test_a_failed_command_says_why(files: list[str], tmp_path: Path) -> None:
    from starnet.bench.end_to_end import run_segment

    with pytest.raises(StarnetError, match=r"starnet segment of x failed: .*nowhere"):
        run_segment(
            files, tmp_path / "nowhere.safetensors", tmp_path / "run", name="x", backend="b", device="cpu", threads=1
        )


def test_the_other_comparison_has_cpu_seconds(tmp_path: Path, files: list[str]) -> None:
    comparison = bench.compare(files[0], operations=["normalize"], quick=True)
    (first, *_) = comparison.results
    assert len(first.ours.cpu) == len(first.ours.rounds)
    assert Mosaic.open(files).shape == (160, 160)
