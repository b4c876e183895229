"""Low-rank adaptation of an encoder, through peft (Hu et al. 2021, arXiv:2106.09685).

peft is imported where it is used: it brings packages that take seconds, and inference does without.
"""

from __future__ import annotations

from starnet.networks.network import Network
from starnet.networks.tiny import Tiny

VIT_TARGETS = r"blocks\.\d+\.(attn\.(qkv|proj)|mlp\.lin[12])"
TINY_TARGETS = r"(.*\.)?(widen|narrow)\.0|up\.\d+\.0\.0|neck\.0|attention\.(qkv|proj)"


def add(network: Network, *, rank: int = 8, alpha: float | None = None, dropout: float = 0.0) -> Network:
    """Puts low-rank matrices beside the encoder's linear layers, and freezes all else of the encoder.

    Parameters
    ----------
    network : Network
        Is changed, and returned. Its outputs stay as they are until the matrices have learned.
    rank : int
        Of the matrices.
    alpha : float, optional
        Their sum counts ``alpha / rank`` times; twice the rank where it is not given.
    dropout : float
        Of their input.
    """
    from peft import LoraConfig, inject_adapter_in_model

    targets = TINY_TARGETS if isinstance(network.image_encoder, Tiny) else VIT_TARGETS
    config = LoraConfig(
        r=rank, lora_alpha=int(2 * rank if alpha is None else alpha), lora_dropout=dropout, target_modules=targets
    )
    inject_adapter_in_model(config, network.image_encoder)
    return network


def has_lora(network: Network) -> bool:
    """Whether there are low-rank matrices beside its layers."""
    return any(name.endswith("lora_A") for name, _ in network.named_modules())


def merge(network: Network) -> Network:
    """Adds the low-rank matrices to the layers' own, and removes them; the network is changed, and returned."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(network.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(parent), attribute, module.get_base_layer())
    return network.requires_grad_()
