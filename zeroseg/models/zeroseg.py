"""ZeroSeg's student (Chen et al., ICCV 2023): a masked ViT whose segment tokens each claim a region.

Three parts: a trunk that sees the visible patches only, a decoder that reconstructs the others, and
a head that groups patches into segments with embeddings in the teacher's space. What the paper
leaves open is a field of `ZeroSegConfig` and says so.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from zeroseg.errors import InputError
from zeroseg.models.grouping import Assignment, SegmentationHead
from zeroseg.models.vit import Blocks, Trunk, random_patches, sin_cos_positions

Readout = Literal["segments", "patches", "combined"]


@dataclass(frozen=True, kw_only=True)
class ZeroSegConfig:
    """Shape of the student; the defaults are the paper's ViT-Base where it says, else ours."""

    image_size: int = 224
    """Side of training images; at test any multiple of the patch size is welcome."""
    patch_size: int = 16
    """Not stated in the paper; that of ViT-B in MAE."""
    width: int = 768
    depth: int = 12
    num_heads: int = 12
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
    token_std: float = 0.02
    """Not stated: spread of the segment tokens at the start."""
    patch_embeddings: bool = False
    """Ours: embed every patch in the teacher's space too; a segment's embedding adds the mean of
    the patches it owns. Needed by `ViewComposition` and by the readouts `patches` and `combined`."""
    patch_share: float = 0.5
    """Ours: weight of the patches' own scores in the readout `combined`."""


class StudentOutput(NamedTuple):
    """What the student says about a batch of images; `visible` patches only."""

    segments: Float[Tensor, "batch segment embed"]
    assignment: Float[Tensor, "batch segment visible"]
    """Sums to one over segments for every patch."""
    global_feature: Float[Tensor, "batch embed"]
    """The global feature z."""
    patches: Float[Tensor, "batch visible embed"] | None
    visible: Int[Tensor, "batch visible"]
    """Which patches entered."""
    reconstruction: Float[Tensor, "batch patch pixel"] | None


