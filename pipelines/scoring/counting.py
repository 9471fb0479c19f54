"""Counting a whole set of labelled images, by parts of a few: what an evaluation goes on from.

A part is written by whichever process counts it, and whole or not at all; it depends on nothing but
its own images, so any number of processes can go on with what others began.
"""

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from accelerate import Accelerator
from tqdm import tqdm

from zeroseg.data.batch import Batch
from zeroseg.data.evaluation import evaluation_batches
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import tallied
from zeroseg.evaluation.inference import Segmenter
from zeroseg.evaluation.tally import Tally, concatenate, from_bytes
from zeroseg.evaluation.task import Task
from zeroseg.store.shard_set import ShardSet
from zeroseg.store.storage import write_atomically

PART = 32
"""Images."""


def counted(
    folder: Path,
    segmenter: Segmenter,
    shards: ShardSet,
    task: Task,
    accelerator: Accelerator,
    *,
    batch_size: int,
    images: int | None = None,
    thresholds: tuple[float, ...] = (),
    boundary: bool = False,
) -> Tally:
    """Count the first `images` of the shards, or all; every process gets the same.

    `folder` holds the parts, and belongs to this evaluation alone.
    """
    count = shards.samples if images is None else min(images, shards.samples)
    parts = [range(start, min(start + PART, count)) for start in range(0, count, PART)]
    files = [folder / f"{part.start:09d}.npz" for part in parts]
    missing = [i for i, file in enumerate(files) if _read(file) is None]
    accelerator.wait_for_everyone()  # before anyone writes what another has not looked for yet
    mine = missing[accelerator.process_index :: accelerator.num_processes]

    resize = partial(task.protocol.picture_size, multiple=segmenter.multiple)
    with tqdm(
        total=sum(len(parts[i]) for i in mine),
        desc=task.benchmark.name,
        unit="image",
        disable=not accelerator.is_main_process,
    ) as bar:

        def batches(samples: range) -> Iterator[Batch]:
            for batch in evaluation_batches(shards, resize, batch_size=batch_size, samples=samples):
                yield batch
                bar.update(len(batch.keys) + len(batch.lost))

        for i in mine:
            tally = tallied(
                segmenter,
                batches(parts[i]),
                task,
                accelerator.device,
                thresholds=thresholds,
                boundary=boundary,
            )
            write_atomically(str(files[i]), tally.to_bytes())
    accelerator.wait_for_everyone()
    tallies = [_read(file) for file in files]
    if absent := [str(f) for f, tally in zip(files, tallies, strict=True) if tally is None]:
        raise InputError(
            f"{absent[0]}, which another process wrote, cannot be read: choose an --output that all "
            "machines share"
        )
    return concatenate([tally for tally in tallies if tally is not None])


def _read(file: Path) -> Tally | None:
    """A part that is there and whole."""
    try:
        return from_bytes(file.read_bytes())
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
