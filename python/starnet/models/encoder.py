"""The encoder of a network as engines call it: the bands that it wants, and embeddings kept on disk."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.atomic import replacing
from starnet.errors import StarnetError
from starnet.models.backend import Backend, Embedding


@dataclass(frozen=True)
class Encoder:
    """A network's encoder.

    Parameters
    ----------
    backend : Backend
        What runs it.
    bands : tuple of int
        The bands of the mosaic that it is shown, in its order.
    folder : Path, optional
        Where embeddings are kept: one file for each pair of pixels, as the recipe shows them, and network.
    """

    backend: Backend
    bands: tuple[int, ...]
    folder: Path | None = None

    @classmethod
    def of(cls, backend: Backend, names: Sequence[str], folder: Path | None = None) -> Encoder:
        """For a mosaic whose bands have these names.

        Raises
        ------
        StarnetError
            If the network was made for bands that are not there.
        """
        wanted = backend.config.bands
        if missing := [band for band in wanted if band not in names]:
            raise StarnetError(
                f"model {backend.config.name} sees the bands {', '.join(wanted)}, but there is no {missing[0]} among "
                f"{', '.join(names)}: add it, or name an input so, as in {missing[0]}=FILE.fits"
            )
        return cls(backend, tuple(names.index(band) for band in wanted or names), folder)

    def __call__(self, image: NDArray[np.float32]) -> Embedding:
        """The features of a window, ``(nband, ny, nx)`` with all bands of the mosaic, as the recipe shows it."""
        if self.bands != tuple(range(len(image))):
            image = np.ascontiguousarray(image[list(self.bands)])
        if self.folder is None:
            return self.backend.encode(image)
        path = self.folder / f"{self._key(image)}.npz"
        if (arrays := _read(path)) is not None:
            return self.backend.from_arrays(arrays)
        embedding = self.backend.encode(image)
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **self.backend.to_arrays(embedding))
        return embedding

    def _key(self, image: NDArray[np.float32]) -> str:
        digest = hashlib.sha256(f"{self.backend.fingerprint} {image.shape}".encode())
        digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()


def _read(path: Path) -> dict[str, NDArray[Any]] | None:
    """An embedding from its file; None where there is none, or it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
