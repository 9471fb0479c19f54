"""ZeroSeg's student (Chen et al., ICCV 2023): a masked ViT whose segment tokens each claim a region.

Three parts: a trunk that sees the visible patches only, a decoder that reconstructs the others, and
a head that groups patches into segments with embeddings in the teacher's space. What the paper
leaves open is a field of `ZeroSegConfig` and says so.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from zeroseg.errors import InputError
from zeroseg.models.context import with_context
from zeroseg.models.decoder import Decoder
from zeroseg.models.grouping import Assignment, SegmentationHead
from zeroseg.models.neck import Neck
from zeroseg.models.readouts import Readout, StudentOutput, cosines, reassigned
from zeroseg.models.timm_trunk import TimmTrunk
from zeroseg.models.tower import CLIPTower
from zeroseg.models.trunk import Trunk
from zeroseg.models.vit import Blocks, ViT, random_patches


@dataclass(frozen=True, kw_only=True)
class ZeroSegConfig:
    """Shape of the student; the defaults are the paper's ViT-Base where it says, else ours."""

    image_size: int = 224
    """Side of training images; at test any multiple of the patch size is welcome."""
    trunk: ViT | TimmTrunk | CLIPTower = field(default_factory=ViT)
    head_width: int | None = None
    """Not stated in the paper: width of the tokens that are grouped; None is the trunk's."""
    head_heads: int | None = None
    """Attention heads of what follows the trunk; None is the trunk's."""
    embed_dim: int = 768
    """Dimension of the teacher's space: 768 for CLIP L/14."""
    mask_ratio: float = 0.6
    """Share of patches hidden in training (paper, Table 5)."""
    decoder_depth: int = 8
    """Layers of the reconstruction decoder; 0 leaves it out."""
    decoder_width: int = 512
    """Not stated; MAE's."""
    decoder_heads: int = 16
    """Not stated; MAE's."""
    head_layers: tuple[int, int, int] = (2, 2, 1)
    """Layers before the first grouping, between both, after the second."""
    segment_tokens: tuple[int, int] = (32, 8)
    assignment: Assignment = "hard"
    """In training. At test it is always soft."""
    cosine_assignment: bool = False
    """Ours: cosine with a learnt scale from 10 in place of GroupViT's scaled dot product."""
    detached_head: bool = False
    """Ours: what follows the trunk learns from it and does not move it. Of a `CLIPTower`, which then learns
    from its patch embeddings alone."""
    token_std: float = 0.02
    """Not stated: spread of the segment tokens at the start."""
    patch_embeddings: bool = False
    """Ours: embed every patch in the teacher's space too; a segment's embedding adds the mean of
    the patches it owns. Needed by `ViewComposition` and by the readouts `patches` and `combined`."""
    context: tuple[float, float] = (0.0, 0.0)
    """Ours: shares of the image's own mean, and of that of the quarter around it, that are added to
    each patch embedding (see `context.py`)."""
    zoom: float = 1.0
    """Ours: at test the student reads the picture enlarged by so much, hence with more and finer
    patches. Training is not changed by it."""
    regrouping: float = 0.0
    """Ours: at test patches are assigned to segments once more, by this times their cosine beside the
    logarithm of what they were assigned (`reassigned`). 0 leaves them as they are."""
    patch_share: float = 0.5
    """Ours: weight of the patches' own scores in the readout `combined`."""

    def __post_init__(self) -> None:
        for name, holds, what in (
            ("mask_ratio", 0 <= self.mask_ratio < 1, "lie in [0, 1)"),
            ("zoom", self.zoom > 0, "be positive"),
            ("regrouping", self.regrouping >= 0, "be at least 0"),
        ):
            if not holds:
                raise InputError(f"student.{name} is {getattr(self, name)}: it must {what}")


