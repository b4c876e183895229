"""A mosaic without files."""

from dataclasses import dataclass

import numpy as np

from starnet.mosaic import Pixels
from starnet.tiles import Box


@dataclass
class Band:
    name: str
    has_weight: bool


class MemoryMosaic:
    """A mosaic that is an array: what a recipe asks of `Mosaic`, no more."""

    def __init__(self, data, ivar=None, valid=None, names=None):
        self.data = np.asarray(data, dtype=np.float32)
        self.ivar = ivar
        self.shape = self.data.shape[1:]
        weighted = [ivar is not None and not np.isnan(plane).all() for plane in (self.data if ivar is None else ivar)]
        names = names or [f"B{i}" for i in range(len(self.data))]
        self.bands = tuple(map(Band, names, weighted))
        self.valid = np.isfinite(self.data)
        if ivar is not None:
            self.valid &= (ivar > 0) | np.isnan(ivar)
        if valid is not None:
            self.valid &= valid

    def read(self, box):
        assert box.clip(self.shape) == box
        here = (slice(None), *box.slices)
        ivar = None if self.ivar is None else self.ivar[here].copy()
        saturated = (np.nan_to_num(self.data[here]) > 500).any(axis=0)
        return Pixels(box, self.data[here].copy(), ivar, self.valid[here].copy(), saturated)

    def fingerprint(self):
        return [{"band": band.name, "file": "memory", "bytes": self.data.nbytes} for band in self.bands]

    @property
    def whole(self):
        return Box(0, self.shape[0], 0, self.shape[1])
