"""Train and score the variants of docs/ablations.md, like the paper's Tables 3, 4 and 5.

    zeroseg ablate                               # every variant and seed; continues where it stopped
    zeroseg ablate --only 'paper*' --seeds 0

Scores are of the 300 images of the validation split, on which choices are made; the quickstart's test split
is not read. Several calls may share an output folder, once its data is written, and divide the work with
`--only` or `--seeds`.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tqdm import tqdm

from configs.quickstart import config as RUN
from configs.quickstart import teacher as TEACHER
from pipelines.ablation.scoring import Validation
from pipelines.ablation.table import RECORD, summary
from pipelines.ablation.variants import BASE, WITH_WINDOWS, Variant, variants
from pipelines.command_line import read
from pipelines.quickstart import QuickstartConfig, trained, write_data, write_embeddings
from pipelines.run.job import accelerator_for
from pipelines.scoring.scenes import BATCH_SIZE, scenes_images
from zeroseg.config import RunConfig
from zeroseg.models.clip import CLIP
from zeroseg.store.storage import write_atomically
from zeroseg.training.optimization import Cosine
from zeroseg.training.teacher import CachedTeacher


@dataclass(frozen=True, kw_only=True)
class AblateConfig:
    """Which variants, and how long."""

    output: Path = Path("runs/ablations")
    seeds: tuple[int, ...] = (0, 1, 2)
    only: tuple[str, ...] = ("*",)
    """Shell patterns of variant names."""
    steps: int = 80
    """Of every variant. Runs of another length belong into another output folder."""


def run_of(
    config: AblateConfig, name: str, variant: Variant, seed: int, cached: CachedTeacher
) -> RunConfig:
    """The training run of a variant and a seed."""
    teacher = variant.method.teacher
    cached = dataclasses.replace(cached, views=teacher.views, dense=teacher.dense)
    folder = "".join(c if c.isalnum() else "-" for c in f"{name}-{seed}")
    shards = f"{config.output}/shards/train"
    return dataclasses.replace(
        RUN,
        seed=seed,
        method=dataclasses.replace(variant.method, teacher=cached),
        data=dataclasses.replace(RUN.data, shards=shards, batch_size=variant.batch_size),
        steps=config.steps,
        save_every=config.steps,
        schedule=Cosine(warmup=config.steps // 10),
        output=config.output / folder,
    )


def ablate(config: AblateConfig) -> str:
    """Run what is missing and return the table of all that is there."""
    shards = write_data(QuickstartConfig(output=config.output))
    accelerator = accelerator_for(RUN)
    cached = write_embeddings(shards, dataclasses.replace(TEACHER, views=WITH_WINDOWS))
    clip = CLIP(TEACHER.clip, accelerator.device)
    images = scenes_images(shards, "val", RUN.data.cache)
    multiple = BASE.method.model().trunk.patch_size
    batches = [b.to(accelerator.device) for b in images.batches(multiple, batch_size=BATCH_SIZE)]
    validation = Validation(batches, images.task(clip), clip)
    table = variants()
    chosen = [n for n in table if any(fnmatchcase(n, pattern) for pattern in config.only)]
    jobs = [(n, seed) for seed in config.seeds for n in chosen]
    for name, seed in tqdm(jobs, desc="variants", unit="run"):
        run = run_of(config, name, table[name], seed, cached)
        if not (run.output / RECORD).is_file():
            _train_and_score(run, name, table[name], validation)
    order = [v.row(name, reading) for name, v in table.items() for reading in v.readings]
    return summary(config.output, order)


def _train_and_score(run: RunConfig, name: str, variant: Variant, on: Validation) -> None:
    model = trained(run).to(on.batches[0].pixels.device)
    scores = on.rows(variant.method, model, variant.readings)
    rows = {variant.row(name, reading): scores[reading.name] for reading in variant.readings}
    write_atomically(str(run.output / RECORD), json.dumps(rows, indent=1).encode())


def main(arguments: Sequence[str]) -> None:
    """Read the command line and run."""
    print(ablate(read(AblateConfig, arguments, "zeroseg ablate", __doc__)))


if __name__ == "__main__":
    main(sys.argv[1:])
