"""How large an AVIF's pictures are by their own headers: its container may give another size."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["coded_sizes"]

# Where an AV1 sequence header is found (AV1, section 5.5; AV1-ISOBMFF, section 2.3): at the start of the
# pictures' data, perhaps behind a temporal delimiter, or in the configuration box. 0x0A: its type; its size
# follows. Elsewhere these bytes stand by chance: in one AVIF of 1 MB in seventeen.
_SEQUENCE_HEADER = re.compile(rb"(?:mdat|mdat\x12\x00|av1C....)\x0a([\x01-\x7f])", re.DOTALL)


class _Bits:
    """Reads unsigned numbers of so many bits, as AV1's f(n)."""

    def __init__(self, data: bytes) -> None:
        self.number, self.left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        self.left -= count
        return (self.number >> max(self.left, 0)) & ((1 << count) - 1)


def coded_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Width and height in pixels of each sequence header that is found."""
    for match in _SEQUENCE_HEADER.finditer(data):
        bits = _Bits(data[match.end() : match.end() + match[1][0]])
        bits.take(4)  # profile, still picture
        if bits.take(1):  # a reduced header
            bits.take(5)
        elif bits.take(1):  # timing, which pictures do not have
            continue
        else:
            delays = bits.take(1)
            for _ in range(bits.take(5) + 1):  # operating points
                bits.take(12)
                if bits.take(5) > 7:
                    bits.take(1)
                if delays and bits.take(1):
                    bits.take(4)
        width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
        width, height = bits.take(width_bits) + 1, bits.take(height_bits) + 1
        if bits.left >= 0:
            yield width, height
