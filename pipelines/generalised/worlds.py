"""Where methods are compared: the embedded scenes, or real photos of PASCAL VOC."""

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import configs
from configs import quickstart as scenes_student
from configs import real_photos
from pipelines.quickstart import (
    QuickstartConfig,
    chosen,
    student_config,
    trained,
    write_data,
    write_embeddings,
)
from pipelines.run.loop import train
from pipelines.run.paths import repointed
from pipelines.run.stages import moved
from pipelines.scoring.contenders import CORRECTION
from pipelines.stages import seeded
from shards import scenes
from shards.build import Limits, build
from shards.pairs import Pairs
from shards.voc import PascalVOC
from zeroseg.config import RunConfig, Stage, read_stages
from zeroseg.datasets.own_benchmarks import benchmark_named
from zeroseg.errors import InputError
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.labelled import LabelledSet, open_labelled_set
from zeroseg.evaluation.protocols import ProtocolConfig
from zeroseg.evaluation.segmenters import FUSED
from zeroseg.models.clip import CLIPConfig
from zeroseg.store.shard_cache import ShardCache

LIMITS = Limits(images_per_shard=500)


@dataclass(frozen=True, kw_only=True)
class World:
    """Photos, a split of their classes, and a CLIP that has heard of all of them."""

    name: str
    """Configs are called so: `scenes` of configs/scenes_zs3net.py."""
    benchmark: str
    """The split that is trained for and scored on."""
    data: str
    """The folder in which those configs have their shards."""
    test: str
    """The set of it that is scored on."""
    protocol: ProtocolConfig
    clip: CLIPConfig
    """Of the untrained row."""
    correction: Correction
    """Of the student with its teacher at test."""
    build: Callable[[Path], None]
    """Writes what is missing of the shards, and all else that trainings share, into an output folder."""
    student: Callable[[Path, int], Path]
    """Trains the student of a seed without any label, and returns its run folder."""
    one_sentence: str
    """Templates of one sentence and of several, for regions without a learnt prompt."""
    several_sentences: str

    def stages(self, method: str, output: Path, seed: int) -> dict[str, Stage]:
        """A method's stages, in an output folder. Raises InputError when it has no config."""
        file = Path(configs.__file__).parent / f"{self.name}_{method}.py"
        data = {self.data: f"{output}/shards"}
        stages = {name: repointed(stage, data) for name, stage in read_stages(file).items()}
        return seeded(moved(stages, run_folder(output, method, seed)), seed)

    def images(self, output: Path) -> LabelledSet:
        """The images that are scored on."""
        benchmark = benchmark_named(self.benchmark)
        protocol = self.protocol.on(benchmark)
        return open_labelled_set(f"{output}/shards/{self.test}", benchmark, protocol, ShardCache())


def run_folder(output: Path, method: str, seed: int) -> Path:
    """Where a method's stages and results of a seed are."""
    return output / f"{method}-{seed}"


def build_scenes(output: Path) -> None:
    """The quickstart's shards and embeddings, and labelled scenes of all classes."""
    shards = write_data(QuickstartConfig(output=output))
    build(scenes.Scenes("labelled").source(), str(shards / "labelled"), LIMITS)
    write_embeddings(shards, scenes_student.teacher)


def train_scenes_student(output: Path, seed: int) -> Path:
    """The quickstart's student, and what is chosen on validation scenes."""
    config = QuickstartConfig(output=output)
    shards = output / "shards"
    run = student_config(config, write_embeddings(shards, scenes_student.teacher), seed)
    trained(run)
    chosen(run, shards)
    return run.output


def real_data() -> Path:
    """The folder of real photos. Raises InputError when it is not there."""
    folder = Path(os.environ.get("ZEROSEG_REAL", "../shared/real"))
    if not (folder / "voc_sbd").is_dir():
        raise InputError(
            f"{folder} holds no voc_sbd: set ZEROSEG_REAL to the folder of real photos"
        )
    return folder


def build_photos(output: Path) -> None:
    """Photos with SBD's masks for training; those of VOC's train and val with its own."""
    real, shards = real_data(), output / "shards"
    sbd = real / "voc_sbd"
    build(Pairs(sbd / "images", sbd / "masks", "voc21").source(), str(shards / "sbd"), LIMITS)
    for split in ("train", "val"):
        source = PascalVOC(real / "voc/VOCdevkit", split).source()
        build(source, str(shards / f"voc-{split}"), LIMITS)


def train_photos_student(output: Path, seed: int) -> Path:
    """The student of configs/real_photos.py on the photos that the others have with masks."""
    config = real_photos.config
    data = dataclasses.replace(config.data, shards=f"{output}/shards/sbd")
    run: RunConfig = dataclasses.replace(
        config, seed=seed, data=data, output=run_folder(output, "student", seed)
    )
    if not (run.output / "model").is_dir():
        train(run)
    return run.output


WORLDS = {
    "scenes": World(
        name="scenes",
        benchmark="scenes",
        data="data/scenes",
        test="test",
        protocol=ProtocolConfig(name="seen-unseen"),
        clip=scenes_student.teacher.clip,
        correction=CORRECTION,
        build=build_scenes,
        student=train_scenes_student,
        one_sentence="sculpture",
        several_sentences="imagenet7",
    ),
    "voc": World(
        name="voc_photos",
        benchmark="voc20-15-5",
        data="data/real",
        test="voc-val",
        protocol=ProtocolConfig(name="seen-unseen", short_side=224),
        clip=real_photos.clip,
        correction=FUSED,
        build=build_photos,
        student=train_photos_student,
        one_sentence="sculpture",
        several_sentences="imagenet7",
    ),
}
"""By the name that the command line has."""
