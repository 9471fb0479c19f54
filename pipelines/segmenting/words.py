"""The words that pictures are segmented with: a list, a file, or a benchmark's; and what is background."""

from collections.abc import Sequence
from pathlib import Path

from shards.class_list import read_class_list
from zeroseg.datasets.benchmarks import BENCHMARKS
from zeroseg.datasets.name_lists import read_names
from zeroseg.datasets.own_benchmarks import SUFFIX, benchmark_named, called_background, spelled
from zeroseg.errors import InputError

LISTS = (".txt", ".csv", ".tsv")
"""Suffixes of files of names."""
NO_BACKGROUND = "none"
MOST = 65535
"""Names of a vocabulary."""


def words_of(classes: str) -> list[str]:
    """The classes that are meant: of a benchmark, by name or file, or of a file of names without their
    background; else what stands between commas. Raises InputError as those files' readers do."""
    if classes in BENCHMARKS or classes.endswith(SUFFIX):
        return list(benchmark_named(classes).names)
    if Path(classes).suffix.lower() in LISTS:
        names = read_class_list(Path(classes)).names
        return list(names[1:] if called_background(names) else names)
    return [name for name in classes.split(",") if name.strip()]


def vocabulary_of(lists: Sequence[str]) -> list[str]:
    """The names of all lists, which are benchmarks' or files', each once and without background. Raises InputError
    as `read_names`, and where they are more than the numbers of a label map."""
    read = [read_names(one, "--vocabulary") for one in lists]
    meant = (name for one in read for name in one[called_background(one) :])
    names = list(dict.fromkeys(map(spelled, meant)))
    if len(names) > MOST:
        raise InputError(f"--vocabulary has {len(names)} names: {MOST} at most, of 16 bits a pixel")
    return names


def background_of(text: str, threshold: float | None) -> float | tuple[str, ...] | None:
    """What is background: below a threshold, which the protocol may have, or any of some words.

    Raises InputError where both are given.
    """
    if text.strip().lower() == NO_BACKGROUND:
        return threshold
    if threshold is not None:
        raise InputError(
            f"--background {text} and --protocol.background-threshold {threshold}: leave one out"
        )
    try:
        return float(text)
    except ValueError:
        words = tuple(word.strip() for word in text.replace("|", ",").split(",") if word.strip())
    if not words:
        raise InputError("--background is empty: give a threshold, words, or none")
    return words
