"""Inputs as the user writes them, and the weight and quality planes that belong to an image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starnet.errors import StarnetError
from starnet.instruments import Instrument
from starnet.io.hdus import Hdu, find_hdu, is_fits, open_plane, read_hdus, read_head, science_hdu
from starnet.io.planes import Plane, label

#: What a plane of noise holds: ``weight`` and ``ivar`` are inverse variances, the former often but relative ones.
WeightKind = Literal["weight", "ivar", "err", "var"]

#: EXTNAMEs, and endings of file names, in the order of preference.
WEIGHT_NAMES: dict[str, WeightKind] = {
    "WHT": "weight",
    "WEIGHT": "weight",
    "WGT": "weight",
    "IVAR": "ivar",
    "INVVAR": "ivar",
    "ERR": "err",
    "ERROR": "err",
    "RMS": "err",
    "SIGMA": "err",
    "UNCERT": "err",
    "VAR": "var",
    "VARIANCE": "var",
}
FLAG_NAMES = ("DQ", "MASK", "MSK", "FLG", "FLAG", "FLAGS")

_SCIENCE_WORDS = frozenset({"sci", "drz", "drc", "img", "image", "i2d", "science", "bgsub"})
_ENDINGS = re.compile(r"(?i)(\.(fits?|fts))(\.(gz|fz|bz2|xz))?$")


@dataclass(frozen=True)
class Source:
    """One input of the user: ``NAME=path.fits[EXTNAME,version][plane]``, all but the path optional."""

    path: Path
    name: str | None = None
    hdu: str | None = None
    plane: int | None = None

    @classmethod
    def parse(cls, text: str | Path) -> Source:
        """Take an input apart.

        A file of exactly that name wins; so does the longest path that exists, where ``=`` or brackets are part of it.

        Raises
        ------
        StarnetError
            If there are more brackets than an HDU and a plane of it need.
        """
        text = str(text)
        readings = list(cls._readings(text))
        source = next((reading for reading in readings if reading.path.is_file()), None)
        if source is not None:
            return source
        # No such file: the plainest reading is the one to complain about.
        name, _, rest = text.partition("=") if re.match(r"[\w.+-]+=", text) else ("", "", text)
        path = re.sub(r"(\[[^][]*\])+$", "", rest)
        brackets = re.findall(r"\[([^][]*)\]", rest[len(path) :])
        if len(brackets) > 2 or (len(brackets) == 2 and not brackets[1].isdigit()):
            raise StarnetError(f"{text} has more in brackets than HDU and plane: write {path}[SCI] or {path}[SCI][0]")
        return cls(Path(path), name or None, (brackets or [""])[0] or None)

    @classmethod
    def _readings(cls, text: str) -> Iterator[Source]:
        """All ways to read a text: names as short and paths as long as may be first."""
        starts = [0, *(m.end() for m in re.finditer("=", text))]
        for start in starts:
            name, rest = text[: max(0, start - 1)] or None, text[start:]
            yield cls(Path(rest), name)
            if m := re.fullmatch(r"(.+)\[([^][]+)\]", rest):
                yield cls(Path(m[1]), name, m[2].strip())
            if m := re.fullmatch(r"(.+)\[([^][]+)\]\[(\d+)\]", rest):
                yield cls(Path(m[1]), name, m[2].strip(), int(m[3]))


@dataclass(frozen=True)
class Weight:
    """The plane from which the noise of a band is known.

    Attributes
    ----------
    kind : {"weight", "ivar", "err", "var"}
        What its pixels are.
    plane : Plane
        Their reader.
    """

    kind: WeightKind
    plane: Plane

    @property
    def path(self) -> Path:
        """File it lies in."""
        return self.plane.path

    @property
    def hdu(self) -> str:
        """HDU it lies in."""
        return self.plane.hdu


@dataclass(frozen=True)
class Flags:
    """The quality plane of a band: `bad` bits spoil a pixel, `saturated` ones say that it is saturated."""

    plane: Plane
    bad: int
    saturated: int


def find_weight(science: Hdu, plane: Plane, hdus: list[Hdu], instrument: Instrument | None) -> Weight | None:
    """Weight map, error or variance plane of an image, beside it in its file or in a file beside it.

    Raises
    ------
    StarnetError
        If it is there but cannot be used.
    """
    names = [*(instrument.weights if instrument is not None else ()), *WEIGHT_NAMES]
    found = _extension(science, hdus, names) or _neighbour(science, names)
    if found is None:
        return None
    hdu, name = found
    weight = Weight(WEIGHT_NAMES[name], open_plane(hdu))
    check_shape(weight.plane, plane)
    return weight


def find_flags(science: Hdu, plane: Plane, hdus: list[Hdu], instrument: Instrument | None) -> Flags | None:
    """Quality plane of an image, like `find_weight`.

    Its bits are those that its header names (``MP_SAT`` = 1 and so on, LSST pipelines), else the instrument's;
    without either, any bit spoils a pixel.
    """
    found = _extension(science, hdus, FLAG_NAMES) or _neighbour(science, FLAG_NAMES)
    if found is None:
        return None
    hdu, _ = found
    reader = open_plane(hdu)
    check_shape(reader, plane)
    named = {key[3:]: 1 << int(hdu.header[key]) for key in hdu.header if key.startswith("MP_")}
    if named:
        return Flags(reader, named.get("BAD", 0) | named.get("NO_DATA", 0), named.get("SAT", 0))
    if instrument is not None and instrument.bad_bits is not None:
        return Flags(reader, instrument.bad_bits, instrument.saturated_bits)
    return Flags(reader, -1, 0)


def open_weight(text: str | Path, plane: Plane) -> Weight:
    """Weight plane that the user names: ``path[HDU]`` or ``kind=path[HDU]``, such as ``rms=noise.fits``.

    Without a kind, the HDU or the name of the file tells, else it is a weight map.

    Raises
    ------
    StarnetError
        If it cannot be used, or the kind is unknown.
    """
    source = Source.parse(text)
    hdus = read_fits(source.path)
    hdu = science_hdu(hdus, tuple(WEIGHT_NAMES)) if source.hdu is None else find_hdu(hdus, source.hdu)
    kinds = {name.lower(): kind for name, kind in WEIGHT_NAMES.items()}
    if source.name is not None and source.name.lower() not in kinds:
        raise StarnetError(f"{source.name}={source.path} is no kind of weight: write one of {', '.join(kinds)}")
    words = [source.name or "", hdu.name, *reversed(re.split(r"[^A-Za-z0-9]+", source.path.name))]
    kind: WeightKind = next((kinds[word.lower()] for word in words if word.lower() in kinds), "weight")
    weight = Weight(kind, open_plane(hdu, source.plane))
    check_shape(weight.plane, plane)
    return weight


def read_fits(path: Path) -> list[Hdu]:
    """`read_hdus` for what must be FITS."""
    if not is_fits(read_head(path)):
        raise StarnetError(f"{path} is no FITS file: give a FITS file here")
    return read_hdus(path)


def check_shape(plane: Plane, science: Plane) -> None:
    """Refuse a companion of another shape than its image."""
    if plane.shape != science.shape:
        raise StarnetError(
            f"{label(plane)} is {_size(plane)} pixels, but the image it belongs to, {label(science)}, is "
            f"{_size(science)}: give the right one with --weights, or leave it out with --weights none"
        )


def _size(plane: Plane) -> str:
    return f"{plane.shape[1]} x {plane.shape[0]}"


def _extension(science: Hdu, hdus: list[Hdu], names: list[str] | tuple[str, ...]) -> tuple[Hdu, str] | None:
    """HDU of the same file that has one of these names, and the same version and detector (``3-4-F.SCI``)."""
    detector = science.name.rpartition(".")[0]
    for name in names:
        wanted = f"{detector}.{name}" if detector else name
        for hdu in hdus:
            if hdu.name == wanted and hdu.version == science.version and hdu.kind != "empty" and hdu != science:
                return hdu, name
    return None


def _neighbour(science: Hdu, names: list[str] | tuple[str, ...]) -> tuple[Hdu, str] | None:
    """HDU of a file beside: the one of the same index if it is built alike, else of that name, else the first image."""
    for name in names:
        for path in _neighbours(science.path, name.lower()):
            if path != science.path and path.is_file():
                hdus = read_fits(path)
                if len(hdus) > science.index > 0 and hdus[science.index].kind == science.kind:
                    return hdus[science.index], name
                return science_hdu(hdus, (name,)), name
    return None


def _neighbours(path: Path, name: str) -> Iterator[Path]:
    """Names that a companion may have: ``a_wht``, ``a.wht``, ``a-wht`` of ``a``; ``a_wht`` of ``a_drz`` or the like."""
    match = _ENDINGS.search(path.name) or re.search(r"(?i)\.fz$|$", path.name)
    assert match is not None
    stem, ending = path.name[: match.start()], match.group()
    pieces = re.split(r"([._-])", stem)
    stems = [
        "".join([*pieces[:i], name.upper() if piece.isupper() else name, *pieces[i + 1 :]])
        for i, piece in enumerate(pieces)
        if piece.lower() in _SCIENCE_WORDS and i
    ]
    stems += [f"{stem}{mark}{name}" for mark in "_.-"]
    for candidate in stems:
        for end in dict.fromkeys((ending, ".fits", ".fits.gz", ".fits.fz", ".fit")):
            yield path.with_name(candidate + end)
