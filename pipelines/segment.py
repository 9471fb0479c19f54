"""Segment your own pictures with your own words.

    zeroseg segment runs/x photo.jpg --classes "cat, sofa|couch, grass" --output out
    zeroseg segment runs/x photos "trip/*/*.jpg" --classes words.txt --background "sky|wall" --output out
    zeroseg segment runs/x data/photos https://host/photo.jpg --classes voc20 --every 10 --output out
    zeroseg segment runs/x photos --classes words.txt --output out --export coco labelme cvat label-studio
    zeroseg segment runs/x photos --vocabulary ade847 names.txt --output out

Inputs are pictures, folders, quoted patterns, shards and URLs. Answers lie below the output at the path that the
picture has below its input. Stopped and started again it goes on with those that are missing.
"""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from tqdm import tqdm

from pipelines.command_line import UNSET, read
from pipelines.exports.formats import FORMATS, Export, check_installed
from pipelines.exports.pictures import LabelledPicture, Legend
from pipelines.segmenting.batches import answered
from pipelines.segmenting.inputs import Source, sources
from pipelines.segmenting.outputs import Outputs
from pipelines.segmenting.settings import digest_of, refuse_other, write
from pipelines.segmenting.words import background_of, vocabulary_of, words_of
from zeroseg.errors import InputError
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.open_vocabulary import OpenVocabulary
from zeroseg.evaluation.protocols import ProtocolConfig
from zeroseg.evaluation.task import Task
from zeroseg.models.segmenter import Segmenter
from zeroseg.predictor import Predictor, load, own_classes
from zeroseg.store.storage import write_atomically

UNREADABLE = "unreadable.txt"


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """Which pictures, which words, which model."""

    model: Annotated[str, tyro.conf.Positional]
    """Run folder, its `model` folder, or `clip:ARCHITECTURE:WEIGHTS:METHOD`."""
    inputs: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT [INPUT ...]")
    ]
    """Pictures, folders of them to any depth, patterns in quotes (`**` is any depth), shards, URLs."""
    classes: str = ""
    """Your words, separated by commas; `|` between synonyms of one class. Or a file of a word a line
    (`.txt`, `.csv`), a benchmark's name or its `.json` file."""
    vocabulary: tuple[str, ...] = ()
    """In place of --classes: files of thousands of names, one a line, or benchmarks, from which the segments of
    each picture are named."""
    shortlist: int = 64
    """Names of the vocabulary that one picture is asked about, at most."""
    same_cosine: float = 0.95
    """Cosine of their texts from which two names of the vocabulary are one class."""
    background: str = "none"
    """A threshold, below which a pixel is background; or words, which are background (`sky|wall`)."""
    output: Path = Path("segmented")
    """Folder for label maps, overlays and the shares of each class."""
    every: int = 1
    """Take each Nth picture alone."""
    confidence: bool = False
    """Write how sure the model is of each pixel, as a grey picture, too."""
    no_overlays: bool = False
    """Write label maps without the pictures that show them."""
    export: tuple[Export, ...] = ()
    """Formats of other tools, written into `exports` there."""
    batch_size: int = 8
    """Pictures of one size that the model sees at once."""
    readout: str = ""
    """How the model is read; empty takes its best by validation."""
    correction: Correction = field(default_factory=Correction)
    """Its teacher at test."""
    protocol: ProtocolConfig = field(default_factory=lambda: ProtocolConfig(name="photo"))
    """`--protocol.name` takes one of `zeroseg.PROTOCOLS`; other options change single fields."""


@dataclass(frozen=True)
class Segmented:
    """What became of the pictures."""

    pictures: int
    """All that were asked for."""
    already: int
    """Those whose answers were there."""
    unreadable: tuple[str, ...]
    """A line for each that could not be read: which, and why."""


def run(config: SegmentConfig) -> Segmented:
    """Write `<picture>.labels.png`, `<picture>.overlay.png` and `<picture>.json` of each picture, and exports.

    The label map has the colours of the overlay; of more than 255 classes it is grey of 16 bits. Raises
    InputError, before any picture is read, for inputs, words or an output folder that do not fit.
    """
    names, background = _words(config)
    check_installed(config.export)
    wanted = sources(config.inputs, config.output)[:: config.every]
    model = load(config.model)
    segmenter = model.segmenter(config.readout, config.correction)
    question = _question(config, model, names, background)
    task = question if isinstance(question, Task) else question.task
    settings = _settings(config, background, digest_of(config.model, model), task)
    refuse_other(config.output, settings)
    outputs = _outputs(config, task)
    missing = [source for source in wanted if not outputs.is_whole(source)]
    write(config.output, settings)
    with tqdm(total=len(wanted), initial=len(wanted) - len(missing), unit="picture") as bar:
        lost = _segment(missing, question, segmenter, outputs, config.batch_size, bar)
    _name_lost(config.output, list(lost.values()))
    _export(config, outputs, [source for source in wanted if source.stem not in lost])
    return Segmented(len(wanted), len(wanted) - len(missing), tuple(lost.values()))


