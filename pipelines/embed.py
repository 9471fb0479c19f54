"""Compute the teacher's embeddings of every image once, for training to read.

    zeroseg embed configs/quickstart.py --output data/scenes/embeddings
    zeroseg embed --shards data/photos --teacher ViT-L-14:openai --output data/photos-l14
    accelerate launch -m pipelines.embed configs/zeroseg_vitb16.py --output data/imagenet-l14

A config, if named first, says what is not said by options. Any number of processes share the shards and
need nothing of each other; stopped and started again, with as many or not, they go on with the shards that
are missing.
"""

import dataclasses
import hashlib
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import tyro
from accelerate import PartialState
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm
from webdataset.writer import TarWriter

from pipelines.train import check_world
from shards.build import BUILDING, LEFT_OUT, place, same_plan
from zeroseg.config import read_config
from zeroseg.data.batch import Lost
from zeroseg.data.crop_batches import CropBatch, CropReading
from zeroseg.data.crops import Crops
from zeroseg.data.embedding_index import write_index
from zeroseg.data.embeddings import (
    NAME,
    Storage,
    TeacherRecord,
    bytes_per_image,
    embedding_members,
)
from zeroseg.data.loader import AtWork, loaded
from zeroseg.data.manifest import NAME as MANIFEST
from zeroseg.data.manifest import Manifest, ShardRecord, manifest_text, read_manifest
from zeroseg.data.shard_cache import ShardCache, is_local
from zeroseg.data.shard_set import ShardSet, open_set
from zeroseg.data.storage import exists, join, read_bytes, remove, write_atomically
from zeroseg.errors import InputError
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.training.teacher import OnlineTeacher, ViewEncoder


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """Which images, whose embeddings of which views, and where they go."""

    shards: str
    """As `data.shards` of a training config."""
    output: str
    """Folder or URL."""
    teacher: CLIPConfig = field(default_factory=CLIPConfig)
    grids: tuple[int, ...] = (1, 2, 3, 4)
    """Grids of views (paper, section 4.1)."""
    crops: Crops = field(default_factory=Crops)
    """Which crops of an image; all of them are embedded, training shows one an epoch."""
    side: int = 224
    """Side in pixels of the crop that views are cut from; training's image_size or view_size."""
    storage: Storage = "float16"
    """int8 takes half; see docs/benchmarks/teacher.md for what it costs."""
    index: bool = False
    """Also write `index.faiss`, the embedding of each whole image (the 1x1 view of the first crop)."""
    batch_size: int = 16
    """Images read at a time."""
    chunk: int = 256
    """Views in one pass of the teacher."""
    workers: int = 2
    """Processes that decode images, beside each one that embeds; 0 decodes in that one."""
    dry_run: bool = False
    """Only say how much it would take."""
    cache: ShardCache = field(default_factory=ShardCache)


