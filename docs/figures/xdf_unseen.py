"""Draws xdf_unseen.png: are sources real that one program finds in the XDF and the other does not?

usage: python docs/figures/xdf_unseen.py XDF_DIRECTORY [--cut-outs FILE.png]

XDF_DIRECTORY holds xdf_f160w.fits and so on, with extensions SCI and WHT. `tiny` and `sep` see three bands. Then the
light of each object is measured in the six bands that neither has seen, and so it is on masks of the same shape on
empty sky. Only what was measured goes into the figure; --cut-outs writes pictures of the sources, with the real pixels,
elsewhere.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
from scipy.ndimage import binary_dilation, find_objects

from starnet import segment
from starnet.compare.methods import Sep
from starnet.compare.scenes import Scene
from starnet.mosaic import Mosaic
from starnet.outputs.segmentation_map import read_segmentation_map
from starnet.recipe import Recipe

mpl.use("Agg")
import matplotlib.pyplot as plt

SEEN, UNSEEN = ("F160W", "F850LP", "F606W"), ("F140W", "F125W", "F105W", "F814W", "F775W", "F435W")
#: Of the grid of `starnet compare`, on simulated fields of the XDF: the most complete with a purity like that of `tiny`
#: there, tuned (0.95).
SETTINGS = {"threshold": 1.25, "kernel_fwhm": 4.0, "min_area": 8, "deblend_levels": 64, "deblend_contrast": 0.002}
EMPTY = 300
REACH = 15


def shown(paths: list[str]) -> np.ndarray:
    """The bands in units of their noise."""
    mosaic = Mosaic.open(paths)
    return Recipe.fit(mosaic).apply(mosaic, mosaic.whole).snr


def only(mine: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Labels of objects that lie outside those of the other, nine tenths of them at least."""
    area = np.bincount(mine.ravel())
    covered = np.bincount(mine[other > 0], minlength=len(area))
    return np.flatnonzero((covered <= 0.1 * area) & (area > 0) & (np.arange(len(area)) > 0))


def significance(labels: np.ndarray, numbers: np.ndarray, light: np.ndarray, empty: np.ndarray) -> tuple:
    """Light in the objects, in scatters of that on their masks put elsewhere; the latter, too, for comparison."""
    rng = np.random.default_rng(1)
    boxes = find_objects(labels)
    values, chance = [], []
    for number in numbers:
        box = boxes[number - 1]
        mask = labels[box] == number
        ny, nx = mask.shape
        places = []
        while len(places) < EMPTY:
            y, x = rng.integers(0, labels.shape[0] - ny), rng.integers(0, labels.shape[1] - nx)
            if empty[y : y + ny, x : x + nx][mask].all():
                places.append(light[y : y + ny, x : x + nx][mask].sum())
        level, scatter = np.median(places), 1.4826 * np.median(np.abs(places - np.median(places)))
        values.append((light[box][mask].sum() - level) / scatter)
        chance.extend((np.array(places[:10]) - level) / scatter)
    return np.array(values), np.array(chance)


def cut_outs(path: Path, planes: np.ndarray, unseen: np.ndarray, labels: np.ndarray, numbers: np.ndarray) -> None:
    """Each source in the three bands with its outline, without, and in the mean of the other bands."""
    boxes = find_objects(labels)
    columns = 8
    rows = -(-len(numbers) // columns)
    figure, axes = plt.subplots(3 * rows, columns, figsize=(1.3 * columns, 1.4 * 3 * rows), squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    for i, number in enumerate(numbers):
        y, x = (int((one.start + one.stop) / 2) for one in boxes[number - 1])
        y, x = np.clip(y, REACH, labels.shape[0] - REACH), np.clip(x, REACH, labels.shape[1] - REACH)
        here = slice(y - REACH, y + REACH), slice(x - REACH, x + REACH)
        colour = np.clip(np.arcsinh(np.moveaxis(planes[:, *here], 0, -1) + 1) / 3, 0, 1)
        for row, image in enumerate((colour, colour, unseen[here])):
            axis = axes[3 * (i // columns) + row, i % columns]
            axis.imshow(image, origin="lower", cmap="gray", vmin=-2, vmax=6)
            if row == 0:
                axis.contour(labels[here] == number, [0.5], colors="w", linewidths=0.7)
                axis.set_title(f"{x}, {y}", fontsize=7)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("xdf", type=Path)
    parser.add_argument("--cut-outs", type=Path)
    arguments = parser.parse_args()
    seen, unseen = (
        [f"{band}={arguments.xdf / f'xdf_{band.lower()}.fits'}" for band in some] for some in (SEEN, UNSEEN)
    )
    with tempfile.TemporaryDirectory() as folder:
        run = segment(seen, Path(folder) / "run")
        tiny = np.asarray(read_segmentation_map(run.outputs["segmentation"]).labels)
        method = Sep()
        sep = method.label(method.prepare(Scene("xdf", tuple(seen), Path(), None, {}), Path(folder)), SETTINGS)
    planes, others = shown(seen), shown(unseen)
    light = others.sum(axis=0) / np.sqrt(len(others))
    empty = ~binary_dilation((tiny > 0) | (sep > 0), iterations=3)
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    bins = np.linspace(-4, 8, 25)
    for name, labels, other, colour in (("tiny", tiny, sep, "tab:orange"), ("sep", sep, tiny, "tab:blue")):
        numbers = only(labels, other)
        values, chance = significance(labels, numbers, light, empty)
        print(
            f"{name}: {labels.max()} objects, {len(numbers)} away from the other's; in the other bands these have "
            f"{np.median(values):.1f} sigma in the median, {np.mean(values > 3):.0%} more than 3 "
            f"(on empty sky {np.mean(chance > 3):.1%})"
        )
        label = f"{name} alone: {len(values)}"
        axis.hist(np.clip(values, bins[0], bins[-1]), bins, histtype="step", color=colour, label=label)
        if name == "tiny":
            weights = np.full(len(chance), len(values) / len(chance))
            axis.hist(chance, bins, weights=weights, color="0.85", label="the same masks on empty sky")
            if arguments.cut_outs:
                cut_outs(arguments.cut_outs, planes, light, tiny, numbers[np.argsort(values)])
    axis.set(xlabel="light in six bands that neither saw, sigma", ylabel="objects", title="XDF, found by one alone")
    axis.legend()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=90)


if __name__ == "__main__":
    main()
