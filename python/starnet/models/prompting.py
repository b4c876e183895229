"""How an engine comes by its prompts: made of the pixels, of the network's own maps, or read from a table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.models.detector import Detector
from starnet.mosaic import Mosaic
from starnet.prompts import Prompts, centres, grid, peaks, read_prompts
from starnet.recipe import Preprocessed
from starnet.tiles import Box

#: Pixels beyond a core in which an object with its peak in the core should end.
_PEAK_HALO = 64
#: What makes prompts by itself; anything else is a table.
AUTOMATIC = ("grid", "peaks", "centres")


@dataclass(frozen=True)
class Prompting:
    """Makes the prompts of a tile.

    Parameters
    ----------
    kind : str
        One of `AUTOMATIC`, or the name of a table.
    table : Prompts, optional
        What the table holds, in pixels of the mosaic.
    remark : str, optional
        What of the table was left out.
    grid_spacing : int
        Pixels between the points of ``"grid"``, which is fixed to the mosaic. SAM's 32 points a side are 21 pixels in
        windows of 682.
    peak_threshold : float
        Detection threshold of ``"peaks"``, in sigma of the detection image.
    peak_boxes : bool
        Whether the bounding boxes of what is detected go with ``"peaks"``.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    kind: str
    table: Prompts | None = None
    grid_spacing: int = 16
    peak_threshold: float = 3.0
    peak_boxes: bool = False
    remark: str | None = None
    PARAMETERS: ClassVar[tuple[str, ...]] = ("grid_spacing", "peak_threshold", "peak_boxes")

    def __post_init__(self) -> None:
        if self.grid_spacing < 1:
            raise ValueError(f"grid_spacing={self.grid_spacing}: must be at least 1 pixel")
        if not self.peak_threshold > 0:
            raise ValueError(f"peak_threshold={self.peak_threshold}: must be positive")

    @classmethod
    def of(cls, prompts: str | Path | Prompts, mosaic: Mosaic, **parameters: Any) -> Prompting:
        """For prompts as after ``--prompts``.

        Raises
        ------
        StarnetError
            If it is no known kind nor a table that can be used.
        ValueError
            If a parameter is out of its range.
        """
        if isinstance(prompts, Prompts):
            return cls("table", prompts, **parameters)
        if prompts in AUTOMATIC:
            return cls(str(prompts), **parameters)
        if not Path(prompts).suffix:
            raise StarnetError(f"prompts {str(prompts)!r} are unknown: choose head, {', '.join(AUTOMATIC)}, or a table")
        table, remark = read_prompts(prompts, mosaic.shape, mosaic.wcs)
        return cls(Path(prompts).name, table, remark=remark, **parameters)

    @property
    def parameters(self) -> dict[str, Any]:
        """All that decides the prompts."""
        if self.table is not None:
            return {"table": self.kind, "number": len(self.table), "sha256": _checksum(self.table)}
        own: dict[str, dict[str, Any]] = {
            "grid": {"grid_spacing": self.grid_spacing},
            "peaks": {"peak_threshold": self.peak_threshold, "peak_boxes": self.peak_boxes},
        }
        return {"kind": self.kind, **own.get(self.kind, {})}

    @property
    def halo(self) -> int:
        """Pixels around a core that its prompts depend on, beside the network's."""
        return _PEAK_HALO if self.kind == "peaks" else 0

    def __call__(
        self,
        preprocessed: Preprocessed,
        core: Box,
        shape: tuple[int, int],
        detector: Detector,
        maps: Callable[[], NDArray[np.float32]],
    ) -> Prompts:
        """The prompts whose anchors lie in a core, in pixels of the mosaic; `maps` gives those of the window."""
        window = preprocessed.box
        if self.table is not None:
            return self.table.select(self.table.inside(core))
        if self.kind == "grid":
            return grid(core, shape, self.grid_spacing)
        if self.kind == "peaks":
            return peaks(
                detector.image(preprocessed), window, core, shape,
                threshold=self.peak_threshold, with_boxes=self.peak_boxes,
            )  # fmt: skip
        return centres(maps()[1], window, core, shape)


def _checksum(prompts: Prompts) -> str:
    digest = hashlib.sha256()
    for array in (prompts.kind, prompts.ids, prompts.points, prompts.labels, prompts.boxes):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