class Embedder:
    """One process's part of the work."""

    def __init__(self, config: EmbedConfig) -> None:
        self.config, self.state = config, PartialState()
        if config.index and 1 not in config.grids:
            raise InputError(f"--index is of the 1x1 view, which --grids {config.grids} leaves out")
        check_world(self.state.num_processes)
        self.shards = open_set(config.shards, config.cache)
        self.names = [url.rpartition("/")[2] for url in self.shards.urls]
        if len(set(self.names)) < len(self.names):
            raise InputError("two shards have one name: embed each folder of --shards by itself")
        self.device = torch.device(self.state.device or "cpu")
        clip = CLIP(config.teacher, self.device)
        self.encode = ViewEncoder(clip, config.grids, chunk=config.chunk)
        self.record = teacher_record(config, clip)
        lines = zip(self.names, self.shards.counts, self.shards.digests, strict=True)
        text = self.record.text() + "".join(f"{n} {c} {d}\n" for n, c, d in lines)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]

    def path(self, name: str) -> str:
        """Where a file of the output is."""
        return join(self.config.output, name)

    def done(self, shard: int) -> str:
        """Where a shard's record is, once it is finished."""
        return self.path(f"{BUILDING}/{self.names[shard]}.json")

    def begin(self) -> Manifest | None:
        """Claim the output; return its manifest if it is finished. Raises InputError when it holds
        something else."""
        finished = read_manifest(self.config.output)
        if finished is not None:
            same_plan(self.config.output, finished.built_from.get("fingerprint"), self.fingerprint)
            return finished
        plan = self.path(f"{BUILDING}/plan.json")
        if exists(plan):
            begun = json.loads(read_bytes(plan))["fingerprint"]
            same_plan(self.config.output, begun, self.fingerprint)
        if self.state.is_main_process and not self.config.dry_run:
            write_atomically(plan, json.dumps({"fingerprint": self.fingerprint}).encode())
            write_atomically(self.path(NAME), self.record.text().encode())
        return None

    def estimate(self, todo: Sequence[int]) -> str:
        """A line on what is to come. Raises InputError when it does not fit on the disk."""
        images = sum(self.shards.counts[shard] for shard in todo)
        each, crops = bytes_per_image(self.record), self.config.crops.count
        blank = torch.zeros(self.config.batch_size * crops, 3, self.config.side, self.config.side)
        for _ in range(2):  # the first warms up
            begun = time.perf_counter()
            self.encode(blank.to(self.device)).cpu()
            seconds = (time.perf_counter() - begun) / self.config.batch_size
        if is_local(self.config.output):
            _check_room(Path(self.config.output), each * images)
        processes = self.state.num_processes
        hours = images * seconds / processes / 3600
        return (
            f"{images} images to embed, {crops * self.record.views} views each, {each / 1e3:.1f} KB an "
            f"image ({self.config.storage}), {each * images / 1e9:.3g} GB in all; "
            f"{1 / seconds:.3g} images/s of {processes} process(es) each, {hours:.2g} hours"
        )

    def run(self, mine: Sequence[int]) -> None:
        """Embed some shards, one after the other."""
        at_work = AtWork(self.config.workers)
        reading = CropReading(
            self.shards,
            self.config.cache,
            mine,
            self.config.crops,
            self.config.side,
            self.config.batch_size,
            at_work,
        )
        with tqdm(
            desc="embed",
            unit="image",
            total=sum(self.shards.counts[shard] for shard in mine),
            disable=not self.state.is_main_process,
        ) as bar:
            batches = self._encoded(loaded(reading, self.config.workers, at_work))
            for shard, group in itertools.groupby(batches, key=lambda pair: pair[0].shard):
                self._write(shard, group, bar)

    def _encoded(self, batches: Iterable[CropBatch]) -> Iterator[tuple[CropBatch, Tensor]]:
        """Embeddings of one batch at a time; a GPU is at the next while this process writes one."""
        before = None
        for batch in batches:
            pixels = batch.images.flatten(0, 1).to(self.device, non_blocking=True).float() / 255
            shape = (*batch.images.shape[:2], self.record.views, self.record.embed_dim)
            encoded = self.encode(pixels).view(shape) if batch.keys else torch.empty(shape)
            if before is not None:
                yield before
            before = batch, encoded
        if before is not None:
            yield before

    def _write(self, shard: int, batches: Iterable[tuple[CropBatch, Tensor]], bar: tqdm) -> None:
        """Write one shard, its index, then its record."""
        lost: list[Lost] = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, self.names[shard])
            with path.open("wb") as file, TarWriter(file, mtime=0) as tar:
                for batch, embeddings in batches:
                    for members in self._members(batch, embeddings.cpu()):
                        tar.write(members)
                    for loss in batch.lost:
                        tqdm.write(f"lost {loss}", file=sys.stderr)
                    lost += batch.lost
                    bar.update(len(batch.keys) + len(batch.lost))
                    views = bar.format_dict["rate"] or 0
                    views *= self.record.views * self.config.crops.count
                    bar.set_postfix_str(f"{views:.0f} views/s", refresh=False)
            written = dataclasses.asdict(place(path, self.config.output))
        record = {"shard": written, "left_out": [str(loss) for loss in lost]}
        write_atomically(self.done(shard), json.dumps(record).encode())

    def _members(
        self, batch: CropBatch, embeddings: Float[Tensor, "image crop view embed"]
    ) -> Iterator[dict[str, object]]:
        parts = zip(batch.keys, batch.digests, batch.crops, embeddings, strict=True)
        for key, digest, crops, rows in parts:
            if not rows.isfinite().all():
                raise InputError(
                    f"the teacher's embedding of {key} of {self.shards.urls[batch.shard]} is not "
                    "finite: try --teacher.precision fp32"
                )
            yield embedding_members(key, digest, crops, rows, self.config.storage)

    def finish(self) -> Manifest:
        """Wait until the other processes have written their shards, then write the manifest.

        There is no barrier: a collective would time out when one process has a long shard left.
        """
        for shard in tqdm(range(len(self.names)), desc="shards", unit="shard", delay=2):
            while not exists(self.done(shard)):
                time.sleep(0.5)
        records = [json.loads(read_bytes(self.done(shard))) for shard in range(len(self.names))]
        shards = tuple(ShardRecord(**record["shard"]) for record in records)
        left_out = [line for record in records for line in record["left_out"]]
        if not any(shard.samples for shard in shards):
            raise InputError(f"no image could be embedded, the first {left_out[0]}")
        if left_out:
            lines = "".join(json.dumps({"left_out": line}) + "\n" for line in left_out)
            write_atomically(self.path(LEFT_OUT), lines.encode())
        if self.config.index:
            counts = tuple(s.samples for s in shards)
            urls = tuple(self.path(s.name) for s in shards)
            write_index(self.config.output, ShardSet(urls, counts, (1.0,) * len(urls)), self.record)
        manifest = Manifest(
            shards=shards,
            built_from={
                "kind": "embeddings",
                "shards": self.config.shards,
                "fingerprint": self.fingerprint,
            },
            left_out=len(left_out),
        )
        write_atomically(self.path(MANIFEST), manifest_text(manifest).encode())
        remove(self.path(BUILDING))
        return manifest


