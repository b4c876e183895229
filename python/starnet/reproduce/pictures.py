"""The comparison as a picture: an image, what is true of it, and what each method found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.atomic import replacing
from starnet.evaluate.cutouts import PRED, TRUTH
from starnet.evaluate.plots import new_figure
from starnet.outputs.canvas import composite
from starnet.outputs.overlay import outlines
from starnet.tiles import Box

_DPI = 100


def draw_comparison(
    path: Path,
    box: Box,
    read_rgb: Callable[[Box], NDArray[np.float32]],
    truth: NDArray[Any],
    found: Mapping[str, NDArray[Any]],
) -> None:
    """Draw an image without and with the outlines of true objects and of those that each method found.

    Parameters
    ----------
    path : Path
        The PNG to make or to replace.
    box : Box
        What is shown of the images of a part.
    read_rgb : callable
        ``read_rgb(box)`` gives float32 ``(nband, ny, nx)``, one to three bands in asinh of noise units.
    truth : ndarray
        Labels ``(ny, nx)`` of all images of the part.
    found : mapping
        As many labels, by method.
    """
    picture = composite(read_rgb(box))
    panels: dict[str, tuple[NDArray[Any] | None, tuple[int, int, int]]] = {
        "image": (None, TRUTH),
        "truth": (truth, TRUTH),
        **{method: (labels, PRED) for method, labels in found.items()},
    }
    # Pixels of the image are whole pixels of the picture, and small images are enlarged.
    zoom = max(1, 400 // max(box.shape))
    height, width = (zoom * side / _DPI for side in box.shape)  # inches
    figure = new_figure(len(panels) * (width + 0.1), height + 0.45)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for axis, (name, (labels, colour)) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        shown = picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
        title = name
        if labels is not None:
            inside = labels[box.slices]
            shown[outlines(inside.repeat(zoom, axis=0).repeat(zoom, axis=1))] = colour
            title = f"{name}: {len(np.unique(inside[inside > 0]))} objects"
        axis.imshow(shown, origin="lower", interpolation="nearest")
        axis.set_axis_off()
        axis.set_title(title, fontsize=2.2 * width)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=_DPI, metadata={"Software": None})
