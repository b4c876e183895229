"""Networks that come with the package, as bundles: graphs for ONNX Runtime, and the same weights for torch.

``make embed`` writes them, from what a training left.
"""

from __future__ import annotations

from pathlib import Path

#: The folder of each, by the network's name.
EMBEDDED = {"tiny": Path(__file__).with_name("tiny")}
#: In that folder.
_WEIGHTS = "weights.safetensors"


def embedded_weights(network: str) -> Path:
    """The weights of a network that comes with the package, in safetensors.

    Parameters
    ----------
    network : str
        One of `EMBEDDED`.
    """
    return EMBEDDED[network] / _WEIGHTS
