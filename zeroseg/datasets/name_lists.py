"""Lists of names: a benchmark's, or a file's with a name in each line."""

from pathlib import Path

from zeroseg.datasets.benchmarks import BENCHMARKS
from zeroseg.datasets.own_benchmarks import SUFFIX, benchmark_named, spelled
from zeroseg.datasets.vocabularies import vocabulary
from zeroseg.errors import InputError


def read_names(source: str, option: str) -> tuple[str, ...]:
    """The names of a benchmark, background left out, or of a file, one a line.

    Raises InputError, naming the option, when it is neither, no text, or empty, or names one twice.
    """
    if source in BENCHMARKS or source.endswith(SUFFIX):
        return vocabulary(benchmark_named(source), "plain").queries
    try:
        lines = Path(source).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{option} {source} cannot be read as text ({error}): name a file with a name in each line, or one "
            f"of {', '.join(BENCHMARKS)}"
        ) from error
    names, places = [line.strip() for line in lines if line.strip()], set[str]()
    if not names:
        raise InputError(f"{option} {source} has no name: write one in each line")
    for name in names:
        if spelled(name) in places:
            raise InputError(f"{option} {source} has {name!r} twice: remove one")
        places.add(spelled(name))
    return tuple(names)