def _words(config: SegmentConfig) -> tuple[list[str], float | tuple[str, ...] | None]:
    """The words, and what is background. Raises InputError where options do not fit."""
    for name in ("every", "batch_size", "shortlist"):
        if getattr(config, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} is {getattr(config, name)}: at least 1")
    if bool(config.classes) == bool(config.vocabulary):
        have = "both are there" if config.classes else "neither is there"
        raise InputError(f"--classes or --vocabulary: {have}, name one of them")
    background = background_of(config.background, config.protocol.background_threshold)
    if config.vocabulary and background is not None:
        raise InputError("--background is of --classes: leave it out with --vocabulary")
    if not 0 < config.same_cosine <= 1:
        raise InputError(f"--same-cosine is {config.same_cosine}: it is above 0, and 1 at most")
    names = vocabulary_of(config.vocabulary) if config.vocabulary else words_of(config.classes)
    own_classes(names, background is not None)
    return names, background


def _question(
    config: SegmentConfig,
    model: Predictor,
    names: Sequence[str],
    background: float | Sequence[str] | None,
) -> Task | OpenVocabulary:
    """What every picture is asked."""
    if not config.vocabulary:
        return model.task(names, background, config.protocol)
    return model.open_vocabulary(
        names, config.protocol, shortlist=config.shortlist, same=config.same_cosine
    )


def _segment(
    missing: Sequence[Source],
    question: Task | OpenVocabulary,
    segmenter: Segmenter,
    outputs: Outputs,
    batch_size: int,
    bar: tqdm,
) -> dict[str, str]:
    """Write the answers of pictures; return why others could not be read, by their stems."""
    lost: dict[str, str] = {}

    def lose(source: Source, reason: str) -> None:
        lost[source.stem] = f"{source.where}: {reason}"
        bar.write(lost[source.stem], file=sys.stderr)
        bar.update()

    for answer in answered(missing, question, segmenter, batch_size, lose):
        said = outputs.write(answer)
        if bar.total == 1:
            bar.write(said)
        bar.update()
    return lost


def _outputs(config: SegmentConfig, task: Task) -> Outputs:
    return Outputs(
        folder=config.output,
        legend=Legend(task.benchmark.classes, task.benchmark.background),
        protocol=task.protocol,
        confidence=config.confidence,
        overlays=not config.no_overlays,
    )


def _settings(
    config: SegmentConfig, background: float | Sequence[str] | None, digest: str, task: Task
) -> dict[str, Any]:
    """All that an answer depends on, beside its picture."""
    told = {"shortlist": config.shortlist, "same_cosine": config.same_cosine}
    return {
        "model": digest,
        "words": task.queries.names,
        "classes": task.benchmark.classes,
        "background": background,
        "readout": config.readout,
        "correction": dataclasses.asdict(config.correction),
        "protocol": dataclasses.asdict(task.protocol),
    } | (told if config.vocabulary else {})


def _name_lost(folder: Path, lines: Sequence[str]) -> None:
    """Write which pictures could not be read; no file where all could."""
    (folder / UNREADABLE).unlink(missing_ok=True)
    if lines:
        text = "".join(f"{line}\n" for line in lines)
        write_atomically(str(folder / UNREADABLE), text.encode(errors="backslashreplace"))


def _export(config: SegmentConfig, outputs: Outputs, whole: Sequence[Source]) -> None:
    def pictures() -> Iterator[LabelledPicture]:
        for one in tqdm(whole, f"export {export}", unit="picture", delay=2):
            yield LabelledPicture(
                name=one.name,
                where=one.where,
                is_local=one.path is not None,
                stem=one.stem,
                labels=outputs.labels(one),
                read=one.read,
            )

    for export in config.export:
        print(FORMATS[export](config.output / "exports", pictures(), outputs.legend))


def main(arguments: Sequence[str]) -> None:
    """Read the command line and segment; exit status 1 where a picture could not be read."""
    config = read(SegmentConfig, arguments, "zeroseg segment", __doc__, *UNSET)
    done = run(config)
    told = f"{config.output}: {done.pictures - len(done.unreadable)} of {done.pictures} pictures"
    print(told + (f", {done.already} of them there already" if done.already else ""))
    if done.unreadable:
        print(
            f"{len(done.unreadable)} could not be read, named in {config.output / UNREADABLE}: mend or "
            "remove them",
            file=sys.stderr,
        )
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
