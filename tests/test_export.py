"""The graphs of networks in ONNX: the same numbers, for any extents and prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from export_samples import TINY, VIT, Graphs, lively, windows, write_graphs
from network_samples import network
from starnet.bundle import DECODER, ENCODER, INSTANCES
from starnet.errors import StarnetError
from starnet.export import onnx_files
from starnet.export.graphs import graphs, interpolation
from starnet.export.onnx_files import check_opset
from starnet.export.quantise import quantise
from starnet.networks import NETWORKS, NetworkConfig, lora
from starnet.networks.network import Network
from starnet.networks.tiny import Tiny
from starnet.networks.vit import scaled_shape

Pair = tuple[Network, Graphs]


@pytest.fixture(scope="module", params=[TINY, VIT], ids=["tiny", "vit"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    net = lively(request.param)
    return net, Graphs(write_graphs(net, tmp_path_factory.mktemp("graphs")))


def close(ours: torch.Tensor, theirs: torch.Tensor, atol: float = 2e-4) -> None:
    assert ours.shape == theirs.shape
    assert theirs.dtype == torch.float32
    np.testing.assert_allclose(theirs.numpy(), ours.numpy(), atol=atol)


@given(extent=st.integers(3, 300), framed=st.integers(1, 128))
def test_the_picture_is_scaled_as_torch_does(extent: int, framed: int) -> None:
    line = torch.rand((1, 1, 1, extent), generator=torch.Generator().manual_seed(extent))
    ours = interpolation(extent, torch.tensor(framed), 128) @ line[0, 0, 0]
    theirs = functional.interpolate(line, (1, framed), mode="bilinear", align_corners=False, antialias=True)
    # Either knows a place among the pixels to single precision, and pixels differ by 1 at most.
    np.testing.assert_allclose(ours[:framed], theirs[0, 0, 0], rtol=0, atol=4 * extent * np.finfo(np.float32).eps)
    assert (ours[framed:] == 0).all()


@settings(max_examples=8, deadline=None)
@given(n=st.integers(1, 3), ny=st.integers(20, 150), nx=st.integers(20, 150))
def test_maps_of_any_windows(pair: Pair, n: int, ny: int, nx: int) -> None:
    net, graph = pair
    pixels = torch.randn((n, 3, ny, nx), generator=torch.Generator().manual_seed(ny)) * 2
    given = windows(net, pixels)
    with torch.inference_mode():
        ours, theirs = net.encode(pixels), graph(ENCODER, **given)
        for name, values in ours.items():
            close(values, theirs[name])
        close(net.instance_maps(ours, (ny, nx)), graph(INSTANCES, **theirs, **given)["maps"][:, :, :ny, :nx], 1e-3)


def test_a_former_mask_is_taken_into_account(pair: Pair) -> None:
    net, graph = pair
    side = 4 * net.prompt_encoder.image_embedding_size[0]
    width, cells = net.config.prompt.width, side // 4
    points, labels = torch.tensor([[[60.0, 70.0], [0.0, 0.0]]]), torch.tensor([[1, -1]])
    embedding, former = torch.randn((1, width, cells, cells)), torch.randn((1, 1, side, side))
    found = [
        graph(
            DECODER, embedding=embedding, points=points, labels=labels, mask_input=former,
            has_mask=torch.tensor([has]), which=torch.tensor([0]), frame=torch.tensor([128, 128]),
            shape=torch.tensor([128, 128]),
        )["logits"]
        for has in (0.0, 1.0)
    ]  # fmt: skip
    # A tiny network's window of a prompt is there already, with the anchor in the middle.
    draw = net.draw if isinstance(net.image_encoder, Tiny) else net.decode
    with torch.inference_mode():
        for one, other in zip((None, former), found, strict=True):
            close(draw(embedding, points[:, :1], labels[:, :1], None, one, shape=(128, 128))[0], other)
    assert (found[0] - found[1]).abs().max() > 1e-3


@pytest.mark.parametrize("config", [TINY, VIT], ids=["tiny", "vit"])
def test_lora_and_a_learned_adapter_go_along(config: NetworkConfig, tmp_path: Path) -> None:
    net = lora.add(network(replace(config, bands=("F160W", "F814W"))), rank=2).eval()
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            if "lora" in name:
                tensor.normal_(0, 0.05)
        net.adapter.mix.bias.fill_(0.3)
    made = {graph.file: graph for graph in graphs(net)}
    onnx_files.write(made[ENCODER], tmp_path)
    pixels = torch.randn((1, 2, 64, 70))
    with torch.inference_mode():
        theirs = Graphs(tmp_path)(ENCODER, **windows(net, pixels))
        close(net.encode(pixels)["embedding"], theirs["embedding"], 1e-3)
    assert lora.has_lora(net), "the network was changed"


def test_batch_normalisation_is_folded_and_nothing_is_left_of_torch(pair: Pair, tmp_path: Path) -> None:
    net, _ = pair
    onnx_files.write(graphs(net)[0], tmp_path)
    model = onnx.load(tmp_path / ENCODER)
    onnx.checker.check_model(model)
    assert {one.domain for one in model.opset_import} == {""}
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert any(m.__class__.__name__ == "BatchNorm2d" for m in net.modules())


@pytest.mark.parametrize("config", [TINY, VIT], ids=["tiny", "vit"])
def test_half_precision_is_inside_only(config: NetworkConfig, tmp_path: Path) -> None:
    net = lively(config)
    for one in graphs(net, half=True):
        if one.file != DECODER or config is TINY:  # whose decoder is the same, and takes long to trace
            onnx_files.write(one, tmp_path)
    graph = Graphs(tmp_path)
    float32, float16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    for name in graph.sessions:
        model = onnx.load(tmp_path / name)
        types = {one.type.tensor_type.elem_type for one in [*model.graph.input, *model.graph.output]}
        assert types <= {float32, onnx.TensorProto.INT64}
        kinds = {one.name: one.data_type for one in model.graph.initializer}
        weights = [kinds[node.input[1]] for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
        # Masks that are given are few: their convolutions stay as they are.
        assert weights.count(float16) >= len(weights) - (3 if name == DECODER else 0)
        for node in model.graph.node:
            if node.op_type == "LayerNormalization":
                assert kinds[node.input[1]] == float32
    pixels = torch.randn((1, 3, 100, 130))
    with torch.inference_mode():
        ours, theirs = net.encode(pixels), graph(ENCODER, **windows(net, pixels))
        close(ours["embedding"], theirs["embedding"], 0.05)
        assert (ours["embedding"] != theirs["embedding"]).any()
        assert next(net.image_encoder.parameters()).dtype == torch.float32, "the network was changed"


def test_eight_bits_are_of_channels_and_not_at_the_ends(tmp_path: Path) -> None:
    net = network(replace(NETWORKS["tiny"]))
    graph = graphs(net)[0]
    (tmp_path / "float").mkdir()
    onnx_files.write(graph, tmp_path / "float")
    pixels = torch.randn((1, 3, 96, 64))
    samples = [{"image": pixels.numpy()}]
    in_float = []
    for fine in (None, (), graph.fine[0], (*graph.fine[0], *graph.fine[1])):
        quantise(tmp_path / "float" / ENCODER, tmp_path / ENCODER, samples, fine)
        plain = onnx.load(tmp_path / ENCODER)
        names = {one.name for one in plain.graph.initializer}
        in_float.append(sum(node.op_type == "Conv" and node.input[1] in names for node in plain.graph.node))
        if fine is None:
            makers = {node.output[0]: node.op_type for node in plain.graph.node}
            assert makers["pixels"] == "Add", "it is not rounded to eight bits to be returned"
            assert makers["embedding"] == "DequantizeLinear"
    assert in_float[0] == 0
    assert in_float == sorted(set(in_float)), "each leaves more in float"
    model = onnx.load(tmp_path / ENCODER)
    weights = {one.name: one for one in model.graph.initializer}
    scales = [
        weights[n.input[1]] for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in weights
    ]
    assert sum(len(one.dims) == 1 and one.dims[0] > 1 for one in scales) > 10
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    in_float = [node.input[1] in weights for node in convolutions]
    assert in_float[0]
    assert in_float[-1]
    assert 0 < sum(in_float) < len(in_float)
    ours, theirs = (Graphs(folder)(ENCODER, image=pixels)["pixels"] for folder in (tmp_path / "float", tmp_path))
    assert 0 < (ours - theirs).abs().mean() < 0.1 * ours.abs().mean()


def test_large_weights_lie_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_files, "EXTERNAL", 0)
    net = network(TINY)
    paths = onnx_files.write(graphs(net)[0], tmp_path)
    assert [path.name for path in paths] == ["encoder.onnx", "encoder.onnx.data"]
    assert paths[1].stat().st_size > paths[0].stat().st_size / 4
    pixels = torch.randn((1, 3, 32, 32))
    with torch.inference_mode():
        close(net.encode(pixels)["embedding"], Graphs(tmp_path)(ENCODER, image=pixels)["embedding"])


@pytest.mark.parametrize("opset", [18, 20])
def test_the_opset_is_that_asked_for(tmp_path: Path, opset: int) -> None:
    net = network(TINY)
    onnx_files.write(graphs(net)[1], tmp_path, opset)
    assert onnx.load(tmp_path / INSTANCES).opset_import[0].version == opset
    check_opset(opset)
    for wrong in (17, 99):
        with pytest.raises(StarnetError, match=rf"opset {wrong}: choose one from 18 to \d\d"):
            check_opset(wrong)


def test_frames_are_those_of_sam() -> None:
    assert scaled_shape((682, 500), 1024) == (1024, 751)
