"""What GPUs would reach by arithmetic: operations and bytes of a network over published peaks. Not measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starnet.models.detector import Detector
from starnet.models.network_engine import Windows
from starnet.networks import NETWORKS, NetworkConfig


@dataclass(frozen=True)
class Gpu:
    """Published figures, dense, without sparsity.

    Attributes
    ----------
    name : str
        As sold.
    operations : float
        Per second, float16 with sums in float32 on tensor cores.
    bandwidth : float
        Bytes per second of its memory.
    """

    name: str
    operations: float
    bandwidth: float


#: From NVIDIA's data sheets: H100 Tensor Core GPU (SXM), and the Ada GPU architecture's white paper (RTX 4090).
GPUS = (Gpu("H100 SXM", 989.4e12, 3.35e12), Gpu("RTX 4090", 165.2e12, 1.008e12))
#: Assumed, of both peaks.
FRACTION = 0.4
#: Of a number in float16.
_BYTES = 2
#: Networks that people use.
LISTED = ("tiny", "vit_b", "vit_l", "vit_h")
_PROMPTS = 64


@dataclass(frozen=True)
class Cost:
    """Of one call of a part of a network.

    Attributes
    ----------
    operations : float
        Multiplications and additions, each counted.
    traffic : float
        Bytes that every operator reads and writes, if none is fused with the next.
    """

    operations: float
    traffic: float

    def seconds(self, gpu: Gpu) -> float:
        """The longer of computing and moving, at `FRACTION` of the peaks."""
        return max(self.operations / gpu.operations, self.traffic / gpu.bandwidth) / FRACTION


@dataclass(frozen=True)
class Expected:
    """A network on a GPU, by arithmetic.

    Attributes
    ----------
    network, gpu : str
        Which.
    window : tuple of int
        Pixels ``(ny, nx)`` that the encoder takes at a time.
    core : int
        Side of the tile that is kept of it.
    encoder : Cost
        A window's.
    decoder : Cost
        One prompt's, of 64 at once.
    windows_per_s, mpix_per_s, prompts_per_s : float
        Expected rates; Mpix of tiles that are kept, encoder alone.
    bound_by : str
        ``operations`` or ``memory``: what the encoder waits for.
    """

    network: str
    gpu: str
    window: tuple[int, int]
    core: int
    encoder: Cost
    decoder: Cost
    windows_per_s: float
    mpix_per_s: float
    prompts_per_s: float
    bound_by: str


def expected_rates() -> list[Expected]:
    """Of the networks that people use, on `GPUS`."""
    found = []
    for name in LISTED:
        config = NETWORKS[name]
        window, core, encoder, decoder = costs(config)
        for gpu in GPUS:
            windows = 1 / encoder.seconds(gpu)
            computed = encoder.operations / gpu.operations >= encoder.traffic / gpu.bandwidth
            found.append(
                Expected(
                    name, gpu.name, window, core, encoder, decoder, windows, windows * core**2 / 1e6,
                    1 / decoder.seconds(gpu), "operations" if computed else "memory",
                )
            )  # fmt: skip
    return found


def costs(config: NetworkConfig) -> tuple[tuple[int, int], int, Cost, Cost]:
    """Window, core, and what an encoder's window and a prompt cost, counted on tensors without numbers."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from starnet.networks.network import build

    with torch.device("meta"):
        network = build(config).eval()
    with FakeTensorMode(), torch.no_grad():
        for module in network.modules():
            for held in (module._parameters, module._buffers):
                held |= {name: torch.empty(one.shape, dtype=one.dtype) for name, one in held.items() if one is not None}
        windows = Windows.of(network, Detector().halo)  # type: ignore[arg-type]
        side = windows.tile + 2 * windows.halo
        side += -side % network.stride
        image = torch.empty((1, len(config.bands) or 3, side, side))
        encoder = _counted(lambda: network.encode(image))
        embedding = network.encode(image)["embedding"]
        points, labels = torch.empty((_PROMPTS, 1, 2)), torch.ones((_PROMPTS, 1), dtype=torch.int64)
        drawn = _counted(lambda: network.decode(embedding, points, labels, multimask=True, shape=(side, side)))
    decoder = Cost(drawn.operations / _PROMPTS, drawn.traffic / _PROMPTS)
    return (side, side), windows.tile, encoder, decoder


def _counted(call: Any) -> Cost:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import FlopCounterMode

    class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
        """Numbers read and written by operators that are no views."""

        numbers = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            if not func.is_view:
                leaves = tree_leaves((args, kwargs, found))
                self.numbers += sum(one.numel() for one in leaves if isinstance(one, torch.Tensor))
            return found

    with FlopCounterMode(display=False) as flops:
        call()
    with Traffic() as traffic:  # type: ignore[no-untyped-call]
        call()
    return Cost(float(flops.get_total_flops()), float(_BYTES * traffic.numbers))
