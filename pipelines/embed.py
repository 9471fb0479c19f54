"""Compute the teacher's embeddings of every image once, for training to read.

    zeroseg embed configs/quickstart.py --output data/scenes/embeddings
    zeroseg embed --shards data/photos --teacher ViT-L-14:openai --output data/photos-l14
    accelerate launch -m pipelines.embed configs/zeroseg_vitb16.py --output data/imagenet-l14

A config, if named first, says what is not said by options. Any number of processes share the shards and
need nothing of each other; stopped and started again, with as many or not, they go on with the shards
that are missing.
"""

import dataclasses
import hashlib
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from accelerate import PartialState
from tqdm import tqdm

from pipelines.cli import main as zeroseg
from pipelines.command_line import UNSET, read
from zeroseg.config import read_config
from zeroseg.data.crops import Crops
from zeroseg.data.embedding_index import build_index
from zeroseg.data.embeddings import NAME, Storage, TeacherRecord, bytes_per_image
from zeroseg.data.sharded_index import EXACT, Kind
from zeroseg.data.views import ViewSet
from zeroseg.errors import InputError
from zeroseg.methods.distillation import Distillation
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.store.manifest import NAME as MANIFEST
from zeroseg.store.manifest import Manifest
from zeroseg.store.set_writer import LEFT_OUT, begin_set, finish_set, read_job_record
from zeroseg.store.shard_cache import ShardCache, is_local
from zeroseg.store.shard_set import open_set
from zeroseg.store.storage import exists, join, write_atomically
from zeroseg.training.processes import process_state
from zeroseg.training.shard_embedder import ShardEmbedder, shares
from zeroseg.training.teacher import ViewEncoder


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """Which images, whose embeddings of which views, and where they go."""

    shards: str
    """As `data.shards` of a training config."""
    output: str
    """Folder or URL."""
    selection: str = ""
    """Folder that `zeroseg curate` wrote; only what it leaves is embedded."""
    teacher: CLIPConfig = field(default_factory=CLIPConfig)
    views: Annotated[ViewSet, tyro.conf.arg(name="")] = field(default_factory=ViewSet)
    crops: Crops = field(default_factory=Crops)
    """Which crops of an image; all of them are embedded, training shows one an epoch."""
    side: int = 224
    """Side in pixels of the crop that views are cut from; training's image_size or view_size."""
    storage: Storage = "float16"
    """int8 takes half; docs/benchmarks/teacher.md says what it costs."""
    index: Literal["", Kind] = ""
    """Also write an index of the whole images (the 1x1 view of the first crop), for `zeroseg find`; its
    vectors in two bytes a dimension, one, or one for every eight."""
    batch_size: int = 16
    """Images read at a time."""
    chunk: int = 0
    """Views in one pass of the teacher; 0 takes what suits the device."""
    workers: int = 2
    """Processes that decode images, beside each one that embeds; 0 decodes in that one."""
    worker_timeout: float = 1800.0
    """Seconds without a batch from those processes after which the command ends and says what each was at;
    0 waits without end."""
    dry_run: bool = False
    """Only say how much it would take."""
    cache: ShardCache = field(default_factory=ShardCache)

    def __post_init__(self) -> None:
        if self.index and not self.views.begins_with_image:
            raise InputError(
                f"--index is of the 1x1 view, which --grids {self.views.grids} leaves out"
            )


def embed(config: EmbedConfig) -> Manifest | None:
    """Embed what is missing, and index it; return the manifest, in the main process and when all is there.

    Raises InputError for anything wrong with the input, before any image is embedded.
    """
    manifest = _embed(config)
    if config.index and not config.dry_run:
        state = process_state()
        while not exists(join(config.output, MANIFEST)):  # until the main process has written it
            time.sleep(0.5)
        place = state.process_index, state.num_processes
        build_index(config.output, config.index, config.cache, *place)
    return manifest


def _embed(config: EmbedConfig) -> Manifest | None:
    state = process_state()
    embedder = _embedder(config, torch.device(state.device or "cpu"))
    fingerprint = _fingerprint(embedder)
    if not config.dry_run:
        finished = begin_set(config.output, fingerprint, claim=state.is_main_process)
        if finished is not None:
            return finished
    todo = [s for s in range(len(embedder.names)) if not exists(embedder.done(s))]
    estimate = _estimate(embedder, todo, state.num_processes)
    if state.is_main_process:
        print(estimate, file=sys.stderr)
    if config.dry_run:
        return None
    if state.is_main_process:
        write_atomically(join(config.output, NAME), embedder.record.text().encode())
    mine = shares(embedder.shards.counts, state.num_processes)[state.process_index]
    mine = [shard for shard in mine if shard in set(todo)]
    images = sum(embedder.shards.counts[shard] for shard in mine)
    hidden = not state.is_main_process
    with tqdm(desc="embed", unit="image", total=images, disable=hidden) as bar:
        embedder.run(mine, bar)
    if not state.is_main_process:
        return None
    built_from = {"kind": "embeddings", "shards": config.shards, "fingerprint": fingerprint}
    return _finish(embedder, built_from)


