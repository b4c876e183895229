"""How far a pixel of tiny's maps sees; without torch, since engines without it need to know."""

from __future__ import annotations

from starnet.networks.config import TinyEncoder

Span = tuple[int, int]


def reach(config: TinyEncoder) -> int:
    """Pixels around a pixel that its instance maps depend on: a halo as wide makes a window's core exact.

    Follows the spans of cells from the maps back to the pixels, through the same layers as `starnet.networks.tiny`.
    The embedding's cells do not see farther from their own pixels.
    """
    farthest = 0
    for pixel in range(config.stride):
        cell = pixel // config.first_stride
        # The head's convolution of 3.
        lo, hi = _refined(config, 0, (cell - 1, cell + 1))
        farthest = max(farthest, pixel - config.first_stride * lo, config.first_stride * (hi + 1) - 1 - pixel)
    return farthest


def _refined(config: TinyEncoder, level: int, span: Span) -> Span:
    """Cells of the finest stride that cells of a level of the top-down path depend on."""
    if level == len(config.widths) - 1:
        return _encoded(config, level, span, attention=True)
    lo, hi = _through(config, config.refine, span)
    # A bilinear factor of 2: an even cell lies between the coarse cell before it and its own, an odd one between its
    # own and the next.
    coarse = _refined(config, level + 1, ((lo - 1) // 2, (hi + 1) // 2))
    return _union(_encoded(config, level, (lo, hi)), coarse)


def _encoded(config: TinyEncoder, level: int, span: Span, *, attention: bool = False) -> Span:
    """Cells of the finest stride that cells of a level of the bottom-up path depend on."""
    if attention and config.attention_window:
        lo, hi = span
        side = config.attention_window
        span = lo // side * side, hi // side * side + side - 1
    lo, hi = _through(config, config.blocks[level], span)
    if level == 0:
        return lo - 1, hi + 1
    return _encoded(config, level - 1, (2 * lo - 1, 2 * hi + 1))


def _through(config: TinyEncoder, blocks: int, span: Span) -> Span:
    by = blocks * (config.kernel // 2)
    return span[0] - by, span[1] + by


def _union(one: Span, other: Span) -> Span:
    return min(one[0], other[0]), max(one[1], other[1])
