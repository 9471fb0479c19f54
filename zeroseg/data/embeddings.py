"""Teacher embeddings beside the images: shards of them, and reading them by key (shards/README.md).

For each shard of images there is one of embeddings with the same name. A sample holds, for the crop
numbered k, `k.npy` (views x embedding; float16, or int8 with a scale for each view) and `json`:
the SHA-256 of the image's file, the crops' boxes, and the scales. `embeddings.json` beside them says
which teacher made them, and of which views; the manifest is written last, as of any set.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from tarfile import BLOCKSIZE
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from zeroseg.data.crops import Crop, Crops
from zeroseg.data.samples import image_bytes
from zeroseg.data.views import ViewSet
from zeroseg.errors import InputError
from zeroseg.records import read_record
from zeroseg.store.reader import RawSample, ShardReader, UnreadableShard
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet, open_set
from zeroseg.store.storage import exists, join, read_bytes

NAME = "embeddings.json"
EMBED_AGAIN = "run `zeroseg embed` again into another folder"
Storage = Literal["float16", "int8"]


class UnusableEmbedding(Exception):
    """An embedding that is missing, stale or not finite, where such samples are to be skipped."""


@dataclass(frozen=True, kw_only=True)
class TeacherRecord:
    """What embeddings are of: which teacher's, and of which views."""

    teacher: Mapping[str, Any]
    """The fields of its CLIPConfig."""
    weights_sha256: str
    """Of its image tower's tensors, as they were loaded."""
    preprocessing: Mapping[str, Any]
    """Its input size, pixel mean and standard deviation, and how views are resized to it."""
    precision: str
    """In which it computed."""
    embed_dim: int
    views: ViewSet
    crops: Crops
    side: int
    """Side in pixels of the crop that the views were cut from."""
    storage: Storage

    def text(self) -> str:
        """The file's content."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"


def read_teacher_record(folder: str) -> TeacherRecord:
    """What a folder's embeddings are of. Raises InputError when it does not say."""
    path = join(folder, NAME)
    if not exists(path):
        raise InputError(f"{folder} holds no embeddings ({NAME} is missing): see `zeroseg embed`")
    text, remedy = read_bytes(path), "run `zeroseg embed` again"
    with contextlib.suppress(ValueError):  # which `read_record` reports
        told = json.loads(text)
        if isinstance(told, dict) and "grids" in told:  # as it was before there were windows
            told["views"] = {"grids": told.pop("grids")}
            text = json.dumps(told)
    return read_record(TeacherRecord, text, path, remedy=remedy)


def embedding_members(
    key: str,
    image_sha256: str,
    crops: Sequence[Crop | None],
    embeddings: Float[Tensor, "crop view embed"],
    storage: Storage,
) -> dict[str, Any]:
    """One sample, as it goes into a tar."""
    facts: dict[str, Any] = {"sha256": image_sha256, "crops": crops}
    if storage == "int8":
        rows, scales = quantised(embeddings)
        facts["scales"] = [[float(f"{s:.6g}") for s in crop] for crop in scales.tolist()]
    else:
        rows = embeddings.half()
    arrays = {f"{k}.npy": _npy(row.numpy()) for k, row in enumerate(rows)}
    return {"__key__": key} | arrays | {"json": json.dumps(facts).encode()}


def quantised(embeddings: Float[Tensor, "*n embed"]) -> tuple[Tensor, Float[Tensor, "*n"]]:
    """8-bit integers, and the scale of each vector that its greatest value needs."""
    scales = embeddings.abs().amax(dim=-1) / 127
    steps = embeddings / scales.clamp(min=1e-12)[..., None]
    return steps.round().clamp(-127, 127).to(torch.int8), scales


