"""Word vectors from a file in word2vec's text format, as embeddings of class names."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zeroseg.errors import InputError


@dataclass(frozen=True, kw_only=True)
class WordVectors:
    """A file with one word a line and its numbers after it; a first line that counts both may be there.

    GloVe's and fastText's text files are the same.
    """

    path: str

    def class_embeddings(self, names: Sequence[str]) -> Float[Tensor, "class embed"]:
        """One unit vector a class: the mean of its words' vectors, over all synonyms, which commas
        separate. Case counts only where the file has a word in both.

        Raises InputError for a missing file, a malformed line, and a class with a word that the file
        lacks.
        """
        wanted = {word for name in names for word in _words(name)}
        found = self._vectors(wanted)
        for name in names:
            for word in _words(name):
                if word not in found:
                    raise InputError(
                        f"{self.path} has no vector for {word!r} of class {name!r}: give a file "
                        "that has, or call the class otherwise"
                    )
        means = [torch.stack([found[word] for word in _words(name)]).mean(dim=0) for name in names]
        return F.normalize(torch.stack(means), dim=-1)

    def _vectors(self, wanted: set[str]) -> dict[str, Float[Tensor, " embed"]]:
        """Of each wanted word that is in the file, as it is spelled or else in lower case."""
        exact: dict[str, Tensor] = {}
        lower: dict[str, Tensor] = {}
        spellings = {word.lower(): word for word in wanted}
        for word, vector in self._lines():
            if word in wanted:
                exact.setdefault(word, vector())
            elif (spelling := spellings.get(word.lower())) is not None:
                lower.setdefault(spelling, vector())
        return lower | exact

    def _lines(self) -> "Iterator[tuple[str, _Vector]]":
        if not Path(self.path).is_file():
            raise InputError(f"word vectors {self.path} do not exist: name a word2vec text file")
        width = 0
        with open(self.path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                word, *numbers = line.rstrip().split(" ")
                if number == 1 and len(numbers) == 1:  # how many words, how many numbers
                    continue
                width = width or len(numbers)
                where = f"{self.path}, line {number}"
                if not width or len(numbers) != width:
                    raise InputError(
                        f"{where}: {len(numbers)} numbers after a word, others have {width}: "
                        "name a word2vec text file"
                    )
                yield word, _Vector(numbers, where)


@dataclass(frozen=True)
class _Vector:
    """Numbers that are read only if their word is wanted: files have millions."""

    numbers: list[str]
    where: str

    def __call__(self) -> Float[Tensor, " embed"]:
        try:
            return torch.tensor([float(number) for number in self.numbers])
        except ValueError as error:
            raise InputError(f"{self.where}: {error}: name a word2vec text file") from error


def _words(name: str) -> list[str]:
    """The words of a class and of its synonyms, in order."""
    parts = itertools.chain.from_iterable(part.split() for part in name.split(","))
    return [word for word in (re.sub(r"^\W+|\W+$", "", part) for part in parts) if word]
