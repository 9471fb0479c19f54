"""Pseudo labels: a trained model's predictions of unseen classes, written into labelled shards to train on.

    zeroseg label runs/x --shards data/voc/train --benchmark voc20-15-5 --output data/voc/train-pseudo
    zeroseg label runs/x --shards data/voc/train --benchmark voc21-k2 --output data/voc/zs5 --share 0.25
    zeroseg label runs/x --shards data/voc/train --benchmark voc20-15-5 --output data/voc/st --unseen-only

Labels of seen classes stay as they are. All other pixels, those of unseen classes and those without
a label, which nothing here tells apart, get what the model says, where that is an unseen class. Stopped? The same
command goes on with the shards that are missing.
"""

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import tyro
from accelerate import PartialState

from pipelines.cli import main as zeroseg
from pipelines.command_line import UNSET, read
from pipelines.scoring.models import EvaluatedModel, evaluated_models
from shards.build import Job, Limits, do
from shards.duplicates import refuse_duplicates
from shards.parallel import in_parallel
from shards.sample import BadSample, Sample
from zeroseg.data.images import stored_orientation
from zeroseg.data.label_files import encode_labels
from zeroseg.data.picture_files import turned_back
from zeroseg.data.samples import image_bytes
from zeroseg.datasets.own_benchmarks import benchmark_named
from zeroseg.errors import InputError
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.labelled import LabelledSet, open_labelled_set
from zeroseg.evaluation.pseudo_labels import PseudoLabels, predicted_labels
from zeroseg.evaluation.task import Task
from zeroseg.methods import METHODS, MethodConfig
from zeroseg.store.manifest import NAME, PSEUDO_LABELS, Manifest, read_manifest
from zeroseg.store.reader import RawSample
from zeroseg.store.set_writer import LEFT_OUT, begin_set, finish_set, read_job_record
from zeroseg.store.storage import exists, join
from zeroseg.training.processes import process_state

IMAGES_PER_SHARD = 500
"""Of the new shards: what is done again after a stop at most."""