class ZeroSeg(nn.Module):
    """The student. `forward` trains, `predict` answers.

    Raises InputError for an image size that its patches do not divide.
    """

    mean: Float[Tensor, "1 3 1 1"]
    std: Float[Tensor, "1 3 1 1"]

    def __init__(self, config: ZeroSegConfig) -> None:
        super().__init__()
        self.config = config
        self._grid(config.image_size, config.image_size)
        width, embed = config.width, config.embed_dim
        self.trunk = Trunk(
            image_size=config.image_size,
            patch_size=config.patch_size,
            width=width,
            depth=config.depth,
            num_heads=config.num_heads,
        )
        self.head = SegmentationHead(
            width=width,
            num_heads=config.num_heads,
            layers=config.head_layers,
            segment_tokens=config.segment_tokens,
            token_std=config.token_std,
            cosine=config.cosine_assignment,
        )
        self.segment_embedding = _projection(width, embed)
        self.global_layer = Blocks(1, width, config.num_heads)
        self.global_embedding = _projection(width, embed)
        self.patch_embedding = _projection(width, embed) if config.patch_embeddings else None
        self.decoder = Decoder(config) if config.decoder_depth else None
        for name, values in (("mean", IMAGENET_DEFAULT_MEAN), ("std", IMAGENET_DEFAULT_STD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def checkpoint_activations(self) -> None:
        """From now on every transformer block computes its activations again in the backward pass.

        Outputs and gradients stay the same, memory falls, a step costs about one more forward pass.
        """
        for module in self.modules():
            if isinstance(module, Blocks):
                module.recompute = True

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> StudentOutput:
        """Train: hide `mask_ratio` of the patches, group the others, reconstruct the hidden ones."""
        rows, columns = self._grid(*images.shape[2:])
        visible = random_patches(len(images), rows * columns, self.config.mask_ratio, images.device)
        return self._run(images, visible, self.config.assignment, self.decoder)

    def segment(self, images: Float[Tensor, "batch 3 height width"]) -> StudentOutput:
        """Answer: every patch enters, assignment is soft, nothing is reconstructed."""
        rows, columns = self._grid(*images.shape[2:])
        everything = torch.arange(rows * columns, device=images.device).expand(len(images), -1)
        return self._run(images, everything, "soft", None)

    def _run(
        self,
        images: Float[Tensor, "batch 3 height width"],
        visible: Int[Tensor, "batch visible"],
        how: Assignment,
        decoder: nn.Module | None,
    ) -> StudentOutput:
        rows, columns = self._grid(*images.shape[2:])
        tokens = self.trunk((images - self.mean) / self.std, visible)
        grouped = self.head(tokens, how)
        segments = self.segment_embedding(grouped.segments).float()
        global_feature = self.global_embedding(
            self.global_layer(grouped.segments).mean(dim=1)
        ).float()
        patches = None
        if self.patch_embedding is not None:
            patches = self.patch_embedding(tokens).float()
            owned = grouped.assignment.sum(dim=-1, keepdim=True).clamp(min=0.5)
            segments = segments + grouped.assignment @ patches / owned
        reconstruction = None if decoder is None else decoder(tokens, visible, rows, columns)
        return StudentOutput(
            segments, grouped.assignment, global_feature, patches, visible, reconstruction
        )

    @torch.no_grad()
    def predict(
        self,
        images: Float[Tensor, "batch 3 height width"],
        class_embeddings: Float[Tensor, "class embed"],
        readout: Readout = "segments",
    ) -> Float[Tensor, "batch class rows columns"]:
        """Cosines with classes: at every pixel for `segments`, else at every patch.

        `segments`: every pixel belongs to the segment that owns it most and takes that segment's
        cosines. `patches`: every patch speaks for itself. `combined`: those of patches, smoothed by
        what their segments say. Raises InputError as `check_readout`.
        """
        check_readout(self.config, readout)
        output = self.segment(images)
        rows, _ = self._grid(*images.shape[2:])
        segments = _cosine(output.segments, class_embeddings)
        if readout == "segments":
            maps = rearrange(output.assignment, "b m (h w) -> b m h w", h=rows)
            owner = F.interpolate(maps, images.shape[2:], mode="bilinear").argmax(dim=1)
            rows_of_owner = owner.flatten(1)[..., None].expand(-1, -1, segments.shape[-1])
            cosines = segments.gather(1, rows_of_owner)
            return rearrange(cosines, "b (h w) c -> b c h w", h=images.shape[2])
        assert output.patches is not None
        cosines = _cosine(output.patches, class_embeddings)
        if readout == "combined":
            share = self.config.patch_share
            cosines = share * cosines + (1 - share) * (output.assignment.mT @ segments)
        return rearrange(cosines, "b (h w) c -> b c h w", h=rows)

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        patch = self.config.patch_size
        if height % patch or width % patch:
            raise InputError(
                f"image of {height} x {width} pixels: sides must be multiples of {patch}"
            )
        return height // patch, width // patch


class Decoder(nn.Module):
    """MAE's decoder: sees the visible tokens and a mask token everywhere else, paints every patch."""

    def __init__(self, config: ZeroSegConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.embed = nn.Linear(config.width, width)
        self.mask_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.blocks = Blocks(config.decoder_depth, width, config.decoder_heads)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.paint = nn.Linear(width, 3 * config.patch_size**2)

    def forward(
        self,
        tokens: Float[Tensor, "batch visible trunk_width"],
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


def check_readout(config: ZeroSegConfig, readout: Readout) -> None:
    """Raises InputError when a student could not answer that way."""
    if readout != "segments" and not config.patch_embeddings:
        raise InputError(f"readout {readout!r} needs a student with patch_embeddings=True")


def _projection(width: int, embed: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, embed))


def _cosine(
    embeddings: Float[Tensor, "batch row embed"], classes: Float[Tensor, "class embed"]
) -> Float[Tensor, "batch row class"]:
    return F.normalize(embeddings, dim=-1) @ F.normalize(classes, dim=-1).mT
