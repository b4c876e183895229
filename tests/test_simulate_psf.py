"""Point-spread functions agree with Tiny Tim's, and with what the papers state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from starnet.errors import StarnetError
from starnet.simulate.presets import HST_ACS, HST_IR, JWST, PRESETS, Band, Optics, Preset
from starnet.simulate.psf import otf, psf_image, pupil

BANDS = [(preset, band) for preset in PRESETS.values() for band in preset.bands]
Array = np.ndarray


def encircled(image: Array, scale: float, radii: Array) -> Array:
    """Flux within circles about the brightest pixel's centre."""
    fine = np.repeat(np.repeat(image, 9, 0), 9, 1) / 81
    y, x = (np.indices(fine.shape) + 0.5) / 9 - 0.5
    centre = np.unravel_index(image.argmax(), image.shape)
    r = np.hypot(y - centre[0], x - centre[1]) * scale
    return np.array([fine[r < radius].sum() for radius in radii])


@pytest.mark.parametrize(
    ("letter", "scale", "wavelength", "width", "optics"),
    [
        ("h", 0.13, 1.537, 0.268, HST_IR),
        ("j", 0.13, 1.248, 0.284, HST_IR),
        ("z", 0.0495, 0.905, 0.127, HST_ACS),
        ("v", 0.0495, 0.592, 0.225, HST_ACS),
    ],
)
def test_encircled_energy_is_tiny_tims(
    letter: str, scale: float, wavelength: float, width: float, optics: Optics, shared_data: Path
) -> None:
    reference = fits.getdata(shared_data / f"candels-psf-noise/tinytim/{letter}.fits").astype(float)
    band = Band(letter, wavelength, width, 25.0, 28.0, optics, detector=0.0, drop=0.0)
    radii = np.array([0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.3])
    theirs = encircled(reference, scale, radii)
    ours = encircled(psf_image(band, scale, 128), scale, radii)
    # Tiny Tim's are cut at 1.5": all light is in there.
    np.testing.assert_allclose(ours / ours[-1] * theirs[-1], theirs, atol=0.065)
    np.testing.assert_allclose(ours[3:] / ours[-1] * theirs[-1], theirs[3:], atol=0.02)


@pytest.mark.parametrize(("preset", "band"), BANDS, ids=[f"{preset.name}-{band.name}" for preset, band in BANDS])
def test_every_preset_has_a_sound_psf(preset: Preset, band: Band) -> None:
    scale = preset.pixel_scale
    transfer = otf(band, scale, 64, 2)
    assert transfer.shape == (128, 65)
    assert transfer[0, 0] == pytest.approx(1, abs=1e-5)
    assert abs(transfer).max() <= 1 + 1e-5
    assert not transfer.flags.writeable
    image = psf_image(band, scale, 64)
    assert image.sum() == pytest.approx(1, abs=1e-4)
    assert np.unravel_index(image.argmax(), image.shape) == (32, 32)
    assert image.min() > -1e-3 * image.max()


def test_grids_agree_where_they_meet() -> None:
    band = PRESETS["candels-deep"].bands[0]
    np.testing.assert_allclose(otf(band, 0.06, 64), otf(band, 0.06, 256)[::4, ::4], atol=1e-6)
    np.testing.assert_allclose(otf(band, 0.06, 64)[:32], otf(band, 0.06, 64, 2)[:32, :33], atol=1e-6)


def test_diffraction_limit_of_a_clear_disk() -> None:
    """The transfer function of a circular pupil is known in closed form."""
    band = Band("x", 1.0, 0.0, 25.0, 28.0, Optics(2.4), detector=0.0, drop=0.0)
    cutoff = 2.4 / 1e-6 * np.pi / 180 / 3600  # cycles per arcsec
    transfer = otf(band, 1e-2, 512)[0].real / np.sinc(np.fft.rfftfreq(512))
    u = np.fft.rfftfreq(512) / 1e-2 / cutoff
    inside = u < 1
    expected = 2 / np.pi * (np.arccos(u[inside]) - u[inside] * np.sqrt(1 - u[inside] ** 2))
    np.testing.assert_allclose(transfer[inside], expected, atol=2e-3)
    np.testing.assert_allclose(transfer[~inside], 0, atol=1e-5)


def test_seeing_has_its_width() -> None:
    band = PRESETS["rubin"].bands[1]
    image = psf_image(replace(band, smoothing=0.0), 0.02, 512)
    row = image[256, 256:]
    half = np.interp(-row[0] / 2, -row[:100], np.arange(100)) * 0.02
    assert 2 * half == pytest.approx(band.optics.seeing, rel=0.02)


def test_struts_make_spikes_across_them() -> None:
    image = psf_image(PRESETS["candels-deep"].bands[2], 0.06, 512)
    y, x = np.indices(image.shape) - 256
    r, angle = np.hypot(y, x), np.rad2deg(np.arctan2(y, x)) % 90
    ring = (r > 40) & (r < 100)
    assert image[ring & (abs(angle - 45) < 1.5)].mean() > 4 * image[ring & (angle > 15) & (angle < 30)].mean()


def test_jwst_has_eighteen_segments() -> None:
    area = pupil(replace(JWST, struts=()), 512).sum() / 512**2 * 6.6**2
    assert area == pytest.approx(18 * np.sqrt(3) / 2 * 1.32**2, rel=0.01)


def test_a_file_takes_the_place_of_the_optics(tmp_path: Path) -> None:
    y, x = np.indices((41, 45))
    gaussian = np.exp(-0.5 * ((y - 20) ** 2 / 3**2 + (x - 21) ** 2 / 4**2))
    fits.writeto(tmp_path / "psf.fits", 7 * gaussian)
    band = replace(PRESETS["candels-deep"].bands[0], psf=str(tmp_path / "psf.fits"))
    image = psf_image(band, 0.06, 64)
    np.testing.assert_allclose(image[12:53, 11:56], gaussian / gaussian.sum(), atol=1e-5)
    for name, data in {"nan.fits": np.full((5, 5), np.nan), "row.fits": np.ones(5)}.items():
        fits.writeto(tmp_path / name, data)
        with pytest.raises(StarnetError, match=name):
            otf(replace(band, psf=str(tmp_path / name)), 0.06, 64)
    with pytest.raises(StarnetError, match="nowhere"):
        otf(replace(band, psf=str(tmp_path / "nowhere.fits")), 0.06, 64)
