"""Real galaxies in simulated fields: cleaned, measured, painted."""

from __future__ import annotations

from pathlib import Path

import galsim
import numpy as np
import pytest

from starnet.errors import StarnetError
from starnet.simulate import Field, load_preset, survey
from starnet.simulate.gallery import Gallery, Morphology, clean
from starnet.tiles import Box


@pytest.fixture(scope="module")
def gallery(shared_data: Path) -> Gallery:
    return Gallery(shared_data / "cosmos-realgal-btk")


def drawn(noise: float) -> np.ndarray:
    """A galaxy, a neighbour, and noise."""
    galaxy = galsim.Convolve(galsim.Exponential(half_light_radius=6).shear(q=0.5, beta=0.4 * galsim.radians))
    image = galsim.Convolve(galaxy, galsim.Gaussian(sigma=1.5)).withFlux(100).drawImage(nx=96, ny=96, scale=1).array
    image += galsim.Gaussian(sigma=1.5, flux=20).shift(36, 36).drawImage(nx=96, ny=96, scale=1).array
    return image + np.random.default_rng(1).normal(0, noise, image.shape).astype(np.float32)


def test_cleaning_leaves_the_galaxy_alone() -> None:
    truth, cleaned = drawn(0), clean(drawn(0.02))
    assert (cleaned[80:, 80:] == 0).all()
    assert np.count_nonzero(cleaned) < 0.5 * cleaned.size
    core = truth > 0.1
    core[70:, 70:] = False
    rest = np.where(core, cleaned - truth, np.nan)
    assert np.nanstd(rest) < 0.03
    assert np.nanstd(np.diff(rest, axis=0)) < 0.5 * np.sqrt(2) * 0.02  # as the noise from pixel to pixel had
    assert cleaned.sum() == pytest.approx(100, rel=0.1)


def test_shapes_are_measured() -> None:
    morphology = Morphology.of(clean(drawn(0.005)))
    assert morphology is not None
    assert morphology.pa == pytest.approx(0.4, abs=0.05)
    assert morphology.q == pytest.approx(0.55, abs=0.07)  # the PSF makes it rounder
    assert morphology.re == pytest.approx(8.5, rel=0.15)  # 6 / sqrt(q), and the PSF


def test_empty_stamps_are_no_galaxies() -> None:
    noise = np.random.default_rng(2).normal(0, 1, (40, 40)).astype(np.float32)
    assert Morphology.of(np.zeros_like(noise)) is None
    assert np.count_nonzero(clean(noise)) < 100


def test_transforms_are_those_of_the_image(gallery: Gallery) -> None:
    """At the stamp's own size and orientation, back in real space, it is the cleaned stamp about its centroid."""
    morphology = gallery[3]
    assert morphology is not None
    n = 128
    ky, kx = 2 * np.pi * np.fft.fftfreq(n).astype(np.float32)[:, None], 2 * np.pi * np.fft.rfftfreq(n)[None, :]
    image = np.fft.irfft2(morphology.at(ky, kx.astype(np.float32), morphology.re, morphology.pa), s=(n, n))
    assert image.sum() == pytest.approx(1, rel=1e-3)
    image = np.fft.fftshift(image)
    y, x = np.mgrid[:n, :n] - n // 2
    assert (image * y).sum() == pytest.approx(0, abs=0.05)
    assert (image * x).sum() == pytest.approx(0, abs=0.05)
    turned = Morphology.of(np.where(image > 1e-3 * image.max(), image, 0).astype(np.float32))
    assert turned is not None
    assert turned.re == pytest.approx(morphology.re, rel=0.05)
    assert turned.q == pytest.approx(morphology.q, abs=0.05)


def test_size_and_orientation_can_be_chosen(gallery: Gallery) -> None:
    morphology = max((one for i in range(40) if (one := gallery[i])), key=lambda one: -one.q)
    n, re, pa = 128, 5.0, 1.1
    ky, kx = 2 * np.pi * np.fft.fftfreq(n).astype(np.float32)[:, None], 2 * np.pi * np.fft.rfftfreq(n)[None, :]
    image = np.fft.fftshift(np.fft.irfft2(morphology.at(ky, kx.astype(np.float32), re, pa), s=(n, n)))
    measured = Morphology.of(np.where(image > 2e-3 * image.max(), image, 0).astype(np.float32))
    assert measured is not None
    assert measured.re == pytest.approx(re, rel=0.1)
    assert np.cos(2 * (measured.pa - pa)) > 0.95


def test_real_galaxies_are_painted_in_a_field(shared_data: Path) -> None:
    preset, size = load_preset("candels-deep"), (256, 256)
    plain = Field(preset, size, 3)
    real = Field(preset, size, 3, shared_data / "cosmos-realgal-btk")
    table, table_of_real = survey(plain), survey(real)
    hung = np.isnan(table_of_real["n"])
    assert 0 < hung.sum() < len(table_of_real)
    # Noise and total light are the same; only shapes differ.
    np.testing.assert_array_equal(plain.noise.noise(0, Box(0, 9, 0, 9)), real.noise.noise(0, Box(0, 9, 0, 9)))
    whole = real.window(real.whole)
    assert whole.model.sum() == pytest.approx(plain.window(plain.whole).model.sum(), rel=0.15)
    part = Box(40, 171, 60, 200)
    np.testing.assert_array_equal(real.window(part).images, whole.images[:, *part.slices])
    assert set(np.unique(table["class"])) >= set(np.unique(table_of_real["class"]))


def test_a_folder_without_galaxies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StarnetError, match="RealGalaxyCatalog"):
        Gallery(tmp_path)
