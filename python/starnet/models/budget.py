"""What networks take of memory: estimates from their configurations.

Resident memory as measured with torch 2.15 on a CPU, and as estimated here without what torch takes by itself: `vit_b`,
2.9 and 2.7 GB; `tiny` on 1024 x 1024 and 2048 x 2048 pixels, 260 and 840 MB, 260 and 1070 MB.
"""

from __future__ import annotations

from starnet.networks import NetworkConfig, PromptDecoder, VitEncoder

#: What the masks of one batch of prompts may take where no limit is given.
BATCH_BYTES = 2**30
#: torch itself, loaded.
LIBRARY_BYTES = 600 * 2**20


def encoding(config: NetworkConfig, window: tuple[int, int]) -> int:
    """Bytes for the weights and to encode a window of ``(ny, nx)`` pixels, float32.

    A vision transformer's largest arrays are the attention weights of a global block, of which about three are there at
    once: ``heads x tokens^2``. A convolutional encoder's are those of its first, widest-spread stage.
    """
    encoder = config.encoder
    if isinstance(encoder, VitEncoder):
        tokens = (encoder.image_size // encoder.patch_size) ** 2
        weights = 12 * encoder.width**2 * encoder.depth
        attention = 3 * encoder.heads * tokens**2
        return LIBRARY_BYTES + 4 * (weights + attention + 8 * tokens * encoder.width)
    pixels = window[0] * window[1]
    return LIBRARY_BYTES + 4 * pixels * (16 + 3 * encoder.widths[0])


def decoding(config: NetworkConfig, window: tuple[int, int], prompt_window: int | None) -> int:
    """Bytes to decode one prompt with three candidates in a window of ``(ny, nx)`` pixels, float32."""
    encoder, decoder = config.encoder, config.prompt
    if isinstance(encoder, VitEncoder):
        cells, drawn = (encoder.image_size // encoder.patch_size) ** 2, encoder.image_size**2
    else:
        side = prompt_window or max(window)
        cells, drawn = (side // 4) ** 2, side**2
    pixels = prompt_window**2 if prompt_window is not None else window[0] * window[1]
    return 4 * (_two_way(decoder, cells) + 3 * (drawn + 3 * pixels))


def _two_way(decoder: PromptDecoder, cells: int) -> int:
    """Numbers that the two-way transformer holds of one prompt, and its masks' features at four times the scale."""
    return cells * (10 * decoder.width + 16 * decoder.width // 4)


def batch_size(each: int, room: int | None) -> int:
    """Prompts that are decoded at once: as many as there is room for, at most 64 as in SAM's automatic masks."""
    return max(1, min(64, (BATCH_BYTES if room is None else room) // each))
