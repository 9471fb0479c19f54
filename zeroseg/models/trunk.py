"""Trunk: what turns an image into tokens. Every kind of it is a module below `Trunk`.

The student asks it for tokens of the patches that it may see, and nothing else: class and register
tokens stay inside.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zeroseg.errors import InputError

Part = Literal["patch_embedding", "positions", "registers", "block", "rest"]
Statistics = tuple[float, float, float]
"""Of the red, the green and the blue of pixels."""


class TrunkOutput(NamedTuple):
    """What a trunk says of the visible patches."""

    tokens: Float[Tensor, "batch visible feature"]
    embeddings: Float[Tensor, "batch visible embed"] | None = None
    """In the teacher's space, of a trunk that is a CLIP's image tower. Of any length: where patches are
    averaged, a longer one counts for more, which a student learns to use."""


class Trunk(nn.Module):
    """An image's tokens, each of a square of `patch_size` pixels."""

    mean: Float[Tensor, "1 3 1 1"]
    std: Float[Tensor, "1 3 1 1"]
    patch_size: int
    """Pixels a side of what one token stands for; the total stride of a convolutional model."""
    width: int
    """Of the model, which the student's head takes over unless told otherwise."""
    feature_width: int
    """Of the tokens that it gives out, which may be several of its layers side by side."""
    embed_dim: int | None = None
    """Of `TrunkOutput.embeddings`, where there are any."""
    num_heads: int | None = None
    """Of its attention; None where there is none."""
    depth: int
    """Blocks, one after the other."""
    can_mask = True
    """Whether patches can be left out. A convolutional or hierarchical model needs them all."""

    def __init__(self, mean: Statistics, std: Statistics, *, persistent: bool = False) -> None:
        """`persistent`: the statistics are saved with the weights, as only these know them."""
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            buffer = torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(name, buffer, persistent=persistent)

    @abstractmethod
    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        visible: Int[Tensor, "batch visible"] | None = None,
    ) -> TrunkOutput:
        """Encode the patches named by `visible`, or all of them, of images in [0, 1]."""

    def checkpoint_activations(self) -> None:
        """From now on, what is not of `Blocks` computes its activations again in the backward pass."""

    @abstractmethod
    def part(self, name: str) -> Part:
        """Which part a parameter, by its name in the trunk, belongs to."""

    @abstractmethod
    def layer(self, name: str) -> int:
        """Where a parameter stands: 0 before the blocks, 1 to `depth` in them, `depth` + 1 after."""


@dataclass(frozen=True, kw_only=True)
class Trainable:
    """Which parts of the trunk learn, and how fast beside the rest of the student (ours).

    With `blocks=0` and the others off nothing of it does.
    """

    blocks: int | None = None
    """The last so many; None is all of them."""
    patch_embedding: bool = True
    positions: bool = True
    registers: bool = True
    rest: bool = True
    """Class token, norms outside of blocks, and what follows the blocks."""
    rate: float = 1.0
    """Share of the learning rate."""

    def __post_init__(self) -> None:
        if (self.blocks or 0) < 0 or self.rate <= 0:
            raise InputError(
                f"method.trainable has blocks {self.blocks} and rate {self.rate}: blocks must be at "
                "least 0, the rate greater; what does not learn is switched off by its own field"
            )

    def learns(self, trunk: Trunk, name: str) -> bool:
        """Whether a parameter of the trunk does."""
        part = trunk.part(name)
        if part == "block":
            return self.blocks is None or trunk.layer(name) > trunk.depth - self.blocks
        return getattr(self, part)
