"""What a network is made of; without torch, so that it can be read where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from starnet.recipe.parameters import SeedRecipe


@dataclass(frozen=True)
class VitEncoder:
    """SAM's vision transformer (Kirillov et al. 2023, arXiv:2304.02643).

    Parameters
    ----------
    width, depth, heads : int
        Width of a token, number of blocks, heads of an attention.
    global_blocks : tuple of int
        Blocks whose attention spans the window; that of the others spans `attention_window` tokens.
    image_size : int
        Side of its input: a window is scaled so that its longest side fits.
    patch_size, attention_window : int
        Pixels of a token, tokens of a local attention.
    """

    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    image_size: int = 1024
    patch_size: int = 16
    attention_window: int = 14

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width={self.width}: must be a multiple of heads={self.heads}")
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size={self.image_size}: must be a multiple of patch_size={self.patch_size}")
        if not all(0 <= block < self.depth for block in self.global_blocks):
            raise ValueError(f"global_blocks={self.global_blocks}: must be within the {self.depth} blocks")


@dataclass(frozen=True)
class TinyEncoder:
    """Hierarchical convolutions down to a coarse stride and up again, with features at stride 4 for prompts.

    Parameters
    ----------
    widths : tuple of int
        Channels at each stride, from `first_stride` on by factors of two.
    blocks : tuple of int
        Blocks at each stride on the way down.
    refine : int
        Blocks at each stride on the way up.
    block : str
        ``fused``: a convolution of all channels, and a pointwise one; ``inverted``: pointwise, depthwise, pointwise.
    expansion : int
        Inner channels of a block for each of its own.
    kernel : int
        Side of the convolutions of blocks.
    first_stride : int
        2 or 4: of the finest features, which the instance head sees.
    attention_window : int
        Cells of the coarsest stride on a side within which tokens attend to each other; 0 for none.
    """

    widths: tuple[int, ...] = (16, 32, 64, 96, 128)
    blocks: tuple[int, ...] = (1, 2, 2, 2, 1)
    refine: int = 1
    block: str = "fused"
    expansion: int = 2
    kernel: int = 3
    first_stride: int = 2
    attention_window: int = 0

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.blocks) or len(self.widths) < 2:
            raise ValueError(f"widths={self.widths}, blocks={self.blocks}: must be as many, and at least 2")
        if min(*self.widths, self.expansion) < 1 or min(*self.blocks, self.refine, self.attention_window) < 0:
            raise ValueError("widths and expansion must be positive; blocks, refine and attention_window not negative")
        if self.block not in ("fused", "inverted"):
            raise ValueError(f"block={self.block!r}: must be fused or inverted")
        if self.first_stride not in (2, 4):
            raise ValueError(f"first_stride={self.first_stride}: must be 2 or 4")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel}: must be odd")

    @property
    def stride(self) -> int:
        """Pixels of a coarsest cell, or of a window of attention: where windows of the mosaic may begin."""
        return (self.first_stride << (len(self.widths) - 1)) * max(self.attention_window, 1)


@dataclass(frozen=True)
class PromptDecoder:
    """SAM's prompt encoder and mask decoder, of any width.

    Parameters
    ----------
    width : int
        Of the embedding and the tokens.
    heads, mlp_width, iou_width, mask_channels : int
        As in SAM.
    window : int, optional
        Side in pixels of the window around a prompt in which its mask is drawn; None for the encoder's whole window.
    least_iou, least_stability : float
        Of masks that are worth keeping, where nothing else is said: the IoU that the network expects of a mask, and
        that of the mask cut at two levels. SAM's own by default.
    """

    width: int = 256
    heads: int = 8
    mlp_width: int = 2048
    iou_width: int = 256
    mask_channels: int = 16
    window: int | None = None
    least_iou: float = 0.88
    least_stability: float = 0.95

    def __post_init__(self) -> None:
        for name in ("least_iou", "least_stability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be between 0 and 1")
        if self.heads < 1 or self.width % (2 * self.heads) or self.width % 8:
            raise ValueError(f"width={self.width}: must be a multiple of 8 and of twice heads={self.heads}")
        if self.mask_channels % 4:
            raise ValueError(f"mask_channels={self.mask_channels}: must be a multiple of 4")
        if self.window is not None and (self.window < 8 or self.window % 8):
            raise ValueError(f"window={self.window}: must be a positive multiple of 8")


@dataclass(frozen=True)
class NetworkConfig:
    """A network.

    Parameters
    ----------
    name : str
        As after ``--model``.
    encoder : VitEncoder or TinyEncoder
        Pixels to features.
    prompt : PromptDecoder
        Features and prompts to masks.
    instance_head : bool
        Whether it has dense maps of foreground, centres and boundary distance.
    bands : tuple of str
        Bands of a learned adapter, in order; empty for the fixed one, which takes any number.
    recipe : str
        Preprocessing that it was made for.
    stretch : tuple of float
        Values of the recipe's image that become 0 and 1 where the encoder wants pictures.
    """

    name: str
    encoder: VitEncoder | TinyEncoder
    prompt: PromptDecoder = field(default_factory=PromptDecoder)
    instance_head: bool = False
    bands: tuple[str, ...] = ()
    recipe: str = "noise"
    stretch: tuple[float, float] = (-1.0, 5.0)

    def __post_init__(self) -> None:
        if len(self.stretch) != 2 or not self.stretch[0] < self.stretch[1]:
            raise ValueError(f"stretch={self.stretch}: must be two values, the lower one first")
        if len(set(self.bands)) != len(self.bands):
            raise ValueError(f"bands={self.bands}: must differ")
        if (self.prompt.window is None) != isinstance(self.encoder, VitEncoder):
            raise ValueError("prompt.window: must be given for a tiny encoder, and only for one")

    @property
    def pictures(self) -> bool:
        """Whether its recipe shows bands between 0 and 1, not in units of their noise."""
        return self.recipe == SeedRecipe.name

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        kind = "vit" if isinstance(self.encoder, VitEncoder) else "tiny"
        content = asdict(self)
        content["encoder"] = {"kind": kind, **content["encoder"]}
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`.

        Raises
        ------
        ValueError
            If a key is missing or unknown, or a value out of its range.
        """
        content = dict(content)
        try:
            encoder = dict(content.pop("encoder"))
            kind = encoder.pop("kind")
            if kind not in _ENCODERS:
                raise ValueError(f"encoder kind {kind!r} is unknown: choose {' or '.join(_ENCODERS)}")
            prompt = PromptDecoder(**content.pop("prompt", {}))
            return cls(encoder=_ENCODERS[kind](**_tuples(encoder)), prompt=prompt, **_tuples(content))
        except (KeyError, TypeError) as error:
            raise ValueError(f"network: {error}") from error


_ENCODERS: dict[str, Any] = {"vit": VitEncoder, "tiny": TinyEncoder}


def _tuples(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}


_SMALL = PromptDecoder(width=64, heads=4, mlp_width=256, iou_width=64, mask_channels=8)
# Sources of a few pixels have masks that are neither sure nor stable. On fields for tuning (configs/splits) PQ has its
# maximum between 0.55 and 0.6, for prompts of all kinds, and stability only costs.
_LOCAL = replace(_SMALL, window=128, least_iou=0.55, least_stability=0.0)

NETWORKS = {
    config.name: config
    for config in (
        NetworkConfig("tiny", TinyEncoder(), _LOCAL, instance_head=True),
        NetworkConfig("vit_b", VitEncoder(768, 12, 12, (2, 5, 8, 11))),
        NetworkConfig("vit_l", VitEncoder(1024, 24, 16, (5, 11, 17, 23))),
        NetworkConfig("vit_h", VitEncoder(1280, 32, 16, (7, 15, 23, 31))),
        # Of the same make and small enough for a test, or to try a recipe of training.
        NetworkConfig("vit_test", VitEncoder(64, 2, 2, (1,), image_size=128, attention_window=3), _SMALL),
    )
}
