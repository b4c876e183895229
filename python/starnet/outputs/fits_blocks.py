"""FITS in blocks of 2880 bytes: what astropy's HDUs, which hold their data whole, cannot write in a stream."""

from __future__ import annotations

import re

import numpy as np
from astropy.io import fits

BLOCK = 2880

# Cards that describe how an array or a table is stored. A header taken from another file must not bring its own.
_STRUCTURE = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|BLOCKED|GROUPS|PCOUNT|GCOUNT|TFIELDS|THEAP|END|INHERIT"
    r"|T(TYPE|FORM|UNIT|NULL|SCAL|ZERO|DISP|DIM|BCOL|COMM)\d+"
    r"|Z(IMAGE|SIMPLE|TENSION|EXTEND|BLOCKED|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TILE\d+|CMPTYPE|NAME\d+|VAL\d+|MASKCMP|QUANTIZ"
    r"|DITHER0|SCALE|ZERO|BLANK|HECKSUM|DATASUM)"
    r"|BSCALE|BZERO|BLANK|BUNIT|DATAMIN|DATAMAX|DATE|CHECKSUM|DATASUM|EXTNAME|EXTVER|EXTLEVEL"
)


def descriptive_cards(header: fits.Header | None) -> list[fits.Card]:
    """Cards of a header that stay true for another array on the same pixels: WCS, observation, comments.

    Left out are those that say how the data are stored, scaled or checked, and ``DATE``, so that the same data make the
    same bytes.
    """
    return [] if header is None else [card for card in header.cards if not _STRUCTURE.fullmatch(card.keyword)]


def padding(size: int) -> int:
    """Bytes that are missing to whole blocks."""
    return -size % BLOCK


def datasum(data: bytes | memoryview, total: int = 0) -> int:
    """Add `data`, whole 4-byte words except at the very end of an HDU, to a 32-bit ones' complement sum.

    References
    ----------
    FITS Standard 4.0, appendix J.
    """
    words = np.frombuffer(bytes(data) + bytes(-len(data) % 4), dtype=">u4")
    total += int(words.sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def header_bytes(header: fits.Header, data_sum: int | None = None) -> bytes:
    """Serialize a header; with the sum of its data, sign it with ``DATASUM`` and ``CHECKSUM``.

    References
    ----------
    FITS Standard 4.0, appendix J.
    """
    if data_sum is None:
        return _encode(header)
    header = header.copy()
    header["DATASUM"] = (str(data_sum), "checksum of the data")
    header["CHECKSUM"] = ("0" * 16, "checksum of the HDU")
    header["CHECKSUM"] = _encode_checksum(datasum(_encode(header), data_sum))
    return _encode(header)


def _encode(header: fits.Header) -> bytes:
    text: str = header.tostring()
    return text.encode("ascii")


def _encode_checksum(total: int) -> str:
    """Write the complement of a sum in 16 letters and digits, such that the HDU that holds them sums to zero."""
    punctuation = b":;<=>?@[\\]^_`"
    columns = []
    for byte in (~total & 0xFFFFFFFF).to_bytes(4, "big"):
        quotient, remainder = divmod(byte, 4)
        letters = [quotient + remainder + 48, quotient + 48, quotient + 48, quotient + 48]
        # Moving one from a letter of a pair to the other leaves the sum and leaves, in time, the punctuation.
        while any(letter in punctuation for letter in letters):
            for i in (0, 2):
                if letters[i] in punctuation or letters[i + 1] in punctuation:
                    letters[i] += 1
                    letters[i + 1] -= 1
        columns.append(letters)
    text = "".join(chr(columns[i][j]) for j in range(4) for i in range(4))
    return text[-1] + text[:-1]
