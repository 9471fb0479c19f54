"""Neck: between a trunk and the head, where the two differ in width."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from zeroseg.models.vit import sin_cos_positions


class Neck(nn.Module):
    """A trunk's features as tokens of the head's width, which know where they lie (ours).

    A linear map, plus half a sine-cosine position: what a trunk made for another task knows of places
    need not be what grouping wants to know.
    """

    def __init__(self, feature_width: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_width, width)

    def forward(
        self,
        features: Float[Tensor, "batch visible feature"],
        visible: Int[Tensor, "batch visible"],
        grid: tuple[int, int],
    ) -> Float[Tensor, "batch visible width"]:
        """Tokens of the head."""
        tokens = self.linear(features)
        positions = sin_cos_positions(tokens.shape[-1], *grid).to(tokens)[0]
        return tokens + 0.5 * positions[visible]