@dataclass(frozen=True)
class Labeller:
    """Samples with pseudo labels, of labelled images by their numbers."""

    config: PseudoLabels
    images: LabelledSet
    model: EvaluatedModel
    task: Task
    device: torch.device

    def __call__(self, numbers: range) -> Iterator[Sample | BadSample]:
        """Images with their files' own bytes, and label maps over their stored pixels in the
        benchmark's own class indices.

        The truth of unseen classes is forgotten before anything else is done. Raises InputError for a
        shard that cannot be read.
        """
        places, segmenter = self._places(numbers), self.model.segmenter
        for batch in self.images.batches(
            segmenter.multiple, batch_size=self.config.batch_size, samples=numbers
        ):
            yield from (BadSample(str(loss)) for loss in batch.lost)
            if batch.labels is None:
                continue
            known = self.images.benchmark.mapped(batch.labels, batch.keys)
            known = self.images.benchmark.seen_only(known).to(self.device)
            pixels = dataclasses.replace(batch, labels=None).to(self.device).pixels
            labels = predicted_labels(segmenter, pixels, known, self.task, self.config)
            for key, pseudo in zip(batch.keys, labels.cpu().numpy(), strict=True):
                raw = self.images.reader.read(*places[key])
                image = image_bytes(raw)
                stored = turned_back(pseudo, stored_orientation(image))
                yield Sample(key, image, encode_labels(stored), _source(raw))

    def _places(self, numbers: range) -> dict[str, tuple[int, int]]:
        """Shard and number there of each key."""
        reader, first, places = self.images.reader, 0, {}
        for shard, count in enumerate(reader.shards.counts):
            for number in range(max(0, numbers.start - first), min(count, numbers.stop - first)):
                places[reader.key(shard, number)] = (shard, number)
            first += count
        return places

    @property
    def built_from(self) -> dict[str, str]:
        """What the manifest tells."""
        config, identity = self.config, self.model.identity
        facts: dict[str, Any] = {
            "kind": PSEUDO_LABELS,
            "source": config.shards,
            "benchmark": self.task.benchmark.name,
            "model": config.model,
            "model_sha256": identity.sha256,
            "readout": identity.readout or identity.method,
            "protocol": self.task.protocol.name,
            "share": config.share,
            "unseen_only": config.unseen_only,
        }
        return {name: str(value) for name, value in facts.items() if value is not None}

    @property
    def fingerprint(self) -> str:
        """What the labels depend on: the model, the question, the rule, and shards by their digests."""
        shards, told = self.images.shards, self.built_from
        about = [
            {name: told[name] for name in told if name not in {"source", "model"}},
            dataclasses.asdict(self.task.protocol),
            dataclasses.asdict(self.images.benchmark)
            | {"unseen": sorted(self.task.benchmark.unseen)},
            [*shards.digests, *shards.counts],
        ]
        text = json.dumps(about, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def label(config: PseudoLabels, methods: Sequence[type[MethodConfig]] = METHODS) -> Manifest:
    """Label what is not labelled yet; return the manifest once all processes have done their part.

    `methods` are those that a saved model may be of. Raises InputError, before any image is read, when
    model, shards and benchmark do not fit, or the output holds something else.
    """
    state = process_state()
    labeller = _labeller(config, torch.device(state.device or "cpu"), methods)
    fingerprint = labeller.fingerprint
    finished = begin_set(config.output, fingerprint, claim=state.is_main_process)
    if finished is not None:
        return finished
    count = labeller.images.shards.samples
    limits = Limits(images_per_shard=IMAGES_PER_SHARD, workers=0)
    starts = range(0, count, IMAGES_PER_SHARD)
    parts = [range(start, min(start + IMAGES_PER_SHARD, count)) for start in starts]
    jobs = [Job(n, [part], labeller, config.output, limits) for n, part in enumerate(parts)]
    mine = jobs[state.process_index :: state.num_processes]
    todo = [job for job in mine if not exists(job.record)]
    names = [f"shard {job.number}" for job in todo]
    images = sum(len(unit) for job in todo for unit in job.units)
    for _ in in_parallel(do, todo, names, 0, images):
        pass
    if not state.is_main_process:
        return _finished(config.output)
    return _finish(config.output, jobs, labeller, fingerprint)


def _labeller(
    config: PseudoLabels, device: torch.device, methods: Sequence[type[MethodConfig]]
) -> Labeller:
    benchmark = benchmark_named(config.benchmark)
    protocol = config.protocol.on(benchmark)
    if protocol.threshold_from == "held-out":
        raise InputError(
            f"protocol {protocol.name!r} has a background threshold chosen on other data, and labelling "
            "has none: state it, or take the protocol seen-unseen"
        )
    images = open_labelled_set(config.shards, benchmark, protocol, config.cache)
    images.shards.need_indexable()
    (model,) = evaluated_models(
        config.model, config.readout, Correction(), device, {}, methods=methods
    )
    images.check(model.segmenter.multiple, model.answers)
    return Labeller(config, images, model, images.task(model.clip), device)


def _source(sample: RawSample) -> str:
    """Where the image was, as its first shard says; empty where that does not."""
    try:
        return str(json.loads(sample.members.get("json", b"{}")).get("source", ""))
    except (ValueError, AttributeError):
        return ""


def _finish(output: str, jobs: Sequence[Job], labeller: Labeller, fingerprint: str) -> Manifest:
    """Wait until the other processes have written their shards, then write the manifest."""
    for job in jobs:
        while not exists(job.record):
            time.sleep(0.5)
    records = [read_job_record(job.record) for job in jobs]
    shards = [shard for record in records for shard in record.shards]
    left_out = [line for record in records for line in record.left_out]
    if not shards:
        raise InputError(f"no image could be labelled, the first: {left_out[0]}")
    refuse_duplicates(output, [shard.name for shard in shards])
    built_from = labeller.built_from | {"fingerprint": fingerprint}
    return finish_set(output, shards, left_out, built_from, labeller.images.benchmark.classes)


def _finished(output: str) -> Manifest:
    """The manifest, once the main process has written it."""
    while not exists(join(output, NAME)):
        time.sleep(0.5)
    manifest = read_manifest(output)
    assert manifest is not None  # it is there
    return manifest


@dataclass(frozen=True, kw_only=True)
class LabelConfig(PseudoLabels):
    """The command line: its first argument is the model."""

    model: Annotated[str, tyro.conf.Positional]
    """Run folder, model folder in one, or `clip:ARCH:WEIGHTS:METHOD`."""


def main(arguments: Sequence[str]) -> None:
    """Read the command line and label."""
    config = read(LabelConfig, arguments, "zeroseg label", __doc__, *UNSET)
    manifest = label(config)
    if PartialState().is_main_process:
        print(f"{config.output}: {manifest.samples} images in {len(manifest.shards)} shards")
        if manifest.left_out:
            print(f"{manifest.left_out} left out, named in {join(config.output, LEFT_OUT)}")
    PartialState().destroy_process_group()


if __name__ == "__main__":
    zeroseg(["label", *sys.argv[1:]])
