"""Quality bits of an object, defined once."""

from __future__ import annotations

from enum import IntFlag


class Flag(IntFlag):
    """Bits of the catalog's column ``flags``."""

    EDGE = 1
    SEAM = 2
    SATURATED = 4
    MASKED = 8
    BLENDED = 16

    @property
    def description(self) -> str:
        """What the bit says, for headers and documentation."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    Flag.EDGE: "touches the border of the mosaic or of its coverage: may be truncated",
    Flag.SEAM: "part of a component too large to be split whole: may be cut at a fixed window's border",
    Flag.SATURATED: "holds saturated pixels",
    Flag.MASKED: "holds pixels without data in at least one band",
    Flag.BLENDED: "was split from a component with other objects",
}
