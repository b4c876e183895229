"""Encoder, prompts, instance head and SAM's automatic masks: ONNX Runtime beside torch, from the same weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from starnet.bench.cases import OURS, Agreement, Call, Case, Contender
from starnet.bench.subjects import Subject, Tile
from starnet.models import budget
from starnet.models.backend import Backend, Embedding
from starnet.models.encoder import Encoder
from starnet.models.prompted import Prompted
from starnet.models.prompting import Prompting
from starnet.networks import VitEncoder
from starnet.prompts import Prompts, grid
from starnet.tiles import Box

EAGER, COMPILED, GENERATOR = "torch eager", "torch.compile", "segment_anything"
#: Largest difference of float32 outputs, of their root mean square: sums in another order, through many layers.
TOLERANCE = 2e-3
#: Of logits at full size, every so many pixels are compared.
_STEP = 8

#: Makes what is timed of a backend.
Work = Callable[[Backend], Call]
Note = Callable[[str], None]


def encoder_case(subject: Subject, tile: Tile, note: Note, *, compiles: bool) -> Case:
    """A window to its features."""
    image = tile.image

    def work(backend: Backend) -> Call:
        def encoded() -> dict[str, npt.NDArray[Any]]:
            return backend.to_arrays(backend.encode(image))

        return encoded

    return _case(subject, "encoder", 0, image, work, ("encode",), note, compiles=compiles)


def decoder_case(subject: Subject, tile: Tile, count: int, note: Note, *, compiles: bool) -> Case:
    """Points to three masks each, in batches as the pipeline makes them."""
    image = tile.image
    prompts = spread(count, (image.shape[1], image.shape[2]))
    config, window = subject.session.config, subject.session.prompt_window
    size = budget.batch_size(budget.decoding(config, (image.shape[1], image.shape[2]), window), None)
    batches = [prompts.select(slice(start, start + size)) for start in range(0, count, size)]
    embeddings = _embeddings(subject, image)

    def work(backend: Backend) -> Call:
        embedding = embeddings(backend)

        def decoded() -> tuple[Any, ...]:
            found = [backend.decode(embedding, some, multimask=True) for some in batches]
            logits = [one.logits[:, :, ::_STEP, ::_STEP].copy() for one in found]
            return np.concatenate(logits), np.concatenate([one.predicted_iou for one in found])

        return decoded

    return _case(subject, "decoder", count, image, work, ("decode",), note, compiles=compiles)


def head_case(subject: Subject, tile: Tile, note: Note, *, compiles: bool) -> Case:
    """Features to maps of foreground, centres and distance."""
    image = tile.image
    embeddings = _embeddings(subject, image)

    def work(backend: Backend) -> Call:
        embedding = embeddings(backend)
        return lambda: backend.maps(embedding)

    return _case(subject, "head", 0, image, work, ("instance_maps",), note, compiles=compiles)


def automatic_case(subject: Subject, tile: Tile, side: int, note: Note) -> Case | None:
    """Masks of everything: our grid of prompts beside SAM's own generator, `side` points on a side of the window.

    The generator sees the same pixels in 8 bits. It is another definition: its grid is the window's, not the mosaic's.
    """
    shown = tile.preprocessed
    ny, nx = shown.box.shape
    moved = replace(shown, box=Box(0, ny, 0, nx))
    prompting = Prompting("grid", grid_spacing=max(1, min(ny, nx) // side))
    session = Encoder(subject.session, tile.bands)
    engine = Prompted(encoder=session, detector=tile.detector, prompting=prompting)

    def ours() -> Any:
        return engine.resolve(engine.draw(moved, moved.box, (ny, nx)), (ny, nx))

    side = -(-min(ny, nx) // prompting.grid_spacing)  # as many of its points as of ours
    generate = _generator(subject, tile.image, side, note)
    if generate is None:
        return None
    points = len(grid(moved.box, (ny, nx), prompting.grid_spacing))
    note(
        f"{subject.name}, automatic masks: {len(ours())} of {points} points here, {len(generate())} of {side * side} "
        "of segment_anything's; its thresholds of IoU and stability on both sides"
    )
    return Case(
        "automatic",
        f"{subject.session.config.name} automatic masks, {points} points",
        tile.image,
        Contender(OURS, "grid", lambda pixels, threads: ours, threaded=True),
        (Contender(GENERATOR, "SamAutomaticMaskGenerator", lambda pixels, threads: generate, None, threaded=True),),
        least=max(ny, nx),
        prompts=points,
    )


def spread(count: int, shape: tuple[int, int]) -> Prompts:
    """So many points, evenly over a window."""
    ny, nx = shape
    spacing = max(1, int((ny * nx / (1.5 * count)) ** 0.5))
    points = grid(Box(0, ny, 0, nx), shape, spacing)
    return points.select(np.linspace(0, len(points) - 1, count).astype(np.int64))


def differ(ours: Any, theirs: Any) -> str | None:
    """How outputs of the same network differ, beyond `TOLERANCE`; None if they do not."""
    if isinstance(ours, dict):
        ours, theirs = ([one[key] for key in sorted(ours) if key != "shape"] for one in (ours, theirs))
    if isinstance(ours, tuple | list):
        return next((text for a, b in zip(ours, theirs, strict=True) if (text := differ(a, b)) is not None), None)
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if a.shape != b.shape:
        return f"shape {b.shape} instead of {a.shape}"
    worst = float(np.abs(a - b).max(initial=0)) / max(float(np.sqrt(np.mean(b**2))), 1e-30)
    return None if worst <= TOLERANCE else f"the largest difference is {worst:.2g} of the root mean square"


def compiler(device: str) -> str | None:
    """Why `torch.compile` does not work here; None if it does."""
    import torch
    from torch._dynamo import config

    if config.disable:  # then it returns what it was given
        return "TORCH_COMPILE_DISABLE is set"
    try:
        torch.compile(lambda x: torch.sin(x) + 1)(torch.zeros(8, device=device))
    except Exception as error:  # whatever a missing compiler leads to
        return _first_line(error)
    return None


SAME = Agreement(f"equal to {TOLERANCE:g} of its root mean square", differ)


def _case(
    subject: Subject,
    operation: str,
    prompts: int,
    image: Any,
    work: Work,
    parts: Sequence[str],
    note: Note,
    *,
    compiles: bool,
) -> Case:
    """Ours, eager, and compiled where that works; what compiling took is noted."""
    title = f"{subject.session.config.name} {operation}"
    if prompts:
        title += f", {prompts} prompt{'s' if prompts > 1 else ''}"
    mine = work(subject.session)
    expected = mine()
    peers = []
    if subject.torch is not None:
        peers.append((EAGER, _synchronised(subject.torch, work(subject.torch))))
    if subject.torch is not None and compiles:
        fast = compiled(subject.torch, parts)
        call = _synchronised(fast, work(fast))
        start = time.perf_counter()
        try:
            call()
        except Exception as error:  # a compiler's failure is no failure of the comparison
            note(f"{title}: torch.compile failed: {_first_line(error)}")
        else:
            note(f"{title}: torch.compile took {time.perf_counter() - start:.1f} s to warm up, not counted")
            peers.append((COMPILED, call))
    return Case(
        operation,
        title,
        image,
        Contender(OURS, "ONNX Runtime", lambda pixels, threads: mine, threaded=True),
        tuple(
            Contender(
                library, operation, lambda pixels, threads, call=call: call, SAME,  # type: ignore[misc]
                reference=lambda pixels, threads: lambda: expected, threaded=True,
            )
            for library, call in peers
        ),
        least=max(image.shape[-2:]),
        prompts=prompts,
    )  # fmt: skip


def compiled(backend: Any, parts: Sequence[str]) -> Any:
    """The same backend with these parts of its network compiled, for the shapes that they see first."""
    import torch

    made = copy(backend)
    made.network = copy(backend.network)
    for part in parts:
        object.__setattr__(made.network, part, torch.compile(getattr(backend.network, part)))
    return made


def _synchronised(backend: Any, call: Call) -> Call:
    """On a GPU, a call ends when its work does."""
    if not backend.device.startswith("cuda"):
        return call
    import torch

    def waited() -> Any:
        found = call()
        torch.cuda.synchronize()
        return found

    return waited


def _embeddings(subject: Subject, image: npt.NDArray[np.float32]) -> Callable[[Backend], Embedding]:
    """The same features for all."""
    arrays = subject.session.to_arrays(subject.session.encode(image))
    return lambda backend: backend.from_arrays(arrays)


def _generator(subject: Subject, image: npt.NDArray[np.float32], side: int, note: Note) -> Call | None:
    if subject.torch is None or not isinstance(subject.session.config.encoder, VitEncoder):
        return None
    try:
        from segment_anything import SamAutomaticMaskGenerator
    except ImportError as error:
        note(f"{subject.name}: no automatic masks of segment_anything, which needs {error.name}")
        return None
    import torch

    from starnet.networks.official import Sam

    network = subject.torch.network
    vit: Any = network.image_encoder

    class Encoded(torch.nn.Module):
        """The encoder as `Sam` calls it: a square to its embedding."""

        img_size = vit.img_size

        def __init__(self) -> None:
            super().__init__()
            self.vit = vit

        def forward(self, square: torch.Tensor) -> torch.Tensor:
            return self.vit.embed(square)  # type: ignore[no-any-return]

    sam = Sam(Encoded(), network.prompt_encoder, network.mask_decoder).eval()
    generator = SamAutomaticMaskGenerator(sam, points_per_side=side)
    with torch.inference_mode():
        channels = network.adapter(subject.torch._tensor(image)[None])
        picture = vit.stretched(channels)[0].permute(1, 2, 0).round().to(torch.uint8).cpu().numpy()
    return lambda: generator.generate(np.ascontiguousarray(picture))


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:160]


def network_cases(
    subject: Subject,
    tile: Tile,
    operations: Sequence[str],
    counts: Sequence[int],
    side: int,
    *,
    compiles: bool,
    note: Note,
) -> Iterator[Case]:
    """Those of `operations` that the network has."""
    if compiles:
        import torch

        # Compiled code is kept by function, not by network, and after eight kinds of input no more is made.
        torch._dynamo.reset()
    if "encoder" in operations:
        yield encoder_case(subject, tile, note, compiles=compiles)
    if "head" in operations and subject.session.config.instance_head:
        yield head_case(subject, tile, note, compiles=compiles)
    if "decoder" in operations:
        for count in counts:
            yield decoder_case(subject, tile, count, note, compiles=compiles)
    if "automatic" in operations:
        case = automatic_case(subject, tile, side, note)
        if case is not None:
            yield case
