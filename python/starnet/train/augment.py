"""Augmentation: samples turned, moved, made noisier, their truth with them.

The published recipe's list is the preset ``report``; a sky's own is ``sky``. Pixels are interpolated in linear units,
bilinearly; labels and valid pixels by the nearest. What comes from outside the frame, and what is dropped out, is 0,
not valid, and belongs to no object. A piece of an object of fewer than 4 pixels that a cut has left is not valid
either; larger ones keep their object. Nor are objects whose signal to noise is less than 3 in every band that is left,
where a sample was made shallower, noisier or blurred, or has lost bands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from kornia.geometry.transform import get_affine_matrix2d, hflip, vflip, warp_affine
from torch import Generator, Tensor

from starnet.train import sky
from starnet.train.augmentations import AugmentationConfig, Chance, CoarseDropout, HotPixels, config_from
from starnet.train.cuts import sunken, without_crumbs
from starnet.train.sky import uniform

Batch = dict[str, Tensor]
_T = TypeVar("_T", bound=Chance)


class View(NamedTuple):
    """One sample: pixels ``(nband, ny, nx)``, labels and valid ``(ny, nx)``."""

    pixels: Tensor
    labels: Tensor
    valid: Tensor


_LINEAR = ("blur", "depth", "noise", "background")
_CUTS = ("rotation", "scale", "shift", "crop", "coarse_dropout")


class Augmentation:
    """Changes batches; what it draws comes from a generator alone, the same for any number of threads.

    Parameters
    ----------
    config : AugmentationConfig
        What it does.
    recipe : {"noise", "seed"}
        How the images were made: asinh of noise units, or 0 to 1.
    stretch : tuple of float
        Values of a ``noise`` image that are shown black and white, for `gamma` and `brightness`; ``seed`` images are
        shown as they are.

    Raises
    ------
    ValueError
        If noise units are asked for that the recipe does not have.
    """

    def __init__(
        self,
        config: AugmentationConfig,
        *,
        recipe: Literal["noise", "seed"] = "noise",
        stretch: tuple[float, float] = (-1.0, 5.0),
    ) -> None:
        if recipe not in ("noise", "seed"):
            raise ValueError(f"recipe={recipe!r} is unknown; choose noise, seed")
        physical = [name for name in config.active if name in (*_LINEAR, "hot_pixels")]
        if recipe == "seed" and physical:
            raise ValueError(f"augmentation.{physical[0]} needs noise units, which 'seed' has not: leave it out")
        self.config, self.recipe = config, recipe
        self.stretch = stretch if recipe == "noise" else (0.0, 1.0)

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[str, Any],
        *,
        recipe: Literal["noise", "seed"] = "noise",
        stretch: tuple[float, float] = (-1.0, 5.0),
    ) -> Augmentation:
        """From YAML's ``augmentation:``.

        Parameters
        ----------
        mapping : mapping
            Parameters by the name of the augmentation: true or an empty mapping for the defaults, false or null for
            none of it. ``preset``, ``report`` or ``sky`` or a list of both, is what it begins with.
        recipe, stretch
            As of the class.

        Raises
        ------
        ValueError
            If a name or a parameter is unknown, or a value out of its range.
        """
        return cls(config_from(mapping), recipe=recipe, stretch=stretch)

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """A changed batch.

        Parameters
        ----------
        batch : dict of Tensor
            ``pixels`` float32 ``(n, nband, s, s)``, ``labels`` int64 and ``valid`` bool ``(n, s, s)``, on the CPU.
            Other keys are left out, since they may not hold any more.
        generator : Generator
            All random choices.

        Returns
        -------
        dict of Tensor
            The same keys. Labels are numbered from 1 without gaps.
        """
        samples = zip(batch["pixels"], batch["labels"], batch["valid"], strict=True)
        views = [self._changed(View(*sample), generator) for sample in samples]
        return {name: torch.stack([getattr(view, name) for view in views]) for name in View._fields}

    def _changed(self, view: View, generator: Generator) -> View:
        config = self.config

        def now(chance: _T | None) -> _T | None:
            return chance if chance is not None and uniform(generator, 0, 1) < chance.probability else None

        if now(config.horizontal_flip):
            view = View(*map(hflip, view))
        if now(config.vertical_flip):
            view = View(*map(vflip, view))
        if now(config.rot90):
            turns = int(torch.randint(1, 4, (), generator=generator))
            view = View(*(torch.rot90(one, turns, (-2, -1)) for one in view))
        angle = _drawn(generator, rotation.degrees) if (rotation := now(config.rotation)) else 0.0
        scale = 1 + _drawn(generator, scaling.part) if (scaling := now(config.scale)) else 1.0
        shift = [0.0, 0.0]
        if shifting := now(config.shift):
            shift = [_drawn(generator, shifting.part) * side for side in view.labels.shape[::-1]]
        if (angle, scale, shift) != (0.0, 1.0, [0.0, 0.0]):
            view = self._moved(view, angle, scale, shift, generator)
        if crop := now(config.crop):
            view = _cropped(view, crop.part, generator)
        loss = now(config.band_dropout)
        if loss is not None:
            view = view._replace(pixels=sky.drop_bands(view.pixels, loss.part, generator))
        chosen = [name for name in _LINEAR if now(getattr(config, name)) is not None]
        if chosen or (loss is not None and self.recipe == "noise"):
            view = self._physical(view, chosen, generator)
        if hot := now(config.hot_pixels):
            view = _heated(view, hot, generator)
        pixels, (low, high) = view.pixels, self.stretch
        if bend := now(config.gamma):
            shown = (pixels - low) / (high - low)
            power = 1 + _drawn(generator, bend.change)
            bent = low + (high - low) * shown.clamp(0, 1) ** power
            pixels = torch.where((shown > 0) & (shown < 1) & (pixels != 0), bent, pixels)
        if glow := now(config.brightness):
            brighter = pixels + _drawn(generator, glow.change) * (high - low)
            pixels = torch.where(pixels == 0, 0.0, brighter.clamp(0, 1) if self.recipe == "seed" else brighter)
        view = view._replace(pixels=pixels)
        if holes := now(config.coarse_dropout):
            view = _dropped(view, holes, generator)
        if any(getattr(config, name) is not None for name in _CUTS):
            labels, valid = without_crumbs(view.labels.numpy(), view.valid.numpy())
            view = view._replace(labels=torch.from_numpy(labels), valid=torch.from_numpy(valid))
        numbers, dense = torch.unique(view.labels, return_inverse=True)
        return view._replace(labels=dense + int(numbers[0] > 0))

    def _moved(self, view: View, angle: float, scale: float, shift: list[float], generator: Generator) -> View:
        """Turned, scaled and shifted at once, and the noise that interpolation has smoothed made 1 again.

        A pixel that is interpolated with the weights ``w`` keeps the variance ``sum w_i w_j r(i - j)`` of noise with
        the correlation ``r``, on average 4/9 of white noise; the rest is added as white noise.
        """
        pixels = view.pixels.sinh() if self.recipe == "noise" else view.pixels
        ny, nx = view.labels.shape
        middle = torch.tensor([[(nx - 1) / 2, (ny - 1) / 2]], dtype=torch.float64)
        factors = torch.full((1, 2), scale, dtype=torch.float64)
        angles = torch.tensor([angle], dtype=torch.float64)
        matrix = get_affine_matrix2d(torch.tensor([shift], dtype=torch.float64), middle, factors, angles)
        flat = torch.cat([(pixels != 0).float(), view.labels[None].float(), view.valid[None].float()])
        forward = matrix[:, :2].float()
        (flat,) = warp_affine(flat[None], forward, (ny, nx), mode="nearest")
        (moved,) = warp_affine(pixels[None], forward, (ny, nx), mode="bilinear")
        moved = torch.where(flat[:-2] > 0, moved, 0.0)
        if self.recipe == "noise":
            own = sky.correlation(pixels, view.valid & (view.labels == 0))
            kept = _kept(np.linalg.inv(matrix[0].numpy()), (ny, nx), own)
            moved = sky.refill(moved, torch.from_numpy(kept.astype(np.float32)), generator).asinh()
        return View(moved, flat[-2].long(), flat[-1] > 0)

    def _physical(self, view: View, chosen: list[str], generator: Generator) -> View:
        """Blur, depth, noise and background, in linear noise units; objects that cannot be seen then are forgotten."""
        config, pixels = self.config, view.pixels.sinh()
        empty = view.valid & (view.labels == 0)
        if config.blur is not None and "blur" in chosen:
            pixels = sky.blur(pixels, uniform(generator, 0.1, max(0.1, config.blur.sigma)), empty, generator)
        if config.depth is not None and "depth" in chosen:
            pixels = sky.shallower(pixels, uniform(generator, 0, config.depth.magnitudes), generator)
        if config.noise is not None and "noise" in chosen:
            smooth = uniform(generator, 0, 1) >= config.noise.white
            length = uniform(generator, 0.3, max(0.3, config.noise.correlation)) if smooth else 0.0
            bands = [
                sky.add_noise(band[None], uniform(generator, 0, config.noise.sigma), length, generator)
                for band in pixels
            ]
            pixels = torch.cat(bands)
        if chosen != ["background"]:
            lost = torch.from_numpy(sunken(pixels.numpy(), view.labels.numpy()))
            view = view._replace(valid=view.valid & ~lost, labels=torch.where(lost, 0, view.labels))
        if config.background is not None and "background" in chosen:
            drawn = 2 * torch.rand((len(pixels), 3), generator=generator) - 1
            pixels = sky.offset(pixels, config.background.level * drawn[:, 0], config.background.slope * drawn[:, 1:])
        return view._replace(pixels=pixels.asinh()) if chosen else view


def _drawn(generator: Generator, most: float) -> float:
    return uniform(generator, -most, most)


def _cropped(view: View, part: float, generator: Generator) -> View:
    ny, nx = view.labels.shape
    side = min(max(32, int(part * min(ny, nx)) // 32 * 32), ny, nx)
    y, x = (int(torch.randint(0, n - side + 1, (), generator=generator)) for n in (ny, nx))
    return View(*(one[..., y : y + side, x : x + side].contiguous() for one in view))


def _heated(view: View, chosen: HotPixels, generator: Generator) -> View:
    """With single pixels of the sky that are as bright as a star and of no object."""
    sky_pixels = torch.nonzero(view.valid & (view.labels == 0))
    if not len(sky_pixels) or chosen.pixels < 1:
        return view
    pixels = view.pixels.clone()
    for _ in range(int(torch.randint(1, int(chosen.pixels) + 1, (), generator=generator))):
        y, x = sky_pixels[int(torch.randint(0, len(sky_pixels), (), generator=generator))].tolist()
        height = math.exp(uniform(generator, math.log(5), math.log(max(5.0, chosen.height))))
        alone = uniform(generator, 0, 1) < 0.5
        bands = slice(None) if not alone else int(torch.randint(0, len(pixels), (), generator=generator))
        own = pixels[bands, y, x]
        pixels[bands, y, x] = torch.where(own == 0, 0.0, (own.sinh() + height).asinh())
    return view._replace(pixels=pixels)


def _dropped(view: View, chosen: CoarseDropout, generator: Generator) -> View:
    """Without the pixels of some squares; they are invalid, and the objects there lose them."""
    kept = torch.ones(view.labels.shape, dtype=torch.bool)
    for _ in range(int(torch.randint(1, int(chosen.holes) + 1, (), generator=generator)) if chosen.holes >= 1 else 0):
        ny, nx = kept.shape
        side = max(1, round(uniform(generator, 0, chosen.part) * min(ny, nx)))
        y, x = (int(torch.randint(0, n - side + 1, (), generator=generator)) for n in (ny, nx))
        kept[y : y + side, x : x + side] = False
    return View(torch.where(kept, view.pixels, 0.0), torch.where(kept, view.labels, 0), view.valid & kept)


def _kept(inverse: Any, shape: tuple[int, int], own: Any) -> Any:
    """Variance of the noise, 1 before, of each pixel after bilinear interpolation, ``(nband, ny, nx)``."""
    y, x = np.indices(shape)
    fx = (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]) % 1
    fy = (inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]) % 1
    (x0, x1), (y0, y1) = ((f**2 + (1 - f) ** 2, 2 * f * (1 - f)) for f in (fx, fy))
    c = own.shape[-1] // 2
    one = own[:, :, :, None, None]
    diagonal = (one[:, c + 1, c + 1] + one[:, c + 1, c - 1]) / 2
    return x0 * y0 + x1 * y0 * one[:, c, c + 1] + x0 * y1 * one[:, c + 1, c] + x1 * y1 * diagonal
