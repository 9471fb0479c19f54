"""Counts of a labelled set by parts of a few images: what an evaluation goes on from.

A part is written by whichever process counts it, and whole or not at all; it depends on nothing but
its own images, so any number of processes can go on with what others began.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from accelerate import Accelerator
from tqdm import tqdm

from zeroseg.data.batch import Batch
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import tally_batches
from zeroseg.evaluation.labelled import LabelledSet
from zeroseg.evaluation.tally import Tally, concatenate, from_bytes
from zeroseg.evaluation.task import Task
from zeroseg.models.segmenter import Segmenter
from zeroseg.store.storage import write_atomically

BATCHES = 2
"""Full batches of a part."""


def tally_by_parts(
    folder: Path,
    segmenter: Segmenter,
    images: LabelledSet,
    task: Task,
    accelerator: Accelerator,
    *,
    batch_size: int,
    limit: int | None = None,
    thresholds: tuple[float, ...] = (),
    boundary: bool = False,
) -> Tally:
    """Count the first `limit` images, or all; every process gets the same.

    `folder` holds the parts, and belongs to this evaluation alone.
    """
    samples = images.shards.samples
    count, size = samples if limit is None else min(limit, samples), BATCHES * batch_size
    parts = [range(start, min(start + size, count)) for start in range(0, count, size)]
    files = [folder / f"{part.start:09d}-{part.stop:09d}.npz" for part in parts]
    missing = [i for i, file in enumerate(files) if _read(file) is None]
    accelerator.wait_for_everyone()  # before anyone writes what another has not looked for yet
    mine = missing[accelerator.process_index :: accelerator.num_processes]
    with tqdm(
        total=sum(len(parts[i]) for i in mine),
        desc=task.benchmark.name,
        unit="image",
        delay=2,
        disable=not accelerator.is_main_process,
    ) as bar:
        for i in mine:
            batches = images.batches(segmenter.multiple, batch_size=batch_size, samples=parts[i])
            tally = tally_batches(
                segmenter,
                _with_progress(batches, bar),
                task,
                accelerator.device,
                thresholds=thresholds,
                boundary=boundary,
            )
            write_atomically(str(files[i]), tally.to_bytes())
    accelerator.wait_for_everyone()
    return concatenate([_written(file) for file in files])


def _with_progress(batches: Iterator[Batch], bar: tqdm) -> Iterator[Batch]:
    for batch in batches:
        yield batch
        bar.update(len(batch.keys) + len(batch.lost))


def _written(file: Path) -> Tally:
    """A part that some process has written."""
    tally = _read(file)
    if tally is None:
        raise InputError(
            f"{file}, which another process wrote, cannot be read: choose an --output that all "
            "machines share"
        )
    return tally


def _read(file: Path) -> Tally | None:
    """A part that is there and whole."""
    try:
        return from_bytes(file.read_bytes())
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
