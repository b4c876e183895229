"""Draws simulated_sky.png: a simulated field against 30" x 30" of the real XDF, measured alike.

usage: python docs/figures/simulated_sky.py XDF_DIRECTORY [--side-by-side FILE.png]

XDF_DIRECTORY holds xdf_f160w.fits and so on, with extensions SCI and WHT. Only curves derived from them go into the
figure; --side-by-side writes both colour composites, with the real pixels, elsewhere.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import sep
from astropy.io import fits
from scipy.ndimage import binary_dilation, gaussian_filter

from starnet.simulate import Field, load_preset

mpl.use("Agg")
import matplotlib.pyplot as plt

BANDS = ("F160W", "F850LP", "F606W")
FIELDS = 8
BINS = np.arange(20, 31.1, 1)
FREQUENCIES = np.linspace(0.02, 0.5, 17)
LEVELS = np.linspace(-6, 20, 79)


@dataclass
class Measured:
    """What is measured of one image."""

    spectrum: np.ndarray
    histogram: np.ndarray
    counts: np.ndarray


def deviation(values: np.ndarray) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def measure(image: np.ndarray, weight: np.ndarray, zero_point: float) -> Measured:
    """Spectrum of the sky's pixels, histogram in sigma, detected sources by aperture magnitude."""
    # The deep corner of WFC3/IR is left out: one depth is compared.
    good = (weight > 0) & (weight < 4 * np.median(weight))
    image = np.ascontiguousarray(image, np.float32)
    flat = image - sep.Background(image, mask=~good, bw=64, bh=64).back()
    smooth = gaussian_filter(flat, 2)
    sky = good & ~binary_dilation(np.abs(smooth) > 2 * deviation(smooth[good]), iterations=3)
    sigma = deviation(flat[sky])
    power = np.abs(np.fft.rfft2(np.where(sky, flat, 0))) ** 2 / sky.sum() / sigma**2
    k = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1]))
    spectrum = np.histogram(k, FREQUENCIES, weights=power)[0] / np.histogram(k, FREQUENCIES)[0]
    histogram = np.histogram(flat[good] / sigma, LEVELS, density=True)[0]
    sep.set_extract_pixstack(2_000_000)
    kernel = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32)
    found = sep.extract(flat, 2.0, err=sigma, minarea=8, filter_kernel=kernel, mask=~good)
    flux, _, _ = sep.sum_circle(flat, found["x"], found["y"], 6.0)
    magnitude = zero_point - 2.5 * np.log10(np.maximum(flux, 1e-12))
    area = good.sum() * (0.06 / 60) ** 2
    return Measured(spectrum, histogram, np.histogram(magnitude, BINS)[0] / area)


def composite(images: np.ndarray, zero_points: list[float]) -> np.ndarray:
    """Red, green and blue (Lupton et al. 2004, PASP 116, 133)."""
    rgb = np.stack([image * 10 ** (-0.4 * (zero - 26.4)) for image, zero in zip(images, zero_points, strict=True)], -1)
    mean = np.maximum(rgb.mean(axis=-1, keepdims=True), 1e-9)
    return np.clip(rgb / mean * np.arcsinh(8 * mean / 0.03) / 4, 0, 1)[::-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("xdf", type=Path)
    parser.add_argument("--side-by-side", type=Path)
    arguments = parser.parse_args()
    preset = load_preset("xdf").select(BANDS)
    # Of the two depths of WFC3/IR, the one that most of the real pixels have.
    preset = replace(preset, bands=tuple(replace(band, steps=band.steps[-1:]) for band in preset.bands))
    zero_points = [band.zero_point for band in preset.bands]
    real_images, real = [], []
    for name, zero in zip(BANDS, zero_points, strict=True):
        with fits.open(arguments.xdf / f"xdf_{name.lower()}.fits") as hdus:
            real_images.append(hdus["SCI"].data.astype(np.float32))
            real.append(measure(real_images[-1], hdus["WHT"].data, zero))
    windows = []
    for seed in range(FIELDS):
        field = Field(preset, (500, 500), seed)
        windows.append(field.window(field.whole))
    simulated = [[measure(w.images[i], w.weights[i], zero) for w in windows] for i, zero in enumerate(zero_points)]

    figure, axes = plt.subplots(2, 2, figsize=(10, 10), layout="constrained")
    picture, spectrum, histogram, counts = axes.ravel()
    best = max(windows, key=lambda one: np.unique(one.labels).size)
    picture.imshow(composite(best.images, zero_points))
    picture.set(title='simulated, 30" x 30"', xticks=[], yticks=[])
    middle = (FREQUENCIES[1:] + FREQUENCIES[:-1]) / 2
    for i, (name, colour) in enumerate(zip(BANDS, ("tab:red", "tab:green", "tab:blue"), strict=True)):
        for axis, x, attribute in (
            (spectrum, middle, "spectrum"),
            (histogram, (LEVELS[1:] + LEVELS[:-1]) / 2, "histogram"),
            (counts, (BINS[1:] + BINS[:-1]) / 2, "counts"),
        ):
            every = np.array([getattr(one, attribute) for one in simulated[i]])
            axis.plot(x, getattr(real[i], attribute), "o", color=colour, markersize=3, label=f"{name}, real")
            axis.plot(x, every.mean(axis=0), color=colour, label=f"{name}, simulated")
            axis.fill_between(x, every.min(axis=0), every.max(axis=0), color=colour, alpha=0.15, linewidth=0)
            axis.set_yscale("log")
    spectrum.set(
        title="noise of the sky", xlabel="cycles per pixel", ylabel="power, pixel variance = 1", ylim=(3e-3, 50)
    )
    histogram.set(title="all pixels", xlabel="pixel value, sigma", ylabel="density", ylim=(1e-4, 1), xlim=(-6, 20))
    counts.set(title="detected sources", xlabel='AB mag in 0.72"', ylabel="per mag and square arcmin", ylim=(1, 1000))
    counts.legend(fontsize="small")
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=72)
    if arguments.side_by_side:
        both = [composite(np.stack(real_images), zero_points), composite(best.images, zero_points)]
        plt.imsave(arguments.side_by_side, np.concatenate(both, axis=1))


if __name__ == "__main__":
    main()
