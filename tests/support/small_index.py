"""The index of embeddings as of many images, of few: an inverted file in small pieces."""

import os

from zeroseg.data import embedding_index, sharded_index
from zeroseg.data.embedding_index import build_index
from zeroseg.store.shard_cache import ShardCache


def index(folder: str) -> None:
    """Write what this process writes of it."""
    embedding_index.LARGEST, sharded_index.EXACT = 16, 30
    place = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    build_index(folder, "int8", ShardCache(retries=0), *place)
