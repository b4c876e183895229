"""ONNX Runtime for GPUs on a machine without one: it lists CUDA all the same, and is not believed."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import pytest

import starnet
from environments import Environment
from export_samples import TINY, lively
from fake_sky import write_sky
from starnet.export.exporting import ungated
from starnet.run import OUTPUTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """With onnxruntime-gpu before all that is installed here, and this checkout."""
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has a GPU, or at least its driver")
    made = Environment.make(tmp_path_factory.mktemp("gpu") / "environment")
    made.install("--no-deps", "onnxruntime-gpu>=1.20")
    installed, checkout = sysconfig.get_path("purelib"), Path(starnet.__file__).parent.parent
    (made.site_packages / "rest.pth").write_text(f"{checkout}\n{installed}\n", encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_sky(tmp_path_factory.mktemp("sky"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ungated(lively(TINY, sky=True), tmp_path_factory.mktemp("bundles") / "tiny")


def test_it_lists_cuda(environment: Environment) -> None:
    said = environment.checked(
        str(environment.python), "-c", "import onnxruntime as o; print(o.__file__, o.get_available_providers())"
    )
    assert str(environment.site_packages) in said
    assert "CUDAExecutionProvider" in said
    assert "TensorrtExecutionProvider" in said


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "tensorrt", "cuda:0,cuda:1"])
def test_a_gpu_that_is_asked_for_is_one_sentence(
    environment: Environment, bundle: Path, sky: list[Path], tmp_path: Path, device: str
) -> None:
    done = environment.starnet("segment", *sky, "-o", tmp_path / "run", "--model", f"{bundle}/", "--device", device)
    assert done.returncode == 2
    first = device.split(",")[0]
    assert f"device {first}: a session" in done.stderr
    assert done.stderr.endswith("choose --device cpu\n")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_auto_says_that_it_fell_back_and_is_the_cpu(
    environment: Environment, bundle: Path, sky: list[Path], tmp_path: Path
) -> None:
    said = {}
    for device in ("auto", "cpu"):
        run = tmp_path / device
        done = environment.starnet("segment", *sky, "-o", run, "--model", f"{bundle}/", "--device", device, "--quiet")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        said[device] = " ".join(done.stdout.split())
    assert "no GPU, for a session that asked for CUDAExecutionProvider got CPUExecutionProvider" in said["auto"]
    assert "no GPU" not in said["cpu"]
    for name in OUTPUTS.values():
        assert (tmp_path / "auto" / name).read_bytes() == (tmp_path / "cpu" / name).read_bytes(), name
