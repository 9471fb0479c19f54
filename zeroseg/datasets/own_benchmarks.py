"""Benchmarks by name: those of the field, one in a JSON file, or the classes that shards say they have."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zeroseg.datasets.benchmarks import BENCHMARKS, Benchmark
from zeroseg.errors import InputError
from zeroseg.records import read_record, to_json

OWN = "own"
"""In place of a benchmark's name: the classes of the shards' manifest."""
BACKGROUND = "background"
"""What a first class is called that is all that none of the others is."""
SUFFIX = ".json"
"""Of benchmark files."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkFile:
    """The content of a benchmark file.

    Raises InputError for a name that could be no file's, a class without a word, and as `Benchmark`.
    """

    format: Literal[1] = 1
    name: str
    """Letters, digits, `.`, `-` and `_`."""
    classes: tuple[str, ...]
    """In label order; commas or `|` separate synonyms."""
    background: bool | None = None
    """Whether label 0 is all that none of the classes is; None where the first one's name says so."""
    unseen: frozenset[str] = frozenset()
    """Classes that training never shows, each by its whole name or a synonym."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]{1,100}", self.name):
            raise InputError(
                f"benchmark name {self.name!r}: give letters, digits, '.', '-' and '_', 100 at most"
            )
        _ = self.benchmark  # whose own checks are this file's

    @property
    def benchmark(self) -> Benchmark:
        """The benchmark, whose name ends in a digest of its classes, so that no two share one."""
        classes = tuple(map(spelled, self.classes))
        whole = {synonym: name for name in classes for synonym in synonyms(name)}
        unseen = (spelled(name) for name in self.unseen)
        return _digested(
            Benchmark(
                name=self.name,
                classes=classes,
                background=self.background is True
                or (self.background is None and called_background(classes)),
                unseen=frozenset(n if n in classes else whole.get(n, n) for n in unseen),
            )
        )


def benchmark_named(name: str) -> Benchmark:
    """A benchmark by its name, by the path of its JSON file, or by that file's text.

    Raises InputError naming those that exist, or the file and the field that is wrong.
    """
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    if name.startswith("{") or name.endswith(SUFFIX):
        return _read(name).benchmark
    if name == OWN:
        raise InputError(
            f"benchmark {OWN!r} is what the manifest of labelled shards says, and there are none to "
            f"ask here: name another, or a {SUFFIX} file with classes and what is unseen"
        )
    raise InputError(
        f"benchmark {name!r} is unknown: choose one of {', '.join(BENCHMARKS)}, or a {SUFFIX} file"
    )


def kept_name(name: str) -> str:
    """The name as it goes into another file: in place of a benchmark file's path its text, which holds
    wherever it is read and whatever becomes of the file. Raises InputError as `benchmark_named`."""
    if not name.endswith(SUFFIX):
        return name
    fields = to_json(_read(name))
    del fields["class"]
    return json.dumps(fields, ensure_ascii=False)


def own_benchmark(classes: Sequence[str], where: object) -> Benchmark:
    """The classes that the manifest of shards names. Raises InputError where it names none, or no list
    that can be scored."""
    if not classes:
        raise InputError(
            f"benchmark {OWN!r}: {where} is not labelled, or its manifests name no classes or not the "
            "same: choose a benchmark, or build with `zeroseg shards build masks`"
        )
    background = called_background(classes)
    return _digested(Benchmark(name=OWN, classes=tuple(classes), background=background))


def called_background(classes: Sequence[str]) -> bool:
    """Whether the first of these names is background's."""
    return bool(classes) and classes[0].strip().lower() == BACKGROUND


def spelled(name: str) -> str:
    """A class's name with its synonyms behind commas, as prompts take it, however they were separated.

    Raises InputError when it holds no word.
    """
    words = synonyms(name.replace("|", ","))
    if not words:
        raise InputError(f"class name {name!r} holds no word: name every class")
    return ", ".join(words)


def synonyms(name: str) -> list[str]:
    """The words of a class's name."""
    return [" ".join(part.split()) for part in name.split(",") if part.strip()]


def _digested(benchmark: Benchmark) -> Benchmark:
    facts = [benchmark.classes, benchmark.background, sorted(benchmark.unseen)]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:6]
    return Benchmark(
        name=f"{benchmark.name}-{digest}",
        classes=benchmark.classes,
        background=benchmark.background,
        unseen=benchmark.unseen,
    )


def _read(name: str) -> BenchmarkFile:
    """From a file, or from its text."""
    if name.startswith("{"):
        return read_record(BenchmarkFile, name, "benchmark")
    try:
        data = Path(name).read_bytes()
    except (OSError, ValueError) as error:  # a null byte in a path is the latter
        raise InputError(f"benchmark file {name!r} cannot be read ({error}): check it") from error
    return read_record(BenchmarkFile, data, f"benchmark file {name}", remedy="mend the file")