def bytes_per_image(record: TeacherRecord) -> int:
    """What one image's embeddings take in a tar."""
    count = record.crops.count
    boxes = [None] if count == 1 else [Crop(100, 100, 300, 300, False)] * count
    vectors = torch.randn(count, record.views.count, record.embed_dim)
    members = embedding_members("", "0" * 64, boxes, vectors, record.storage)
    sizes = [len(value) for name, value in members.items() if name != "__key__"]
    return sum(BLOCKSIZE + -(-size // BLOCKSIZE) * BLOCKSIZE for size in sizes)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@dataclass(frozen=True)
class EmbeddingSet:
    """Embeddings for a set of shards, and the views of them that training wants."""

    shards: ShardSet
    record: TeacherRecord
    views: ViewSet
    skip: bool
    """Leave out samples whose embedding cannot be used, instead of stopping."""

    def copied(self, images: Sequence[str]) -> list[int]:
        """Bytes of the embeddings beside each of some shards of images that must be copied here first."""
        sizes = dict(zip(map(_name, self.shards.urls), self.shards.copied, strict=True))
        return [sizes[_name(url)] for url in images]

    def check(self, images: Collection[str], crops: Crops, side: int) -> None:
        """Raises InputError unless there is a shard for each of images, of these crops."""
        for field, wanted, found in (
            ("method.crops", crops, self.record.crops),
            ("method.view_size (or else method.model.image_size)", side, self.record.side),
        ):
            if wanted != found:
                raise InputError(
                    f"{field} is {wanted}, but the embeddings are of {found}: "
                    "set it to that, or run `zeroseg embed` again"
                )
        names, here = [_name(url) for url in images], {_name(url) for url in self.shards.urls}
        if len(set(names)) < len(names) or len(here) < len(self.shards.urls):
            raise InputError("two shards have one name: embeddings are found by it, rename one")
        if missing := [name for name in names if name not in here]:
            raise InputError(
                f"there are no embeddings for {len(missing)} of {len(names)} shards, the first "
                f"{missing[0]}: run `zeroseg embed` on all of them"
            )


def open_embeddings(
    path: str, cache: ShardCache, views: ViewSet | None = None, *, skip: bool = False
) -> EmbeddingSet:
    """Open what `zeroseg embed` wrote, in one folder or several joined by `::`.

    Raises InputError when it is not finished or not whole, lacks some of the wanted views, or when
    several folders are of different teachers or views.
    """
    folders = path.split("::")
    records = [read_teacher_record(folder) for folder in folders]
    if other := [f for f, record in zip(folders, records, strict=True) if record != records[0]]:
        raise InputError(f"{other[0]} and {folders[0]} are of different teachers or views")
    for folder in folders:
        if not exists(join(folder, "manifest.json")):
            raise InputError(f"{folder} is not finished: run the same `zeroseg embed` again")
    stored = records[0].views
    wanted = stored if views is None else views
    if absent := stored.lacks(wanted):
        raise InputError(
            f"{path} has the views {stored}, not {absent}: choose among them, or "
            "run `zeroseg embed` again"
        )
    return EmbeddingSet(open_set(path, cache), records[0], wanted, skip)


class EmbeddingReader:
    """Reads the embeddings of one image at a time, by its shard's name and its key."""

    def __init__(self, stored: EmbeddingSet, cache: ShardCache) -> None:
        self.stored, self.record = stored, stored.record
        self.reader = ShardReader(stored.shards, cache)
        self.shard_of = {_name(url): number for number, url in enumerate(stored.shards.urls)}
        self.rows = self.record.views.rows_of(stored.views)

    def read(
        self, sample: RawSample, epoch: int
    ) -> tuple[Crop | None, Float[Tensor, "view embed"]]:
        """The crop whose turn it is, and its views' embeddings in float16, of unit norm but for rounding.

        Raises InputError (or UnusableEmbedding, where such samples are skipped) when the image has
        no embedding, has another file than the one embedded, or when a value is not finite.
        """
        turn = self.record.crops.turn(sample.key, epoch)
        members = self._members(sample, turn)
        try:
            facts = json.loads(members["json"])
            sha256, box = facts["sha256"], facts["crops"][turn]
            stored = torch.from_numpy(np.load(io.BytesIO(members[f"{turn}.npy"])))
            if stored.dtype == torch.int8:
                stored = stored.float() * torch.tensor(facts["scales"][turn])[:, None]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise self._refusal(sample, f"unreadable ({error})") from error
        if sha256 != hashlib.sha256(image_bytes(sample)).hexdigest():
            raise self._refusal(sample, "stale: the image is another file than the one embedded")
        shape = (self.record.views.count, self.record.embed_dim)
        if stored.shape != shape or not stored.isfinite().all():
            raise self._refusal(sample, f"not {shape[0]} finite vectors of {shape[1]}")
        return None if box is None else Crop(*box), stored[self.rows].half()

    def prefetch(self, shards: Sequence[str]) -> None:
        """Fetch the embeddings of shards of images that will be read soon, if they are remote."""
        self.reader.prefetch([self.shard_of[_name(shard)] for shard in shards])

    def _members(self, sample: RawSample, turn: int) -> dict[str, bytes]:
        shard = self.shard_of[_name(sample.shard)]
        try:
            number = self.reader.number(shard, sample.key, sample.number)
            if number is not None:
                return self.reader.read(shard, number, (f"{turn}.npy", "json")).members
        except UnreadableShard as error:
            again = "start again once that is mended"
            raise self._refusal(sample, f"unreadable ({error})", again) from error
        except OSError as error:
            raise self._refusal(sample, f"unreadable ({error})") from error
        raise self._refusal(sample, "missing")

    def _refusal(self, sample: RawSample, why: str, remedy: str = EMBED_AGAIN) -> Exception:
        if self.stored.skip:
            return UnusableEmbedding(why)
        return InputError(
            f"the embedding of {sample.key} of {sample.shard} is {why}: {remedy}, or set "
            "method.teacher.unusable to skip"
        )


def _name(url: str) -> str:
    return url.rpartition("/")[2]
