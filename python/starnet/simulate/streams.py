"""Random numbers that depend on the place and the purpose only, not on the order of the calls."""

from __future__ import annotations

from numpy.random import Generator, Philox

PURPOSES = ("population", "noise", "pointing", "sky", "ghost", "cosmic-ray", "column", "trail", "stamp", "gap")


def stream(seed: int, purpose: str, band: int = 0, cell: tuple[int, int] = (0, 0)) -> Generator:
    """The generator of one cell of one band, for one purpose.

    A counter-based generator (Philox 4x64, Salmon et al. 2011, SC '11) whose key is all of the arguments: streams are
    independent, cost nothing to start, and any of them can be made alone.

    Parameters
    ----------
    seed : int
        Of the whole field, ``0 <= seed < 2**64``.
    purpose : str
        One of `PURPOSES`.
    band : int
        Index of the band, below 256.
    cell : tuple of int
        ``(iy, ix)``, each within +-2**23.

    Raises
    ------
    ValueError
        For a seed out of range.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be between 0 and 2**64 - 1, not {seed}")
    iy, ix = cell
    place = (iy & 0xFFFFFF) << 24 | (ix & 0xFFFFFF)
    return Generator(Philox(key=(seed << 64) | PURPOSES.index(purpose) << 56 | (band & 0xFF) << 48 | place))
