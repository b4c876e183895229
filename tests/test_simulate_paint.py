"""Stamps are GalSim's, and do not depend on their company."""

from __future__ import annotations

from functools import lru_cache

import galsim
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.simulate.paint import Painter
from starnet.simulate.population import SERSIC_INDICES, component_dtype, source_dtype

SCALE = 0.06
SIGMA = 1e-3
# Undersampled, as ACS drizzled to 0.06" is; the third is lopsided, so that its transfer function is complex.
PSFS = (
    galsim.Convolve(galsim.OpticalPSF(lam=600, diam=2.4, obscuration=0.33), galsim.Gaussian(sigma=0.02)),
    galsim.Moffat(beta=3, fwhm=0.2),
    galsim.Sum(galsim.Gaussian(sigma=0.05), galsim.Gaussian(sigma=0.08, flux=0.3).shift(0.1, 0.05)).withFlux(1),
)


@lru_cache
def transfer(band: int, side: int, oversample: int) -> np.ndarray:
    points = side * oversample
    optics = galsim.Convolve(PSFS[band], galsim.Pixel(SCALE))
    # One more than needed on either side, so that frequency 0 is in the middle.
    wide = optics.drawKImage(nx=points + 2, ny=points + 2, scale=2 * np.pi / (side * SCALE)).array
    return np.fft.ifftshift(wide[1:-1, 1:-1])[:, : points // 2 + 1].astype(np.complex64)


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter(transfer, [SIGMA] * len(PSFS))


def random_sources(seed: int, n: int, ncomp: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    sources = np.zeros(n, source_dtype(len(PSFS)))
    sources["y"], sources["x"] = rng.uniform(-20, 200, (2, n))
    components = np.zeros(n * ncomp, component_dtype(len(PSFS)))
    components["source"] = np.repeat(np.arange(n), ncomp)
    components["n"] = np.where(rng.random(n * ncomp) < 0.2, 0, rng.choice(SERSIC_INDICES, n * ncomp))
    components["re"] = 10 ** rng.uniform(0, 1.2, n * ncomp)
    components["q"] = rng.uniform(0.15, 1, n * ncomp)
    components["pa"] = rng.uniform(0, np.pi, n * ncomp)
    components["flux"] = 10 ** rng.uniform(-1.5, 1.5, (n * ncomp, len(PSFS)))
    if ncomp > 1:
        components["dy"], components["dx"] = rng.uniform(-6, 6, (2, n * ncomp))
    return sources, components


def paint(painter: Painter, sources: np.ndarray, components: np.ndarray, wanted: np.ndarray | None = None) -> dict:
    """Stamp and place of each source."""
    layout = painter.layout(sources, components)
    wanted = np.ones(len(sources), bool) if wanted is None else wanted
    return {
        index: (pixels.copy(), int(layout.y0[index]), int(layout.x0[index]))
        for stamps in painter.stamps(sources, components, layout, wanted)
        for index, pixels in zip(stamps.index.tolist(), stamps.pixels, strict=True)
    }


def by_galsim(component: np.void, band: int, y: float, x: float, side: int) -> np.ndarray:
    """The component, centred at 0-based pixel (y, x) of a stamp."""
    profile = PSFS[band]
    if component["n"] > 0:
        q, pa = float(component["q"]), float(component["pa"])
        galaxy = galsim.Sersic(n=float(component["n"]), half_light_radius=float(component["re"]) * np.sqrt(q) * SCALE)
        profile = galsim.Convolve(profile, galaxy.shear(q=q, beta=pa * galsim.radians))
    return (
        profile.withFlux(float(component["flux"][band]))
        .drawImage(image=galsim.ImageD(side, side), scale=SCALE, center=galsim.PositionD(x + 1, y + 1))
        .array
    )


@pytest.mark.parametrize("seed", range(3))
def test_stamps_are_those_of_galsim(painter: Painter, seed: int) -> None:
    sources, components = random_sources(seed, 12, ncomp=1 + seed)
    for index, (pixels, y0, x0) in paint(painter, sources, components).items():
        side = pixels.shape[-1]
        for band in range(len(PSFS)):
            expected = sum(
                by_galsim(one, band, sources["y"][index] + one["dy"] - y0, sources["x"][index] + one["dx"] - x0, side)
                for one in components[components["source"] == index]
            )
            # What wraps around at the edges is below a twentieth of the noise, for each component.
            np.testing.assert_allclose(pixels[band], expected, rtol=0, atol=1e-3 * expected.max() + 0.1 * SIGMA)


def test_a_stamp_is_as_wide_as_its_source_can_be_seen(painter: Painter) -> None:
    sources, components = random_sources(7, 60)
    for pixels, _, _ in paint(painter, sources, components).values():
        edges = np.concatenate([pixels[:, [0, -1]].reshape(-1), pixels[:, :, [0, -1]].reshape(-1)])
        assert np.abs(edges).max() < 0.15 * SIGMA


def test_no_flux_is_lost(painter: Painter) -> None:
    sources, components = random_sources(8, 30)
    for index, (pixels, _, _) in paint(painter, sources, components).items():
        np.testing.assert_allclose(pixels.sum(axis=(1, 2)), components["flux"][index], rtol=1e-3)


@settings(max_examples=15, deadline=None)
@given(chosen=st.sets(st.integers(0, 39), min_size=1), ncomp=st.sampled_from([1, 3]))
def test_stamps_have_the_same_bits_in_any_company(painter: Painter, chosen: set[int], ncomp: int) -> None:
    sources, components = random_sources(9, 40, ncomp)
    wanted = np.isin(np.arange(40), list(chosen))
    everyone, some = paint(painter, sources, components), paint(painter, sources, components, wanted)
    assert set(some) == chosen
    for index, (pixels, *_) in some.items():
        np.testing.assert_array_equal(pixels, everyone[index][0])
