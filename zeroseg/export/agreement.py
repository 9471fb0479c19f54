"""How far a file answers as the model that it was made of: label maps of pictures, pixel by pixel."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxtyping import Int
from torch import Tensor
from tqdm import tqdm

from zeroseg.errors import InputError
from zeroseg.export.description import LIMITS, Precision

Labels = Callable[[Tensor], Int[Tensor, "height width"]]
"""Of the pixels of a picture."""


class Agreement(NamedTuple):
    """Pixels that were compared, and those whose label differs."""

    pixels: int
    differing: int

    @property
    def share(self) -> float:
        """Of pixels that differ."""
        return self.differing / max(1, self.pixels)

    def check(self, precision: Precision) -> None:
        """Raises InputError for more than the precision's limit of `LIMITS`."""
        if self.share > LIMITS[precision]:
            raise InputError(
                f"{100 * self.share:.2f} % of {self.pixels} pixels have another label than torch's, the "
                f"limit of {precision} is {100 * LIMITS[precision]:g} %: nothing is written"
                + ("" if precision == "fp32" else ", choose a higher --precision")
            )


def agreement(torchs: Labels, files: Labels, pictures: Sequence[Tensor]) -> Agreement:
    """Compare the label maps of pictures by two models."""
    pixels = differing = 0
    for picture in tqdm(pictures, desc="compare with torch", unit="picture"):
        found = files(picture)
        pixels += found.numel()
        differing += int((torchs(picture) != found).sum())
    return Agreement(pixels, differing)
