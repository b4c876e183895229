"""What is compared with what: a case is one operation, its contenders are StarNet and the peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Call = Callable[[], Any]
#: Takes pixels ``(..., ny, nx)`` and a number of threads, does what is not to be timed, returns what is.
Prepare = Callable[[Array, int], Call]

OURS = "StarNet"


@dataclass(frozen=True)
class Agreement:
    """In which sense two results must agree.

    Attributes
    ----------
    says : str
        The sense, in words.
    differ : callable
        Takes our result and the peer's; says how they differ, or None.
    """

    says: str
    differ: Callable[[Any, Any], str | None]


def _differ(ours: Any, theirs: Any, rtol: float, atol: float, margin: int = 0) -> str | None:
    if isinstance(ours, tuple) or isinstance(theirs, tuple):
        pairs = zip(ours, theirs, strict=True)
        return next((text for a, b in pairs if (text := _differ(a, b, rtol, atol, margin)) is not None), None)
    a, b = np.asarray(ours), np.asarray(theirs)
    if a.shape != b.shape:
        return f"shape {b.shape} instead of {a.shape}"
    if margin:
        a, b = (x[..., margin : x.shape[-2] - margin, margin : x.shape[-1] - margin] for x in (a, b))
    if not a.size:
        return "nothing is left to compare"
    if rtol == atol == 0:
        wrong = ~((a == b) | ((a != a) & (b != b)))
    else:
        wrong = ~np.isclose(a.astype(np.float64), b.astype(np.float64), rtol=rtol, atol=atol, equal_nan=True)
    return f"{int(wrong.sum())} of {wrong.size} values differ" if wrong.any() else None


EQUAL = Agreement("equal", lambda ours, theirs: _differ(ours, theirs, 0, 0))
#: Float32 sums in another order.
ROUNDING = Agreement("equal to rounding", lambda ours, theirs: _differ(ours, theirs, 1e-3, 1e-4))


def inside(margin: int) -> Agreement:
    """Equality of the pixels that lie `margin` or more from the border."""
    return Agreement(f"equal {margin} px inside the border", lambda a, b: _differ(a, b, 0, 0, margin))


def within(rtol: float, atol: float, says: str) -> Agreement:
    """Agreement to a tolerance that the definitions justify."""
    return Agreement(says, lambda ours, theirs: _differ(ours, theirs, rtol, atol))


@dataclass(frozen=True)
class Contender:
    """One way to do the operation.

    Attributes
    ----------
    library : str
        A name of `starnet.bench.peers.PEERS`, or `OURS`.
    function : str
        What is called.
    prepare : callable
        See `Prepare`.
    agreement : Agreement or None
        How its result must agree with ours; None for another definition, which is timed but not ranked.
    reference : callable or None
        Our own function in the peer's definition (its border, say), to compare with; by default what is timed.
    threaded : bool
        Whether it can use several threads.
    ranked : bool
        False for a bound, such as a copy of the same bytes, that is no peer.
    """

    library: str
    function: str
    prepare: Prepare
    agreement: Agreement | None = EQUAL
    reference: Prepare | None = None
    threaded: bool = False
    ranked: bool = True


@dataclass(frozen=True)
class Target:
    """How many times as fast as something StarNet is to be.

    Attributes
    ----------
    factor : float
        Times the rate of...
    against : str
        ...``"best"`` of the peers, one library or function, the bound ``"copy"``, or the name of another case of ours.
    on_all_threads : bool
        The target is one for all threads, not for one.
    """

    factor: float
    against: str
    on_all_threads: bool = False

    def __str__(self) -> str:
        what = "the best" if self.against == "best" else self.against
        return f"{self.factor:.3g} x {what}"


@dataclass(frozen=True)
class Case:
    """One operation on one image.

    Attributes
    ----------
    operation : str
        What it is chosen by, a name of `OPERATIONS`.
    name : str
        Operation, parameter, type of the pixels.
    pixels : ndarray, shape (..., ny, nx)
        Its input. Rates count ``ny * nx``: a pixel of three bands counts once.
    ours : Contender
        StarNet.
    peers : tuple of Contender
        The others.
    targets : tuple of Target
        What is to be reached.
    least : int
        Side in pixels of the smallest crop that slow peers are timed on.
    prompts : int
        That a call answers.
    """

    operation: str
    name: str
    pixels: Array
    ours: Contender
    peers: tuple[Contender, ...]
    targets: tuple[Target, ...] = ()
    least: int = 64
    prompts: int = 0

    def crop(self, side: int | None) -> Array:
        """The middle `side` x `side` pixels, or all of them."""
        return self.pixels if side is None else middle(self.pixels, side)


def middle(pixels: Array, side: int) -> Array:
    """The middle `side` x `side` pixels, the same array if there are no more."""
    ny, nx = pixels.shape[-2:]
    if side >= ny and side >= nx:
        return pixels
    h, w = min(side, ny), min(side, nx)
    y, x = (ny - h) // 2, (nx - w) // 2
    return np.ascontiguousarray(pixels[..., y : y + h, x : x + w])
