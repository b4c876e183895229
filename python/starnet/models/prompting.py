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
from starnet.models.dense import seeds
from starnet.models.detector import Detector
from starnet.mosaic import Mosaic
from starnet.prompts import Prompts, grid, read_prompts
from starnet.recipe import Preprocessed
from starnet.tiles import Box

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
    grid_spacing : int
        Pixels between the points of ``"grid"``, which is fixed to the mosaic. SAM's 32 points a side are 21 pixels in
        windows of 682.
    peak_threshold : float
        Least height of ``"peaks"`` in the detection image, in sigma of its noise.
    peak_distance : int
        Pixels that peaks are apart.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    kind: str
    table: Prompts | None = None
    grid_spacing: int = 16
    peak_threshold: float = 5.0
    peak_distance: int = 3
    PARAMETERS: ClassVar[tuple[str, ...]] = ("grid_spacing", "peak_threshold", "peak_distance")

    def __post_init__(self) -> None:
        if self.grid_spacing < 1 or self.peak_distance < 1:
            raise ValueError(
                f"grid_spacing={self.grid_spacing}, peak_distance={self.peak_distance}: must be at least 1 pixel"
            )
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
        return cls(Path(prompts).name, read_prompts(prompts, mosaic), **parameters)

    @property
    def parameters(self) -> dict[str, Any]:
        """All that decides the prompts."""
        if self.table is not None:
            return {"table": self.kind, "number": len(self.table), "sha256": _checksum(self.table)}
        own = {
            "grid": {"grid_spacing": self.grid_spacing},
            "peaks": {"peak_threshold": self.peak_threshold, "peak_distance": self.peak_distance},
        }
        return {"kind": self.kind, **own.get(self.kind, {})}

    @property
    def halo(self) -> int:
        """Pixels around a core that its prompts depend on, beside the network's."""
        return self.peak_distance if self.kind == "peaks" else 0

    def __call__(
        self, preprocessed: Preprocessed, core: Box, detector: Detector, maps: Callable[[], NDArray[np.float32]]
    ) -> Prompts:
        """The prompts whose anchors lie in a core, in pixels of the mosaic; `maps` gives those of the window."""
        window = preprocessed.box
        if self.table is not None:
            found = self.table
        elif self.kind == "grid":
            found = grid(core, self.grid_spacing)
        else:
            image = detector.image(preprocessed) if self.kind == "peaks" else maps()[1]
            threshold = self.peak_threshold if self.kind == "peaks" else 0.3
            ys, xs = seeds(image, threshold, self.peak_distance)
            number = (ys + window.y0) * 2**31 + xs + window.x0
            found = Prompts.of_points(self.kind, np.column_stack([xs + window.x0, ys + window.y0]), number)
        return found.select(found.inside(core))


def _checksum(prompts: Prompts) -> str:
    digest = hashlib.sha256()
    for array in (prompts.kind, prompts.ids, prompts.points, prompts.labels, prompts.boxes):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
