"""Against which benchmarks the images of a training were cleaned, as `zeroseg curate --against` does it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from zeroseg.store.selection import Selection


@dataclass(frozen=True, kw_only=True)
class Decontamination:
    """What is known of a training's images and benchmarks: a selection left out those that are in these."""

    against: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint of each benchmark's shards (`ShardSet.fingerprint`), by the name that they were given by."""
    against_cosine: float = 1.0
    """Least cosine of embeddings from which an image was left out; 1 compared none."""
    same_picture: float = 1.0
    """The same of thumbnails."""

    def holds(self, fingerprint: str) -> bool:
        """Whether shards of this fingerprint are among the benchmarks."""
        return fingerprint in self.against.values()

    def both(self, other: "Decontamination") -> "Decontamination":
        """What holds of the images of two trainings together: benchmarks of both, the higher cosines."""
        against = {name: told for name, told in self.against.items() if other.holds(told)}
        return Decontamination(
            against=against,
            against_cosine=max(self.against_cosine, other.against_cosine),
            same_picture=max(self.same_picture, other.same_picture),
        )


def decontamination_of(selection: Selection) -> Decontamination:
    """What a selection was made against; against nothing where --against was not asked for."""
    steps = selection.steps
    if not steps.get("against"):
        return Decontamination()
    return Decontamination(
        against=dict(steps["against"]),
        against_cosine=steps["against_cosine"],
        same_picture=steps["same_picture"],
    )
