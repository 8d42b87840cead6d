"""What the markers of a JPEG say without decoding it: how many scans it has, and whether it ends."""

from __future__ import annotations

import re

from ..errors import ImageError
from .limits import MAX_PIXELS

__all__ = ["END", "check_scans", "lacks_end"]

END = b"\xff\xd9"
"""The marker that ends a JPEG (ISO/IEC 10918-1, table B.1)."""

_SOI, _SOS, _EOI, _TEM = 0xD8, 0xDA, 0xD9, 0x01
# Among coded data, 0xFF is followed by 0 or by one of the restart markers D0 to D7.
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")

# Each scan of a progressive JPEG goes over all of the photo again, however few bytes it has: 0.1 s for 89
# million pixels. libjpeg's own script has ten scans (jpeg_simple_progression); twice as many are allowed at
# the largest size, and more in smaller photos, so that none takes longer.
_MAX_SCANNED = 20 * MAX_PIXELS


def _first_scan(data: bytes) -> int:
    """Where the first scan begins, behind all headers and what they hold; -1 where there is none."""
    at = 2
    while match := _MARKER.search(data, at):
        code, at = match[1][0], match.end()
        if code == _SOS:
            return at
        if code not in (_SOI, _TEM):
            at += int.from_bytes(data[at : at + 2], "big")
    return -1


def _scans(data: bytes) -> int:
    """How many scans the first picture has."""
    at, scans = _first_scan(data), 1
    while match := _MARKER.search(data, at):
        code, at = match[1][0], match.end()
        if code == _EOI:
            break
        scans += code == _SOS
        at += int.from_bytes(data[at : at + 2], "big")
    return scans


def check_scans(data: bytes, pixels: int) -> None:
    """Raise ImageError where decoding would go over the photo too many times."""
    most = max(_MAX_SCANNED // max(pixels, 1), 1)
    if data.count(bytes((0xFF, _SOS))) > most and (scans := _scans(data)) > most:  # counting is quick
        raise ImageError(
            None,
            f"{scans} scans, more than the {most} that are decoded in a photo of its size; an ordinary "
            "progressive JPEG has ten, so save it again",
        )


def lacks_end(data: bytes) -> bool:
    """Whether the bytes are those of a JPEG with a picture, and its end marker is missing."""
    if not data.startswith(b"\xff\xd8\xff") or data.endswith(END):  # of most photos, at once
        return False
    start = _first_scan(data)
    return start >= 0 and data.find(END, start) < 0  # coded data have a 0 behind each 0xFF
