"""The weights that `starnet fetch` knows by name."""

from __future__ import annotations

from dataclasses import dataclass

_META = "https://dl.fbaipublicfiles.com/segment_anything/"


@dataclass(frozen=True)
class Weights:
    """A published file of weights.

    Parameters
    ----------
    url : str
        Where its makers put it.
    sha256 : str
        Of the file, in hexadecimal.
    size : int
        Of the file, in bytes.
    licence : str
        SPDX identifier.
    network : str
        Which of `starnet.networks.NETWORKS` they fill.
    """

    url: str
    sha256: str
    size: int
    licence: str
    network: str

    @property
    def file_name(self) -> str:
        """Name of the file, as its makers gave it."""
        return self.url.rpartition("/")[2]


# Segment Anything (Kirillov et al. 2023). The names end in the first digits of the files' MD5.
KNOWN = {
    "sam-vit-b": Weights(
        url=f"{_META}sam_vit_b_01ec64.pth",
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        size=375_042_383,
        licence="Apache-2.0",
        network="vit_b",
    ),
    "sam-vit-l": Weights(
        url=f"{_META}sam_vit_l_0b3195.pth",
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        size=1_249_524_607,
        licence="Apache-2.0",
        network="vit_l",
    ),
    "sam-vit-h": Weights(
        url=f"{_META}sam_vit_h_4b8939.pth",
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        size=2_564_550_879,
        licence="Apache-2.0",
        network="vit_h",
    ),
}
