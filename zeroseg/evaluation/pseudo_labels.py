"""Pseudo labels: what a trained model says of pixels whose labels no training may see (self-training)."""

from dataclasses import dataclass

from zeroseg.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PseudoLabels:
    """What is labelled by whom, and where it goes; `zeroseg label` does it.

    Raises InputError for a share that is none.
    """

    model: str
    """Run folder, or model folder in one."""
    shards: str
    """Labelled shards; labels of seen classes are kept, all others are never read by anything."""
    benchmark: str
    """One with unseen classes, a name in `zeroseg.BENCHMARKS`."""
    output: str
    """Folder of the new shards."""
    share: float = 1.0
    """Of the pseudo-labelled pixels of an image, those about which the model is surest; ZS5Net has
    0.25 on VOC and 0.75 on Context, zsseg 1."""
    unseen_only: bool = False
    """Choose among the unseen classes alone, as zsseg does; otherwise among all."""
    readout: str = ""
    """How the model is read; empty takes its best by validation."""
    batch_size: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"share is {self.share}: it must lie in (0, 1]")