def _embedder(config: EmbedConfig, device: torch.device) -> ShardEmbedder:
    shards = open_set(config.shards, config.cache, selection=config.selection)
    shards.need_indexable()
    clip = CLIP(config.teacher, device)
    record = TeacherRecord(
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
        views=config.views,
        crops=config.crops,
        side=config.side,
        storage=config.storage,
    )
    embedder = ShardEmbedder(
        encode=ViewEncoder(clip, config.views, chunk=config.chunk),
        record=record,
        shards=shards,
        output=config.output,
        batch_size=config.batch_size,
        workers=config.workers,
        worker_timeout=config.worker_timeout,
        cache=config.cache,
    )
    if len(set(embedder.names)) < len(shards.urls):
        raise InputError("two shards have one name: embed each folder of --shards by itself")
    return embedder


def _fingerprint(embedder: ShardEmbedder) -> str:
    """What the embeddings depend on: the teacher, the views, and the shards where a manifest tells."""
    shards = embedder.shards
    lines = zip(embedder.names, shards.counts, shards.digests, strict=True)
    text = (
        embedder.record.text()
        + shards.selection
        + "".join(f"{name} {n} {digest}\n" for name, n, digest in lines)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _estimate(embedder: ShardEmbedder, todo: Sequence[int], processes: int) -> str:
    """A line on what is to come. Raises InputError when it does not fit on the disk."""
    record, encode = embedder.record, embedder.encode
    images = sum(embedder.shards.counts[shard] for shard in todo)
    each, crops, seconds = bytes_per_image(record), record.crops.count, 0.0
    size = -(-encode.chunk // record.views.count)  # one whole pass
    blank = torch.zeros(size, 3, record.side, record.side, device=encode.clip.mean.device)
    for _ in range(2):  # the first warms up
        begun = time.perf_counter()
        encode(blank).cpu()
        seconds = crops * (time.perf_counter() - begun) / size
    if is_local(embedder.output):
        folder = Path(embedder.output).absolute()
        free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
        if each * images > free:
            raise InputError(
                f"the embeddings need {_bytes(each * images)} but {folder} has {_bytes(free)} free: "
                "choose another --output, or --storage int8"
            )
    return (
        f"{images} images to embed, {crops * record.views.count} views each: {_bytes(each)} an image "
        f"({record.storage}), {_bytes(each * images)} in all; the teacher does {1 / seconds:.3g} "
        f"images/s in each of {processes} process(es), "
        f"{tqdm.format_interval(images * seconds / processes)} in all"
    )


def _bytes(count: int) -> str:
    return tqdm.format_sizeof(count, "B")


def _finish(embedder: ShardEmbedder, built_from: dict[str, str]) -> Manifest:
    """Wait until the other processes have written their shards, then write the manifest.

    There is no barrier: a collective would time out when one process has a long shard left.
    """
    records = []
    for shard in tqdm(range(len(embedder.names)), desc="shards", unit="shard", delay=2):
        while not exists(embedder.done(shard)):
            time.sleep(0.5)
        records.append(read_job_record(embedder.done(shard)))
    shards = [shard for record in records for shard in record.shards]
    left_out = [line for record in records for line in record.left_out]
    if not any(shard.samples for shard in shards):
        raise InputError(f"no image could be embedded, the first: {left_out[0]}")
    return finish_set(embedder.output, shards, left_out, built_from)


@dataclass(frozen=True, kw_only=True)
class Command:
    """What the command line says."""

    config: tyro.conf.Positional[str] = ""
    """A training config, named first; it says what is not said by options."""
    options: Annotated[EmbedConfig, tyro.conf.arg(name="")]


def config_of(arguments: Sequence[str]) -> EmbedConfig:
    """Options, over what a training config says where one is named first."""
    options = EmbedConfig(shards=tyro.MISSING, output=tyro.MISSING)
    if arguments and not arguments[0].startswith("-"):
        run = read_config(arguments[0])
        method = run.method
        if not isinstance(method, Distillation):
            raise InputError(f"a {type(method).__name__} has no teacher whose embeddings it needs")
        options = EmbedConfig(
            shards=run.data.shards,
            selection=run.data.selection,
            output=tyro.MISSING,
            teacher=method.teacher.clip or CLIPConfig(),
            views=method.teacher.views or ViewSet(),
            crops=method.crops,
            side=method.view_side,
            cache=run.data.cache,
        )
    default = Command(options=options)
    command = read(Command, arguments, "zeroseg embed", __doc__, *UNSET, default=default)
    if command.config not in {"", arguments[0]}:
        raise InputError(f"name the config first: zeroseg embed {command.config} ...")
    return command.options


def main(arguments: Sequence[str]) -> None:
    """Read the command line and embed."""
    config = config_of(arguments)
    manifest = embed(config)
    if manifest is not None:
        print(f"{config.output}: {manifest.samples} images in {len(manifest.shards)} shards")
        if manifest.left_out:
            print(f"{manifest.left_out} left out, named in {join(config.output, LEFT_OUT)}")
        if config.index:
            few = manifest.samples <= EXACT
            kind = "flat, in fp16: so few are all compared" if few else config.index
            print(f"{join(config.output, 'index')}: {kind}")
    PartialState().destroy_process_group()


if __name__ == "__main__":
    zeroseg(["embed", *sys.argv[1:]])
