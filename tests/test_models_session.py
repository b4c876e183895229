"""ONNX Runtime runs a network's bundle: torch's numbers, the same bits in every window, and memory that runs out."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_sky import write_sky
from network_samples import network
from starnet.errors import StarnetError
from starnet.export.exporting import ungated
from starnet.models import runtime
from starnet.models.backend import Backend
from starnet.models.prompt_windows import cut, prompt_origins
from starnet.models.runtime import Acceleration
from starnet.models.session import SessionBackend, halving
from starnet.models.torch_backend import TorchBackend
from starnet.networks import NETWORKS, TinyEncoder
from starnet.networks.network import Network
from starnet.pipeline import segment
from starnet.prompts import Prompts
from test_torch_backend import some_prompts

SMALL = replace(NETWORKS["tiny"], encoder=TinyEncoder((8, 12, 16), (1, 1, 1)))
CONFIGS = {
    "tiny": SMALL,
    "bands": replace(SMALL, bands=("F160W", "F606W")),
    "vit": replace(NETWORKS["vit_test"], instance_head=True),
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Network, Path]]:
    folder = tmp_path_factory.mktemp("bundles")
    return {
        name: (net, ungated(net, folder / name))
        for name, net in ((name, network(config)) for name, config in CONFIGS.items())
    }


@pytest.mark.parametrize(("name", "bands"), [("tiny", 3), ("tiny", 1), ("tiny", 5), ("bands", 2), ("vit", 3)])
@pytest.mark.parametrize("shape", [(150, 170), (64, 96), (33, 20)])
def test_it_equals_torch(
    bundles: dict[str, tuple[Network, Path]], name: str, bands: int, shape: tuple[int, int]
) -> None:
    net, folder = bundles[name]
    ours: Backend = SessionBackend(folder, device="cpu", threads=2)
    theirs = TorchBackend(net, device="cpu", threads=2)
    assert (ours.config, ours.stride, ours.reach) == (theirs.config, theirs.stride, theirs.reach)
    assert ours.prompt_window == theirs.prompt_window
    image = np.random.default_rng(3).standard_normal((bands, *shape)).astype(np.float32)
    mine, other = ours.encode(image), theirs.encode(image)
    maps = ours.maps(mine)
    assert maps.shape == (3, *shape)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps, theirs.maps(other), atol=1e-4)
    kept = ours.from_arrays({key: value.copy() for key, value in ours.to_arrays(mine).items()})
    assert np.array_equal(ours.maps(kept), maps)
    prompts = some_prompts()
    for multimask in (True, False):
        expected = theirs.decode(other, prompts, multimask=multimask)
        for features in (mine, kept):
            found = ours.decode(features, prompts, multimask=multimask)
            assert np.array_equal(found.origins, expected.origins)
            np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)
            np.testing.assert_allclose(found.predicted_iou, expected.predicted_iou, atol=1e-4)
    assert ours.decode(mine, Prompts.none(), multimask=True).logits.shape[:2] == (0, 3)


SKY = np.random.default_rng(8).standard_normal((3, 400, 400)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_pixel_has_the_same_bits_in_every_window(
    bundles: dict[str, tuple[Network, Path]], data: st.DataObject
) -> None:
    backend = SessionBackend(bundles["tiny"][1], device="cpu", threads=1)
    reach = backend.reach
    assert reach is not None
    whole = backend.maps(backend.encode(SKY))
    box = []
    for extent in SKY.shape[1:]:
        start = backend.stride * data.draw(st.integers(0, (extent - 1) // backend.stride))
        stop = data.draw(st.integers(start + 1, extent))
        box.append((start, stop))
    (y0, y1), (x0, x1) = box
    part = backend.maps(backend.encode(SKY[:, y0:y1, x0:x1]))
    inner = tuple(
        slice(0 if start == 0 else reach, (stop if stop == extent else stop - reach) - start)
        for (start, stop), extent in zip(box, SKY.shape[1:], strict=True)
    )
    if all(one.stop > one.start for one in inner):
        assert np.array_equal(part[:, *inner], whole[:, y0:y1, x0:x1][:, *inner])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300)), min_size=1, max_size=5),
    st.tuples(st.integers(1, 300), st.integers(1, 400)),
)
def test_prompts_are_cut_as_the_network_does(
    bundles: dict[str, tuple[Network, Path]], anchors: list[tuple[float, float]], shape: tuple[int, int]
) -> None:
    net, _ = bundles["tiny"]
    xy = np.array(anchors, np.float32)
    origins = prompt_origins(xy, shape, net.prompt_window, 4)
    expected = net.prompt_origins(torch.from_numpy(xy), shape)
    assert np.array_equal(origins, expected)
    embedding = np.random.default_rng(0).standard_normal((2, -(-shape[0] // 4), -(-shape[1] // 4))).astype(np.float32)
    squares = net._cut(torch.from_numpy(embedding)[None], expected, None)
    assert np.array_equal(cut(embedding, origins, 32, 4), squares)


def test_it_says_what_it_runs_on_and_goes_to_other_processes(bundles: dict[str, tuple[Network, Path]]) -> None:
    backend = SessionBackend(bundles["tiny"][1], device="cpu", threads=1)
    assert backend.device == f"cpu (ONNX Runtime {onnxruntime.__version__}, CPU)"
    options = backend.graphs["encoder.onnx"].session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    again = pickle.loads(pickle.dumps(backend))
    assert again.fingerprint == backend.fingerprint
    with pytest.raises(StarnetError, match="takes the bands F160W, F606W, and the mosaic has 3"):
        SessionBackend(bundles["bands"][1], device="cpu").encode(SKY)


class ListedOnly:
    """A session as onnxruntime-gpu makes it where there is no GPU: CUDA is listed, and the CPU is what one gets."""

    def __init__(self, path: str, options: Any, providers: list[Any], **rest: Any) -> None:
        names = [name for name, _ in providers]
        self.session = onnxruntime_session(path, options, providers=["CPUExecutionProvider"])
        if names[0] == "TensorrtExecutionProvider":
            raise RuntimeError("libnvinfer.so.10: cannot open shared object file\nin provider_bridge")
        assert rest == {"enable_fallback": 0}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


onnxruntime_session = onnxruntime.InferenceSession


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", ListedOnly)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("Failed to load libcudart"), raising=False)


@pytest.mark.usefixtures("listed")
def test_a_provider_that_is_listed_is_not_believed(
    bundles: dict[str, tuple[Network, Path]], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = bundles["tiny"][1]
    backend = SessionBackend(folder, device="auto", threads=1)
    assert backend.device.startswith("cpu (ONNX Runtime")
    assert "; no GPU, for a session that asked for CUDAExecutionProvider got CPUExecutionProvider" in backend.device
    assert backend.maps(backend.encode(SKY[:, :64, :64])).shape == (3, 64, 64)
    with pytest.raises(StarnetError, match=r"device cuda:1: a session .* got CPU.*: choose --device cpu$"):
        SessionBackend(folder, device="cuda:1")
    with pytest.raises(StarnetError, match=r"device tensorrt: .* could not be opened \(libnvinfer\.so\.10[^\n]*file\)"):
        SessionBackend(folder, device="tensorrt")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "tensorrt"])
def test_a_gpu_that_is_not_there_is_one_sentence(bundles: dict[str, tuple[Network, Path]], device: str) -> None:
    if onnxruntime.get_available_providers()[0] == "CUDAExecutionProvider":
        pytest.fail("this environment has onnxruntime-gpu: the test of what is listed only is the one for it")
    with pytest.raises(StarnetError, match=f"device {device}: the ONNX Runtime here was built without .*--device cpu$"):
        SessionBackend(bundles["tiny"][1], device=device)


@pytest.mark.parametrize("device", ["gpu", "cpu:1", "cuda:x", "cuda:", "tensorrt:-1"])
def test_an_unknown_device_is_one_sentence(bundles: dict[str, tuple[Network, Path]], device: str) -> None:
    with pytest.raises(StarnetError, match=f"device '{device}' is unknown: choose auto, cpu, cuda"):
        SessionBackend(bundles["tiny"][1], device=device)


def test_options_of_gpus(tmp_path: Path) -> None:
    options = Acceleration(cuda_graphs=True, engine_cache=tmp_path / "engines", memory=2**30)
    tensorrt, cuda, cpu = options.providers("tensorrt", 1)
    assert tensorrt[1]["trt_engine_cache_path"] == str(tmp_path / "engines")
    assert cuda[1]["device_id"] == tensorrt[1]["device_id"] == "1"
    assert cuda[1]["enable_cuda_graph"] == "1"
    assert cuda[1]["gpu_mem_limit"] == str(2**30)
    assert cpu[0] == "CPUExecutionProvider"
    assert Acceleration().providers("cuda", 0)[0][1].keys() == {"device_id", "arena_extend_strategy"}


def test_what_is_played_back_reads_and_writes_where_it_did(bundles: dict[str, tuple[Network, Path]]) -> None:
    graph = SessionBackend(bundles["tiny"][1], device="cpu", threads=1).graphs["encoder.onnx"]
    windows = [np.ascontiguousarray(SKY[None, :, :64, x : x + 64]) for x in (0, 64)]
    expected = [graph({"image": one})["pixels"].numpy().copy() for one in windows]
    graph.recorded = True  # on a CPU this is all that it means
    picture = windows[0].copy()
    first = graph({"image": picture})["pixels"]
    assert np.array_equal(first.numpy(), expected[0])
    picture[:] = windows[1]
    second = graph({"image": picture})["pixels"]
    assert second.data_ptr() == first.data_ptr()
    assert np.array_equal(second.numpy(), expected[1])
    elsewhere = graph({"image": windows[0]})["pixels"]
    assert elsewhere.data_ptr() != first.data_ptr()
    assert np.array_equal(elsewhere.numpy(), expected[0])
    assert np.array_equal(second.numpy(), expected[1])


def out_of_memory() -> Exception:
    return onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException(
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running MatMul node. "
        "bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 536870912"
    )


@settings(max_examples=50, deadline=None)
@given(count=st.integers(0, 40), room=st.integers(1, 50))
def test_batches_are_halved_until_they_fit(count: int, room: int) -> None:
    done: list[int] = []

    def work(some: slice) -> None:
        if some.stop - some.start > room:
            raise out_of_memory()
        done.extend(range(some.start, some.stop))

    halving(work, count)
    assert done == list(range(count))


def test_prompts_that_do_not_fit_are_decoded_in_halves(
    bundles: dict[str, tuple[Network, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = SessionBackend(bundles["tiny"][1], device="cpu", threads=1)
    features = backend.encode(SKY)
    prompts = Prompts.of_points("peaks", np.random.default_rng(0).uniform(0, 399, (11, 2)))
    expected = backend.decode(features, prompts, multimask=True)
    batches: list[int] = []
    decoder = backend.graphs["decoder.onnx"]

    def little(room: int) -> Callable[[Any], Any]:
        def run(inputs: Any) -> Any:
            batches.append(len(inputs["points"]))
            if batches[-1] > room:
                raise out_of_memory()
            return decoder(inputs)

        return run

    monkeypatch.setitem(backend.graphs, "decoder.onnx", little(3))  # type: ignore[arg-type]
    found = backend.decode(features, prompts, multimask=True)
    assert batches == [11, 6, 3, 3, 3, 2]
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    monkeypatch.setitem(backend.graphs, "decoder.onnx", little(0))  # type: ignore[arg-type]
    with pytest.raises(StarnetError, match="too little memory for the masks of a prompt: use smaller tiles"):
        backend.decode(features, prompts, multimask=True)
    monkeypatch.setitem(backend.graphs, "encoder.onnx", little(0))  # type: ignore[arg-type]
    monkeypatch.setattr(backend, "_shown", lambda image: image)
    with pytest.raises(ValueError, match="other"):
        halving(lambda _: (_ for _ in ()).throw(ValueError("other")), 4)  # type: ignore[arg-type]
    assert not runtime.is_out_of_memory(ValueError("other"))


def test_a_bundle_segments_without_torch(bundles: dict[str, tuple[Network, Path]], tmp_path: Path) -> None:
    inputs = write_sky(tmp_path)
    arguments = [
        "segment",
        *map(str, inputs),
        "-o",
        str(tmp_path / "run"),
        "--model",
        f"{bundles['tiny'][1]}/",
        "--quiet",
    ]
    code = (
        "import sys\n"
        "for name in ('torch', 'lightning', 'segment_anything', 'onnx'): sys.modules[name] = None\n"
        "from starnet.cli import app\n"
        f"app({arguments!r}, standalone_mode=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert f"cpu (ONNX Runtime {onnxruntime.__version__}, CPU" in done.stdout
    # The network itself, through torch, makes the same run.
    torch_run = segment(inputs, tmp_path / "torch", model=TorchBackend(bundles["tiny"][0], device="cpu"), threads=1)
    assert f"{torch_run.n_sources} sources" in done.stdout
    with pytest.raises(StarnetError, match="is a bundle, with its weights: leave --checkpoint out"):
        segment(inputs, tmp_path / "other", model=bundles["tiny"][1], checkpoint=tmp_path / "weights.pth")
    with pytest.raises(StarnetError, match=r"was made for the bands F160W, F606W, and the mosaic has no F606W"):
        segment(inputs[:1], tmp_path / "other", model=bundles["bands"][1])
