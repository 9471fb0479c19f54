"""What an epoch shows of a sample: unlabelled crops, crops with stored embeddings, labelled crops."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from zeroseg.data.augmentation import Augmentation
from zeroseg.data.crops import Crops, cut
from zeroseg.data.embeddings import EmbeddingReader, EmbeddingSet
from zeroseg.data.images import decode_pair
from zeroseg.data.samples import image_bytes, image_of, labels_bytes
from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.errors import InputError
from zeroseg.store.manifest import PSEUDO_LABELS
from zeroseg.store.reader import RawSample
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet


@runtime_checkable
class Transform(Protocol):
    """From a sample's bytes to its part of a batch, as a function of the sample and the epoch alone.

    Each loader process has a copy of its own.
    """

    def on(self, shards: ShardSet) -> "Transform":
        """The transform for a set of shards. Raises InputError when they do not fit each other."""
        ...

    def copied(self, shards: Sequence[str]) -> Sequence[int]:
        """Bytes beside each shard that must be copied here before its samples can be shown."""
        ...

    def prefetch(self, shards: Sequence[str]) -> None:
        """Fetch what lies beside shards that will be read soon."""
        ...

    def __call__(self, sample: RawSample, epoch: int) -> dict[str, Tensor]:
        """One sample's part of each tensor of a `Batch`, by the batch's own names.

        Raises anything for a sample that cannot be shown; InputError stops the run.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class UnlabelledCrops:
    """A crop for the student, and with more pixels for the teacher; no label map is even decoded."""

    size: int
    """Side of the student's crop in pixels."""
    view_size: int
    """Side in pixels of the same crop, that views are cut from; where it is `size` there is one."""
    crops: Crops

    def on(self, shards: ShardSet) -> "UnlabelledCrops":
        """Any shards will do."""
        return self

    def copied(self, shards: Sequence[str]) -> list[int]:
        """Nothing lies beside a shard."""
        return [0] * len(shards)

    def prefetch(self, shards: Sequence[str]) -> None:
        """Nothing lies beside a shard."""

    def __call__(self, sample: RawSample, epoch: int) -> dict[str, Tensor]:
        """`images`, and `view_images` where they have another size."""
        image = image_of(sample)
        crops = self.crops.of(sample.key, image.shape[1], image.shape[2])
        crop = crops[self.crops.turn(sample.key, epoch)]
        shown = {"images": cut(image, crop, self.size)}
        if self.view_size != self.size:
            shown["view_images"] = cut(image, crop, self.view_size)
        return shown


@dataclass(kw_only=True)
class EmbeddedCrops:
    """A crop for the student, and what the teacher said of it before training."""

    size: int
    """Side of the student's crop in pixels."""
    view_size: int
    """Side in pixels of the crop that views were cut from."""
    crops: Crops
    stored: EmbeddingSet
    cache: ShardCache
    _reader: EmbeddingReader | None = field(default=None, init=False, repr=False)

    @property
    def reader(self) -> EmbeddingReader:
        """The open embeddings: made when first asked for, so that loader processes have their own."""
        self._reader = self._reader or EmbeddingReader(self.stored, self.cache)
        return self._reader

    def on(self, shards: ShardSet) -> "EmbeddedCrops":
        """The same. Raises InputError unless every shard has embeddings of these crops."""
        self.stored.check(shards.urls, self.crops, self.view_size)
        return self

    def copied(self, shards: Sequence[str]) -> list[int]:
        """Bytes of their embeddings, where those are remote."""
        return self.stored.copied(shards)

    def prefetch(self, shards: Sequence[str]) -> None:
        """Fetch the embeddings of their images."""
        self.reader.prefetch(shards)

    def __call__(self, sample: RawSample, epoch: int) -> dict[str, Tensor]:
        """`images` and `embeddings`."""
        image = image_of(sample)
        crop, embeddings = self.reader.read(sample, epoch)
        return {"images": cut(image, crop, self.size), "embeddings": embeddings}


@dataclass(frozen=True)
class LabelledCrops:
    """A random crop of an image and of its label map, in which unseen classes are ignored.

    Drawn from (seed, epoch, key). Pixels of unseen classes are set to IGNORE here, before any model,
    loss or cache can see them.
    """

    augmentation: Augmentation
    benchmark: Benchmark
    """What the labels mean, and which classes are unseen."""
    unseen_labels: Literal["hidden", "pseudo"] = "hidden"
    """`pseudo` lets them pass, from shards alone in which they are a model's predictions."""

    def on(self, shards: ShardSet) -> "LabelledCrops":
        """With the benchmark's classes in the order of the shards' labels.

        Raises InputError when unseen labels are to pass, and any shard is not of `zeroseg label` for
        this benchmark.
        """
        if self.unseen_labels == "pseudo":
            self._check_predicted(shards)
        return replace(self, benchmark=self.benchmark.on(shards.classes))

    def _check_predicted(self, shards: ShardSet) -> None:
        name = self.benchmark.name
        wanted = {"kind": PSEUDO_LABELS, "benchmark": name}
        for origin in shards.origins or ({},):
            if not wanted.items() <= origin.items():
                told = ", ".join(f"{k} {origin[k]!r}" for k in wanted if k in origin)
                raise InputError(
                    "labels of unseen classes pass only where a model predicted them for benchmark "
                    f"{name!r}, and these shards have {told or 'no manifest'}: write such shards with "
                    "`zeroseg label`"
                )

    def copied(self, shards: Sequence[str]) -> list[int]:
        """Nothing lies beside a shard."""
        return [0] * len(shards)

    def prefetch(self, shards: Sequence[str]) -> None:
        """Nothing lies beside a shard."""

    def __call__(self, sample: RawSample, epoch: int) -> dict[str, Tensor]:
        """`images` and `labels`, of one size; labels are the benchmark's own class indices."""
        image, stored = decode_pair(image_bytes(sample), labels_bytes(sample))
        height, width = image.shape[1:]
        place, colours = self.augmentation.draw(sample.key, epoch, height, width)
        labels = self.benchmark.mapped(self.augmentation.labels(stored, place), sample.key)
        if self.unseen_labels == "hidden":
            labels = self.benchmark.seen_only(labels)
        return {"images": self.augmentation.picture(image, place, colours), "labels": labels}
