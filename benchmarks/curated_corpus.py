"""A corpus as nobody would choose it, of the embedded scenes: half near copies, and a flood of one motif."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.copies import CHANGES, copy
from shards.sample import Sample, Source
from shards.scenes import SEEN_OBJECTS, STUFF, TRAIN, draw

VARIED = dataclasses.replace(TRAIN, name="varied")
"""Scenes of all classes that a student may see."""
FLOOD = dataclasses.replace(TRAIN, name="flood", seed=5, stuff=STUFF[:2], objects=SEEN_OBJECTS[:1])
"""Scenes of three classes alone: two kinds of stuff, one of objects."""
MOTIFS = {split.name: split for split in (VARIED, FLOOD)}
FREQUENT = frozenset(FLOOD.stuff + FLOOD.objects)
COPIES, FLOODED = 0.5, 0.8
"""Shares: of the corpus that are copies, and of the rest that are of the flood."""
KINDS = ("re-encoded", "half the size", "cropped to 80 %", "coloured")


@dataclass(frozen=True)
class Picture:
    """One image of the corpus: a scene, or a near copy of it."""

    motif: str
    """`varied` or `flood`."""
    scene: int
    """Its number in the motif."""
    copy: int = 0
    """Which copy of the corpus it is, counted from 1; 0 is the scene itself."""
    kind: str = ""
    """Of a copy."""

    @property
    def key(self) -> str:
        """Says the motif, the scene and the copy: `flood-000012`, `flood-000012-copy-000345`."""
        return f"{self.motif}-{self.scene:06d}" + (f"-copy-{self.copy:06d}" if self.copy else "")


def pictures(images: int) -> list[Picture]:
    """The corpus, the scenes first; copies are of scenes that are drawn from all, some more than once."""
    copies = round(images * COPIES)
    flooded = round((images - copies) * FLOODED)
    scenes = [Picture(FLOOD.name, number) for number in range(flooded)]
    scenes += [Picture(VARIED.name, number) for number in range(images - copies - flooded)]
    drawn = np.random.default_rng(0).integers(len(scenes), size=copies).tolist()
    return scenes + [
        dataclasses.replace(scenes[of], copy=number, kind=KINDS[number % len(KINDS)])
        for number, of in enumerate(drawn, 1)
    ]


def read(picture: Picture) -> Iterator[Sample]:
    """The one sample of a picture, without a label map."""
    (scene,) = draw(MOTIFS[picture.motif], picture.scene)
    data = copy(scene.image, CHANGES[picture.kind]) if picture.copy else scene.image
    yield Sample(picture.key, data, source=f"{picture.kind or 'scene'} of {scene.source}")


def corpus(images: int) -> Source:
    """So many pictures as a source of shards, in which they are shuffled."""
    kind = {"kind": "copies and a flood of scenes"}
    return Source(units=pictures(images), read=read, built_from=kind)
