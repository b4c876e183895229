"""Networks that find something, and what is exported of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from onnxruntime import InferenceSession
from torch import Tensor

from network_samples import network
from starnet.export import onnx_files
from starnet.export.graphs import graphs
from starnet.export.tiles import simulated_tiles
from starnet.models.torch_backend import TorchBackend
from starnet.networks import NETWORKS, NetworkConfig, TinyEncoder
from starnet.networks.geometry import scaled_shape
from starnet.networks.network import Network
from starnet.networks.tiny import Tiny

TINY = replace(NETWORKS["tiny"], encoder=TinyEncoder((8, 12, 16), (1, 1, 1)))
VIT = replace(NETWORKS["vit_test"], instance_head=True)


def lively(config: NetworkConfig, *, sky: bool = False) -> Network:
    """With random weights, and maps in which some pixels are foreground, and some centres: of noise, or of `sky`."""
    net = network(config)
    head = net.instance_head
    assert head is not None
    torch.manual_seed(1)
    image = torch.randn((1, len(config.bands) or 3, 128, 128))
    if sky:
        image = torch.from_numpy(simulated_tiles(TorchBackend(net, device="cpu"), count=1)[0].image)[None]
    each = head.out.bias.numel() // 3
    with torch.no_grad():
        for weights in (head.out.weight, head.out.bias):  # the pixels of a cell alike, so that they make components
            weights.copy_(weights[::each].repeat_interleave(each, dim=0))
        maps = net.instance_maps(net.encode(image), (image.shape[2], image.shape[3]))[0]
        for i, share in enumerate((0.8, 0.97, 0.5)):
            head.out.bias[i * each : (i + 1) * each] -= maps[i].flatten().quantile(share)
    return net


def write_graphs(net: Network, folder: Path, *, half: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for graph in graphs(net, half=half):
        onnx_files.write(graph, folder)
    return folder


class Graphs:
    """Those of a folder, run on tensors as they are."""

    def __init__(self, folder: Path) -> None:
        self.sessions = {
            path.name: InferenceSession(path, providers=["CPUExecutionProvider"]) for path in folder.glob("*.onnx")
        }

    def __call__(self, name: str, **given: Tensor) -> dict[str, Tensor]:
        """What a graph makes of those that it takes."""
        session = self.sessions[name]
        inputs = {one.name: given[one.name].numpy() for one in session.get_inputs()}
        outputs = [one.name for one in session.get_outputs()]
        return dict(zip(outputs, map(torch.from_numpy, session.run(outputs, inputs)), strict=True))


def windows(net: Network, pixels: Tensor) -> dict[str, Tensor]:
    """Windows of three bands, or a learned adapter's, and what graphs want to know of them."""
    encoder, shape = net.image_encoder, (pixels.shape[2], pixels.shape[3])
    if isinstance(encoder, Tiny):
        return {"image": encoder.padded(pixels)}
    return {"image": pixels, "frame": torch.tensor(scaled_shape(shape, encoder.img_size)), "shape": torch.tensor(shape)}
