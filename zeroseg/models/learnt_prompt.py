"""A learnt prompt: vectors in the place of words before a class name (zsseg, Xu et al., ECCV 2022).

"{v1} {v2} … {v16} cat." goes through the frozen text tower of a CLIP as any sentence does; only the
embeddings of the first tokens are not those of words but learnt.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from zeroseg.errors import InputError
from zeroseg.models.clip import CLIP
from zeroseg.models.prompts import prompts

NOUN = ("{}.",)
"""What stands after the vectors."""
LONGEST = 512
"""Tokens that a name is read to before it is found too long."""


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """The shape of a learnt prompt."""

    length: int = 16
    """Vectors before the name (zsseg's own)."""
    width: int = 512
    """Their dimensions: the width of the CLIP's text tower."""

    def __post_init__(self) -> None:
        if self.length < 1 or self.width < 1:
            raise InputError(f"prompt is {self}: its length and width are at least 1")


class LearntPrompt(nn.Module):
    """The vectors, and how they are said with a name; the CLIP is handed in, and not a part of it."""

    vectors: Float[nn.Parameter, "length width"]

    def __init__(self, config: PromptConfig) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.empty(config.length, config.width))
        nn.init.normal_(self.vectors, std=0.02)  # the authors'

    def forward(self, clip: CLIP, names: Sequence[str]) -> Float[Tensor, "class embed"]:
        """Class embeddings of unit length, differentiable by the vectors; over synonyms their mean.

        Raises InputError for a name that is too long for the CLIP's context, a text tower that takes
        no vectors, or vectors of another width than its own.
        """
        sentences = [prompts(name, NOUN) for name in names]
        embeddings = self.encode(clip, [text for texts in sentences for text in texts])
        parts = embeddings.split([len(texts) for texts in sentences])
        return F.normalize(torch.stack([part.mean(dim=0) for part in parts]), dim=-1)

    def encode(self, clip: CLIP, texts: Sequence[str]) -> Float[Tensor, "text embed"]:
        """Unit-norm embeddings of the vectors followed by each text."""
        tower = text_tower(clip)
        width = tower.token_embedding.weight.shape[1]
        if self.vectors.shape[1] != width:
            raise InputError(
                f"a prompt's vectors have {self.vectors.shape[1]} dimensions, the text tower of "
                f"{clip.config} has {width}: set prompt.width to that"
            )
        tokens = self._tokens(clip, texts, tower.context_length)
        with (
            _vectors_first(tower.token_embedding, self.vectors),
            torch.autocast(tokens.device.type, enabled=False),
        ):
            embeddings = clip.model.encode_text(tokens)
        return F.normalize(embeddings.float(), dim=-1)

    def _tokens(
        self, clip: CLIP, texts: Sequence[str], context: int
    ) -> Int[Tensor, "text {context}"]:
        """Tokens of texts with room for the vectors after the first, whose own tokens are not read."""
        tokens = clip.tokenizer(list(texts), context_length=max(LONGEST, context))
        length = len(self.vectors)
        room = tokens[:, 1:2].expand(-1, length)
        ends = tokens.argmax(dim=1)  # the end of a text is the highest token there is
        for text, end in zip(texts, ends.tolist(), strict=True):
            if end + 1 + length > context:
                raise InputError(
                    f"{text!r} and {length} learnt vectors make {end + 1 + length} tokens, the context "
                    f"of {clip.config} has {context}: fewer vectors (prompt.length), or a shorter name"
                )
        whole = torch.cat([tokens[:, :1], room, tokens[:, 1:]], dim=1)[:, :context]
        return whole.to(self.vectors.device)


def text_tower(clip: CLIP) -> Any:
    """The part of an open_clip model that reads text token by token up to the highest, its end.

    Raises InputError where there is none such: towers of transformers, and those that end otherwise.
    """
    tower = getattr(clip.model, "text", clip.model)
    pooling = getattr(tower, "text_pool_type", getattr(tower, "pool_type", ""))
    if not hasattr(tower, "token_embedding") or pooling != "argmax":
        raise InputError(
            f"the text tower of {clip.config} takes no learnt vectors: choose a CLIP of open_clip's own"
        )
    return tower


@contextmanager
def _vectors_first(embedding: nn.Module, vectors: Tensor) -> Iterator[None]:
    """Within it, a text tower finds these vectors after the first token of every text."""

    def replace(module: nn.Module, tokens: tuple[Tensor, ...], found: Tensor) -> Tensor:
        placed = vectors.to(found).expand(len(found), -1, -1)
        return torch.cat([found[:, :1], placed, found[:, 1 + len(vectors) :]], dim=1)

    handle = embedding.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()
