"""Own context: a patch's embedding, and what the image around it says on the whole (ours).

A dense reading of a CLIP knows parts better than things. The mean over the image's own patches, and over
the quarter that a patch lies in, costs nothing more and adds what the thing is.
"""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def with_context(
    patches: Float[Tensor, "batch visible embed"],
    visible: Int[Tensor, "batch visible"],
    grid: tuple[int, int],
    shares: tuple[float, float],
) -> Float[Tensor, "batch visible embed"]:
    """Patch embeddings, plus a share of the image's mean and one of the quarter's, as long as they.

    Means are of unit patches, and brought to unit length, times the patch's own. `shares` (0, 0) gives
    the patches back as they are. A middle row or column of an odd grid belongs to the lower or right
    quarters.
    """
    whole, quarters = shares
    if not whole and not quarters:
        return patches
    unit = F.normalize(patches, dim=-1)
    context = whole * F.normalize(unit.mean(dim=1, keepdim=True), dim=-1)
    if quarters:
        rows, columns = grid
        row = visible // columns
        column = visible - row * columns
        quarter = 2 * (2 * row + 1 >= rows).long() + (2 * column + 1 >= columns).long()
        members = F.one_hot(quarter, 4).to(patches)
        means = F.normalize(members.mT @ unit, dim=-1)
        context = context + quarters * (members @ means)
    return patches + patches.norm(dim=-1, keepdim=True) * context
