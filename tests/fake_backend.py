"""A network that is a few lines of arithmetic: local, exact to the last bit, and fast."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.filters import label
from starnet.models import Decoded, Embedding
from starnet.networks import NETWORKS, NetworkConfig, TinyEncoder
from starnet.prompts import Prompts

REACH = 3


class FakeBackend:
    """Smooths the mean of the bands; an object is where that is, around the prompt, above a part of its value there.

    Parameters
    ----------
    whole : bool
        Sees its window as a whole, as SAM's transformers do: subtracts the window's mean.
    """

    def __init__(self, *, whole: bool = False, bands: tuple[str, ...] = (), head: bool = True, **config: Any) -> None:
        self.prompt_window = None if whole else 32
        small = NETWORKS["vit_test"]
        self.config = NetworkConfig(
            "fake",
            small.encoder if whole else TinyEncoder(),
            replace(small.prompt, window=self.prompt_window),
            instance_head=head,
            bands=bands,
            **config,
        )
        self.fingerprint = f"fake {self.config}"
        self.device = "cpu (arithmetic)"
        self.library_bytes = 600 * 2**20
        self.at_once = 1
        self.pixel_scales: tuple[float, float] | None = None
        self.stride = 1 if whole else 8
        self.reach = None if whole else REACH
        self.encoded: list[tuple[int, ...]] = []
        self.batches: list[int] = []

    def encode(self, image: NDArray[np.float32]) -> Embedding:
        self.encoded.append(image.shape)
        smooth = np.pad(image.mean(axis=0, dtype=np.float64), REACH)
        for axis in (0, 1):
            n = smooth.shape[axis]
            # A fixed order of summation: the same bits in every window.
            smooth = sum(
                (REACH + 1 - abs(k)) * np.take(smooth, range(REACH + k, n - REACH + k), axis)
                for k in range(-REACH, REACH + 1)
            )
        smooth = smooth / (REACH + 1) ** 4
        return {"smooth": smooth - smooth.mean() if self.reach is None else smooth}

    def maps(self, embedding: Embedding) -> NDArray[np.float32]:
        smooth = embedding["smooth"]
        bright = np.clip(smooth / 8, 0, 1)
        return np.stack([np.clip(smooth / 2, 0, 1), bright, bright]).astype(np.float32)

    def decode(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Decoded:
        self.batches.append(len(prompts))
        smooth = embedding["smooth"]
        shape = smooth.shape if self.prompt_window is None else (self.prompt_window, self.prompt_window)
        shape = min(shape[0], smooth.shape[0]), min(shape[1], smooth.shape[1])
        m = 3 if multimask else 1
        logits = np.empty((len(prompts), m, *shape), np.float32)
        origins = np.empty((len(prompts), 2), np.int64)
        for i, (x, y) in enumerate(prompts.anchors):
            row, column = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
            origins[i] = [
                min(max(0, at - side // 2), size - side)
                for at, side, size in zip((row, column), shape, smooth.shape, strict=True)
            ]
            y0, x0 = origins[i]
            cut = smooth[y0 : y0 + shape[0], x0 : x0 + shape[1]]
            for k, part in enumerate((0.85, 0.7, 0.92)[:m]):
                level = part * max(smooth[row, column], 0.5)
                pieces, _ = label(cut > level)
                own = (pieces > 0) & (pieces == pieces[row - y0, column - x0])
                logits[i, k] = np.where(own, 20 * (cut - level), -20)
        iou = np.repeat(np.float32([[0.9, 0.85, 0.8]])[:, :m], len(prompts), axis=0)
        return Decoded(logits, iou, origins)

    def to_arrays(self, embedding: Embedding) -> dict[str, NDArray[Any]]:
        return dict(embedding)

    def from_arrays(self, arrays: dict[str, NDArray[Any]]) -> Embedding:
        return dict(arrays)
