"""Decoder: paints the patches that the student did not see (paper, section 3.1; MAE's)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zeroseg.models.vit import Blocks, sin_cos_positions


class Decoder(nn.Module):
    """MAE's decoder: sees the visible tokens and a mask token everywhere else, paints every patch."""

    def __init__(
        self, *, token_width: int, patch_size: int, width: int, depth: int, num_heads: int
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(token_width, width)
        self.mask_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.blocks = Blocks(depth, width, num_heads)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.paint = nn.Linear(width, 3 * patch_size**2)

    def forward(
        self,
        tokens: Float[Tensor, "batch visible token_width"],
        visible: Int[Tensor, "batch visible"],
        rows: int,
        columns: int,
    ) -> Float[Tensor, "batch patch pixel"]:
        """Predict the normalised pixels of every patch."""
        seen = self.embed(tokens)
        canvas = self.mask_token.to(seen.dtype).expand(len(seen), rows * columns, -1)
        canvas = canvas.scatter(1, visible[..., None].expand(-1, -1, seen.shape[-1]), seen)
        positions = sin_cos_positions(seen.shape[-1], rows, columns).to(seen)
        return self.paint(self.norm(self.blocks(canvas + positions))).float()
