"""The stored embeddings of whole images, beside the shards of the images."""

import torch

from zeroseg.data.embedding_index import WHOLE
from zeroseg.data.embeddings import EmbeddingSet, open_embeddings
from zeroseg.errors import InputError
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.records import from_json
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet


def open_whole_images(path: str, shards: ShardSet, cache: ShardCache) -> EmbeddingSet:
    """Open what `zeroseg embed` wrote of a set. Raises InputError when it is of others, or of crops."""
    stored = open_embeddings(path, cache, WHOLE, skip=True)
    if stored.record.crops.count > 1:
        raise InputError(
            f"{path} holds embeddings of random crops, not of whole images: run "
            "`zeroseg embed --grids 1` into another folder"
        )
    stored.check(shards.urls, stored.record.crops, stored.record.side)
    embedded = dict(zip(stored.shards.names, stored.shards.counts, strict=True))
    for name, count in zip(shards.names, shards.counts, strict=True):
        if embedded[name] > count:
            raise InputError(
                f"{path} holds {embedded[name]} embeddings for the {count} images of {name}: "
                "they are of another set, run `zeroseg embed` on this one"
            )
    return stored


def teacher_of(stored: EmbeddingSet, path: str, device: torch.device) -> CLIP:
    """The CLIP that made stored embeddings.

    Raises InputError when it is not at hand, or has other weights now.
    """
    config = from_json(CLIPConfig, stored.record.teacher, f"{path}: teacher")
    clip = CLIP(config, device)
    if clip.weights_sha256 != stored.record.weights_sha256:
        raise InputError(
            f"the embeddings of {path} are of other weights than {config} has now: bring those back, run "
            "`zeroseg embed` again, or ask for nothing that needs their teacher (words, pictures, "
            "--against-cosine below 1)"
        )
    return clip
