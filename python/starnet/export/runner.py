"""The graphs of a bundle in the place of a network's parts, for comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starnet.bundle import DECODER, ENCODER, INSTANCES
from starnet.networks.adapter import Adapter
from starnet.networks.geometry import scaled_shape
from starnet.networks.network import Network, prompt_anchors
from starnet.networks.tiny import Tiny


class GraphNetwork(nn.Module):
    """As `Network`, computed by ONNX Runtime on the CPU; only where windows of prompts lie comes from the network.

    Parameters
    ----------
    network : Network
        That was exported.
    folder : Path
        With its graphs.
    threads : int, optional
        Of ONNX Runtime.
    """

    def __init__(self, network: Network, folder: Path, threads: int | None = None) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        self.sessions = {
            name: onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])
            for name in (ENCODER, DECODER, INSTANCES)
            if (folder / name).is_file()
        }
        # In a list, for a module would count the network's parts as its own.
        self._networks = [network]
        self.config, self.stride, self.reach = network.config, network.stride, network.reach
        self.prompt_window, self.prompt_origins = network.prompt_window, network.prompt_origins
        self.local = isinstance(network.image_encoder, Tiny)

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """As `Network.encode`."""
        image = pixels if self.config.bands else Adapter()(pixels)
        if self.local:
            image = nn.functional.pad(image, (0, -image.shape[3] % self.stride, 0, -image.shape[2] % self.stride))
            found = self._run(ENCODER, image=image)
        else:
            found = self._run(ENCODER, image=image, frame=self._frame((pixels.shape[2], pixels.shape[3])))
        return dict(zip(("embedding", "pixels"), found, strict=False))

    def instance_maps(self, features: dict[str, Tensor], shape: tuple[int, int]) -> Tensor:
        """As `Network.instance_maps`."""
        if self.local:
            return self._run(INSTANCES, pixels=features["pixels"])[0][:, :, : shape[0], : shape[1]]
        sizes = {"frame": self._frame(shape), "shape": torch.tensor(shape)}
        return self._run(INSTANCES, **features, **sizes)[0]

    def decode(
        self,
        embedding: Tensor,
        points: Tensor,
        labels: Tensor,
        boxes: Tensor | None,
        *,
        multimask: bool,
        shape: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        """As `Network.decode`."""
        p = len(points)
        if boxes is None:
            more, kinds = points.new_zeros((p, 1, 2)), [-1]
        else:
            more, kinds = boxes.reshape(p, 2, 2), [2, 3]
        sizes = {}
        if self.local:
            origins = self.prompt_origins(prompt_anchors(points, labels, boxes), shape)
            embedding = self._networks[0]._cut(embedding, origins, None)
            places = torch.cat([points, more], dim=1) - origins.flip(1).to(points)[:, None]
        else:
            sizes = {"frame": self._frame(shape), "shape": torch.tensor(shape)}
            scale = sizes["frame"].flip(0).to(points) / sizes["shape"].flip(0)
            places = torch.cat([points, more], dim=1) * scale
        side = 4 * embedding.shape[3]
        logits, iou = self._run(
            DECODER,
            embedding=embedding,
            points=places,
            labels=torch.cat([labels.long(), torch.tensor([kinds]).expand(p, -1)], dim=1),
            mask_input=torch.zeros((p, 1, side, side)),
            has_mask=torch.zeros(1),
            which=torch.tensor([1, 2, 3] if multimask else [0]),
            **sizes,
        )
        return logits, iou

    def _frame(self, shape: tuple[int, int]) -> Tensor:
        return torch.tensor(scaled_shape(shape, self.config.encoder.image_size))  # type: ignore[union-attr]

    def arrays(self, name: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What a graph returns, by name."""
        session = self.sessions[name]
        return dict(zip([one.name for one in session.get_outputs()], session.run(None, inputs), strict=True))

    def _run(self, name: str, **inputs: Tensor) -> list[Tensor]:
        found = self.arrays(name, {key: np.ascontiguousarray(value.numpy()) for key, value in inputs.items()})
        return [torch.from_numpy(array) for array in found.values()]