class ZeroSeg(nn.Module):
    """The student. `forward` trains, `predict` answers.

    Raises InputError for an image size that its patches do not divide.
    """

    def __init__(self, config: ZeroSegConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk: Trunk = config.trunk.build(config.image_size)
        _check(config, self.trunk)
        self._grid(config.image_size, config.image_size)
        width, heads = config.head_width or self.trunk.width, config.head_heads
        heads, embed = heads or self.trunk.num_heads or 1, config.embed_dim
        self.neck = None
        if self.trunk.feature_width != width:
            self.neck = Neck(self.trunk.feature_width, width)
        self.head = SegmentationHead(
            width=width,
            num_heads=heads,
            layers=config.head_layers,
            segment_tokens=config.segment_tokens,
            token_std=config.token_std,
            cosine=config.cosine_assignment,
        )
        self.segment_embedding = _projection(width, embed)
        self.global_layer = Blocks(1, width, heads)
        self.global_embedding = _projection(width, embed)
        self.patch_embedding = None
        if config.patch_embeddings and self.trunk.embed_dim is None:
            self.patch_embedding = _projection(width, embed)
        self.decoder = None
        if config.decoder_depth:
            self.decoder = Decoder(
                token_width=width,
                patch_size=self.trunk.patch_size,
                width=config.decoder_width,
                depth=config.decoder_depth,
                num_heads=config.decoder_heads,
            )

    def checkpoint_activations(self) -> None:
        """From now on every transformer block computes its activations again in the backward pass.

        Outputs and gradients stay the same, memory falls, a step costs about one more forward pass.
        Raises InputError for a trunk that cannot.
        """
        self.trunk.checkpoint_activations()
        for module in self.modules():
            if isinstance(module, Blocks):
                module.recompute = True

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> StudentOutput:
        """Train: hide `mask_ratio` of the patches, group the others, reconstruct the hidden ones."""
        visible = None
        if self.config.mask_ratio:
            rows, columns = self._grid(*images.shape[2:])
            visible = random_patches(
                len(images), rows * columns, self.config.mask_ratio, images.device
            )
        return self._in_context(self._run(images, visible, self.config.assignment, self.decoder))

    def segment(self, images: Float[Tensor, "batch 3 height width"]) -> StudentOutput:
        """Answer: every patch enters, assignment is soft, nothing is reconstructed.

        Patches are those of the picture as `zoom` enlarges it. `read` adds what else is done at test.
        """
        self._grid(*images.shape[2:])
        if self.config.zoom != 1:
            patch = self.trunk.patch_size
            sides = [patch * round(side * self.config.zoom / patch) for side in images.shape[2:]]
            images = F.interpolate(images, sides, mode="bicubic", antialias=True).clamp(0, 1)
        return self._run(images, None, "soft", None)

    def read(self, images: Float[Tensor, "batch 3 height width"]) -> StudentOutput:
        """Answer as `segment` does, with patches in context and assigned anew."""
        output, sharpness = self.segment(images), self.config.regrouping
        if sharpness and output.patches is not None:
            unit = F.normalize(output.patches, dim=-1)
            assignment, segments = reassigned(
                output.assignment, F.normalize(output.segments, dim=-1), unit, sharpness
            )
            output = output._replace(assignment=assignment, segments=segments)
        return self._in_context(output)

    def _run(
        self,
        images: Float[Tensor, "batch 3 height width"],
        visible: Int[Tensor, "batch visible"] | None,
        how: Assignment,
        decoder: nn.Module | None,
    ) -> StudentOutput:
        rows, columns = grid = self._grid(*images.shape[2:])
        tokens, patches = self.trunk(images, visible)
        if visible is None:
            visible = torch.arange(rows * columns, device=images.device).expand(images.shape[0], -1)
        detached = self.config.detached_head
        if detached and patches is not None:
            tokens = tokens.detach()
        if self.neck is not None:
            tokens = self.neck(tokens, visible, grid)
        if self.patch_embedding is not None:
            patches = self.patch_embedding(tokens)
            tokens = tokens.detach() if detached else tokens
        grouped = self.head(tokens, how)
        segments = self.segment_embedding(grouped.segments).float()
        global_feature = self.global_embedding(
            self.global_layer(grouped.segments).mean(dim=1)
        ).float()
        if patches is not None:
            patches = patches.float()
            told = patches.detach() if detached else patches
            owned = grouped.assignment.sum(dim=-1, keepdim=True).clamp(min=0.5)
            segments = segments + grouped.assignment @ told / owned
        reconstruction = None if decoder is None else decoder(tokens, visible, rows, columns)
        return StudentOutput(
            segments, grouped.assignment, global_feature, patches, visible, reconstruction, grid
        )

    @torch.no_grad()
    def predict(
        self,
        images: Float[Tensor, "batch 3 height width"],
        class_embeddings: Float[Tensor, "class embed"],
        readout: Readout = "segments",
    ) -> Float[Tensor, "batch class rows columns"]:
        """Cosines with classes: at every pixel for `segments`, else at every patch; see `readouts`.

        Raises InputError as `check_readout`.
        """
        check_readout(self.config, readout)
        height, width = images.shape[2:]
        return cosines(
            self.read(images),
            class_embeddings,
            readout,
            size=(height, width),
            patch_share=self.config.patch_share,
        )

    def _in_context(self, output: StudentOutput) -> StudentOutput:
        if output.patches is None:
            return output
        shares = self.config.context
        patches = with_context(output.patches, output.visible, output.grid, shares)
        return output._replace(patches=patches)

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        patch = self.trunk.patch_size
        if height % patch or width % patch:
            raise InputError(
                f"image of {height} x {width} pixels: sides must be multiples of {patch}"
            )
        return height // patch, width // patch


def _check(config: ZeroSegConfig, trunk: Trunk) -> None:
    """Raises InputError for a student that such a trunk cannot be part of."""
    if config.mask_ratio and not trunk.can_mask:
        raise InputError(
            f"student.mask_ratio is {config.mask_ratio}: {config.trunk} needs all patches, set it to 0"
        )
    if trunk.embed_dim not in (None, config.embed_dim):
        raise InputError(
            f"student.embed_dim is {config.embed_dim}, but the trunk embeds in {trunk.embed_dim} "
            "dimensions: set it to that"
        )
    if not (config.head_heads or trunk.num_heads):
        raise InputError(
            "student.head_heads is not set, and the trunk has no attention: set it to a number that "
            f"divides {config.head_width or trunk.width}"
        )


def check_readout(config: ZeroSegConfig, readout: Readout) -> None:
    """Raises InputError when a student could not answer that way."""
    if readout != "segments" and not config.patch_embeddings:
        raise InputError(f"readout {readout!r} needs a student with patch_embeddings=True")


def _projection(width: int, embed: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, embed))