def teacher_record(config: EmbedConfig, clip: CLIP) -> TeacherRecord:
    """What the embeddings are of."""
    return TeacherRecord(
        teacher=dataclasses.asdict(config.teacher),
        weights_sha256=clip.weights_sha256,
        preprocessing={
            "image_size": clip.image_size,
            "mean": clip.mean.flatten().tolist(),
            "std": clip.std.flatten().tolist(),
            "resize": "antialiased bicubic, rounded to 8 bits",
        },
        precision=str(clip.dtype).removeprefix("torch."),
        embed_dim=clip.embed_dim,
        grids=config.grids,
        crops=config.crops,
        side=config.side,
        storage=config.storage,
    )


def shares(counts: Sequence[int], processes: int) -> list[list[int]]:
    """Shards of each process: the largest first, each to whoever has the fewest images so far."""
    parts: list[list[int]] = [[] for _ in range(processes)]
    images = [0] * processes
    for shard in sorted(range(len(counts)), key=lambda shard: -counts[shard]):
        least = images.index(min(images))
        parts[least].append(shard)
        images[least] += counts[shard]
    return [sorted(part) for part in parts]


def _check_room(folder: Path, needed: int) -> None:
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise InputError(
            f"the embeddings need {needed / 1e9:.3g} GB but {folder} has {free / 1e9:.3g} GB free: "
            "choose another --output, or --storage int8"
        )


def embed(config: EmbedConfig) -> Manifest | None:
    """Embed what is missing; return the manifest in the main process, when all is there.

    Raises InputError for anything wrong with the input, before any image is embedded.
    """
    embedder = Embedder(config)
    is_main = embedder.state.is_main_process
    finished = embedder.begin()
    if finished is not None:
        return finished
    todo = [s for s in range(len(embedder.names)) if not exists(embedder.done(s))]
    estimate = embedder.estimate(todo)
    if is_main:
        print(estimate, file=sys.stderr)
    if config.dry_run:
        return None
    mine = shares(embedder.shards.counts, embedder.state.num_processes)
    embedder.run([s for s in mine[embedder.state.process_index] if s in set(todo)])
    return embedder.finish() if is_main else None


def main(arguments: Sequence[str]) -> None:
    """Read the command line and embed."""
    manifest = embed(read(arguments))
    if manifest is not None:
        print(f"{manifest.samples} images embedded in {len(manifest.shards)} shards")
        if manifest.left_out:
            print(f"{manifest.left_out} left out, named in {LEFT_OUT}")
    PartialState().destroy_process_group()


def read(arguments: Sequence[str]) -> EmbedConfig:
    """Options, over what a training config says where one is named first."""
    args, default = list(arguments), None
    if args and not args[0].startswith("-"):
        run = read_config([args.pop(0)])
        default = EmbedConfig(
            shards=run.data.shards,
            output=tyro.MISSING,
            teacher=run.teacher.clip or CLIPConfig(),
            grids=run.teacher.grids or OnlineTeacher.grids,
            crops=run.data.crops,
            side=run.data.view_side,
            cache=run.data.cache,
        )
    if "--teacher" in args:
        place = args.index("--teacher") + 1
        if place == len(args):
            raise InputError("--teacher needs a name: ARCHITECTURE:WEIGHTS")
        named = args[place]
        whole = named.startswith(("local-dir:", "hf-hub:"))
        architecture, _, weights = (named, "", "") if whole else named.partition(":")
        args[place - 1 : place + 1] = [
            f"--teacher.architecture={architecture}",
            f"--teacher.weights={weights}",
        ]
    return tyro.cli(EmbedConfig, args=args, default=default, prog="zeroseg embed")


if __name__ == "__main__":
    main(sys.argv[1:])
