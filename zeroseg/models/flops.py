"""Floating-point operations of one image, from the shapes of what is computed.

Two operations a multiply-add; matrix products and attention alone, which are all but a few
thousandths. A counter that watches the run misses attention in fused layers, so the formulas are
written out: a transformer block of N tokens of width d takes 24 N d^2 + 4 N^2 d.
"""

from zeroseg.models.clip import CLIPConfig, image_tower
from zeroseg.models.zeroseg import ZeroSegConfig


def student_flops(config: ZeroSegConfig) -> float:
    """A forward pass in training: the decoder sees every patch, all else the visible ones alone.

    Patches are embedded before some are hidden, all of them. Losses are not counted.
    """
    width, embed, (first, second) = config.width, config.embed_dim, config.segment_tokens
    patches = (config.image_size // config.patch_size) ** 2
    visible = max(1, round(patches * (1 - config.mask_ratio)))
    pixels = 3 * config.patch_size**2
    before, between, after = config.head_layers
    flops = _linear(patches, pixels, width)
    flops += config.depth * block_flops(visible, width)
    flops += before * block_flops(visible + first, width)
    flops += _grouping(visible, first, width)
    flops += _mixer(first, second, width)
    flops += between * block_flops(first + second, width)
    flops += _grouping(first, second, width)
    flops += after * block_flops(second, width)
    flops += _linear(second, first, visible)  # the product of both assignments
    flops += _projection(second, width, embed)
    flops += block_flops(second, width) + _projection(1, width, embed)
    if config.patch_embeddings:
        flops += _projection(visible, width, embed) + _linear(second, visible, embed)
    if config.decoder_depth:
        narrow = config.decoder_width
        flops += _linear(visible, width, narrow)
        flops += config.decoder_depth * block_flops(patches, narrow)
        flops += _linear(patches, narrow, pixels)
    return flops


def clip_image_flops(clip: CLIPConfig) -> float | None:
    """One view through a teacher's image tower; None for a tower that is not a plain ViT.

    Raises InputError for an architecture that open_clip does not know.
    """
    tower = image_tower(clip)
    if tower is None:
        return None
    patches = (tower.image_size // tower.patch_size) ** 2
    flops = _linear(patches, 3 * tower.patch_size**2, tower.width)
    flops += tower.layers * block_flops(patches + 1, tower.width, tower.mlp_ratio)
    return flops + _linear(1, tower.width, tower.embed_dim)


def training_flops(
    student: ZeroSegConfig, clip: CLIPConfig | None = None, views: int = 0
) -> float | None:
    """An image's share of a step: the student forward and backward, a teacher's `views` forward.

    Backward is taken as two forward passes. Without `clip` (cached embeddings) the student alone;
    None where the teacher's part is not known.
    """
    view = 0.0 if clip is None else clip_image_flops(clip)
    return None if view is None else 3 * student_flops(student) + views * view


def block_flops(tokens: int, width: int, mlp_ratio: float = 4.0) -> float:
    """A transformer block over `tokens` of `width`: four projections, attention, MLP."""
    return (8 + 4 * mlp_ratio) * tokens * width**2 + 4 * tokens**2 * width


def _linear(rows: int, inner: int, columns: int) -> float:
    return 2.0 * rows * inner * columns


def _mixer(tokens_in: int, tokens_out: int, width: int) -> float:
    hidden = max(tokens_in // 2, tokens_out)
    return _linear(width, tokens_in, hidden) + _linear(width, hidden, tokens_out)


def _projection(tokens: int, width: int, embed: int) -> float:
    return _linear(tokens, width, 2 * width) + _linear(tokens, 2 * width, embed)


def _grouping(tokens: int, segments: int, width: int) -> float:
    """A grouping block: mixer, cross attention, two MLPs, assignment and the mean of the assigned.

    Tokens pass four width x width products (key and value, twice) and segments sixteen: query and
    output twice, the first MLP's four, the second's eight. The two products of attention and those
    of the assignment are of `segments` by `tokens`.
    """
    square = _linear(4 * tokens + 16 * segments, width, width)
    return _mixer(segments, segments, width) + square + 4 * _linear(segments, width, tokens)
