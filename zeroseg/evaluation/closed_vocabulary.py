"""Segmenter of a network that knows the classes of one benchmark by name and no other words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zeroseg.datasets.queries import Queries
from zeroseg.errors import InputError


@dataclass(frozen=True)
class ClosedVocabulary:
    """Probabilities of the classes that are asked for; those that were never learnt have none."""

    logits: Callable[[Tensor], Tensor]
    """Of images, for every class of a benchmark."""
    names: tuple[str, ...]
    """Of its classes, in their order."""
    learnt: frozenset[int]
    """Places of those that it has learnt."""
    multiple: int

    @torch.no_grad()
    def predict(
        self, images: Float[Tensor, "batch 3 height width"], queries: Queries
    ) -> Float[Tensor, "batch query rows columns"]:
        """Softmax over the learnt classes that are asked for, and 0 for all others.

        Raises InputError for a word that it does not know, and when none that it knows was learnt.
        """
        rows = self.rows(queries.names)
        asked = [row for row in rows if row in self.learnt]
        if not asked:
            raise InputError(
                f"this model has learnt none of {', '.join(queries.names)}: it has learnt "
                + ", ".join(self.names[row] for row in sorted(self.learnt))
            )
        logits = self.logits(images)[:, asked].float()
        scores = logits.new_zeros(len(logits), len(rows), *logits.shape[2:])
        scores[:, [row in self.learnt for row in rows]] = logits.softmax(dim=1)
        return scores

    def rows(self, words: Sequence[str]) -> list[int]:
        """The class of each word, or of the first of its synonyms that names one.

        Raises InputError for a word that names none, with those that do.
        """
        known = {name.lower(): row for row, name in enumerate(self.names)}
        found = []
        for word in words:
            spellings = [word, *word.split(",")]
            named = [known[s] for s in (x.strip().lower() for x in spellings) if s in known]
            if not named:
                raise InputError(
                    f"this model does not know {word!r}: it knows {', '.join(self.names)}"
                )
            found.append(named[0])
        return found
