"""The run lengths in which Label Studio keeps what was brushed.

Facts from rle-pack (thi-ng/umbrella), which Label Studio writes with: a stream of bits, the highest of a
byte first. It begins with 32 bits, how many values; 5 bits, the bits of a value less one; and four times
4 bits, the bits of a length less one. Blocks follow until all values are there: a bit that says whether
one value is repeated or each stands for itself, 2 bits that choose the width of the length, the length
less one, then the value or the values. They are red, green, blue and alpha, pixel by pixel, row by row;
what is brushed has alpha.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

CHANNELS = 4


@dataclass
class Bits:
    """A stream of bits, read from the front."""

    digits: str
    """Each bit as 0 or 1."""
    place: int = 0

    def number(self, width: int) -> int:
        """The number that the next bits are. Raises ValueError at the end."""
        digits = self.digits[self.place : self.place + width]
        if len(digits) < width:
            raise ValueError("brush strokes end too early")
        self.place += width
        return int(digits, 2)


def brushed(data: bytes, size: tuple[int, int]) -> Bool[ndarray, "height width"]:
    """Where a picture of so many columns and rows is brushed.

    Raises ValueError when the values end too early, or are not those of so many pixels.
    """
    width, height = size
    bits = Bits((np.unpackbits(np.frombuffer(data, np.uint8)) + ord("0")).tobytes().decode("ascii"))
    if (count := bits.number(32)) != width * height * CHANNELS:
        raise ValueError(
            f"brush strokes are {count} values, not {CHANNELS} of {width}x{height} pixels"
        )
    value_width = bits.number(5) + 1
    length_widths = [bits.number(4) + 1 for _ in range(4)]
    values = np.zeros(count, bool)
    start = 0
    while start < count:
        repeated = bits.number(1)
        end = start + 1 + bits.number(length_widths[bits.number(2)])
        if end > count:
            raise ValueError("brush strokes go on behind the last pixel")
        if repeated:
            values[start:end] = bits.number(value_width) > 0
        else:
            values[start:end] = [bits.number(value_width) > 0 for _ in range(start, end)]
        start = end
    return values.reshape(height, width, CHANNELS)[..., CHANNELS - 1]
