"""Fields of a survey as the pictures that are made of them for the eye."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from starnet.networks.geometry import grouped

#: Names of channels that are made of bands.
CHANNELS = ("red", "green", "blue")
# Ranges that each picture draws from, evenly in the logarithm: levels that one sigma of the noise takes up, sigma at
# which the scale turns from linear to logarithmic, levels of the sky, and the quality of the JPEG. They hold the
# picture of the Hubble eXtreme Deep Field that `starnet demo` segments.
_STEP = (2.0, 8.0)
_SOFTENING = (3.0, 300.0)
_SKY = (4.0, 30.0)
_QUALITY = (85.0, 98.0)


def rendered(snr: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Bands as a colour picture of 8 bits that was kept as JPEG.

    The three channels, each in units of its noise, are scaled by ``asinh``, which keeps bright sources below 255 and
    the sky above 0 (Lupton et al. 2004, PASP 116, 133), up to what is clipped there.

    Parameters
    ----------
    snr : ndarray of float32, shape (nband, ny, nx)
        Without sky, in units of the noise of a pixel; 0 where nothing is known.
    rng : Generator
        Draws scale, sky and quality.

    Returns
    -------
    ndarray of uint8, shape (3, ny, nx)
        Red, green and blue, from the first bands to the last.
    """
    step, softening, sky, quality = np.exp(rng.uniform(*np.log([_STEP, _SOFTENING, _SKY, _QUALITY]).T))
    channels = np.tensordot(grouped(len(snr)), snr, axes=1)
    levels = sky + step * softening * np.arcsinh(channels / softening)
    picture = Image.fromarray(np.rint(levels.clip(0, 255)).astype(np.uint8).transpose(1, 2, 0), "RGB")
    file = BytesIO()
    picture.save(file, "JPEG", quality=round(quality))
    return np.ascontiguousarray(np.asarray(Image.open(file)).transpose(2, 0, 1))
