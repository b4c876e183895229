"""Bundles of networks as they are, without the comparison of an export."""

from __future__ import annotations

from pathlib import Path

from starnet.bundle import seal, writing
from starnet.export import onnx_files
from starnet.export.graphs import graphs
from starnet.networks.network import Network
from starnet.networks.tiny import Tiny


def write_bundle(net: Network, folder: Path) -> Path:
    encoder = net.image_encoder
    with writing(folder) as partial:
        for graph in graphs(net):
            onnx_files.write(graph, partial)
        about = {
            "network": net.config.as_dict(),
            "precision": "fp32",
            "opset": onnx_files.OPSET,
            "stride": net.stride,
            "reach": net.reach,
            "cell": encoder.cell if isinstance(encoder, Tiny) else encoder.patch_embed.proj.stride[0],
        }
        seal(partial, about)
    return folder
