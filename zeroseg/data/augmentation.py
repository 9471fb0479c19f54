"""Augmentation: how a labelled picture is changed before a supervised model sees it."""

from dataclasses import dataclass

from zeroseg.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """A crop of a scaled, mirrored, recoloured picture, drawn from (seed, epoch, key)."""

    size: int = 512
    """Side of the square crop in pixels."""
    scale: tuple[float, float] = (0.5, 2.0)
    """Least and greatest factor by which the picture's short side differs from `size`."""
    jitter: float = 1.0
    """Strength of the change of colours; 0 leaves them."""
    seed: int = 0
    """Of the draws; the training run's own seed does not change them."""

    def __post_init__(self) -> None:
        if self.size < 1 or self.jitter < 0 or not 0 < self.scale[0] <= self.scale[1]:
            raise InputError(
                f"augmentation is {self}: size must be at least 1, scale two rising positive "
                "factors, jitter at least 0"
            )
