"""Samples: from a shard's bytes to the tensors of a batch, and a name for each that cannot be had."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from jaxtyping import UInt8
from torch import Tensor

from zeroseg.data.batch import Batch, Lost
from zeroseg.data.images import decode_image
from zeroseg.errors import InputError
from zeroseg.store.reader import RawSample, ShardReader, UnreadableShard
from zeroseg.store.tar_index import image_extension

Decoded = TypeVar("Decoded")

LABELS = "png"
"""Extension of label maps."""
UNREADABLE = "unreadable shard"
"""The cause by which samples of a shard that cannot be opened are lost."""

Decode = Callable[[RawSample], dict[str, Tensor]]
"""One sample's part of every tensor of a batch, by the batch's own names."""


def image_of(sample: RawSample) -> UInt8[Tensor, "3 height width"]:
    """Decode a sample's image. Raises ValueError when it has none, or what its decoder raises."""
    return decode_image(image_bytes(sample))


def image_bytes(sample: RawSample) -> bytes:
    """The file of a sample's image. Raises ValueError when it has none."""
    extension = image_extension(sample.members)
    if sample.labelled and extension == LABELS:
        raise ValueError(f"no image beside its label map: its members are {sorted(sample.members)}")
    if extension is None:
        raise ValueError(f"no image among its members {sorted(sample.members)}")
    return sample.members[extension]


def labels_bytes(sample: RawSample) -> bytes:
    """The file of a sample's label map. Raises ValueError when it has none, or no image beside it."""
    if LABELS not in sample.members:
        raise ValueError(f"no label map ({LABELS}) among its members {sorted(sample.members)}")
    if image_extension(sample.members) == LABELS:
        raise ValueError(f"no image beside its label map: its members are {sorted(sample.members)}")
    return sample.members[LABELS]


def load_batch(reader: ShardReader, samples: Sequence[tuple[int, int]], decode: Decode) -> Batch:
    """Read and decode samples of one size; what cannot be had is in `lost`.

    Raises InputError where that is what decoding raises: it is meant to stop the run.
    """
    reader.announce(samples)
    decoded, lost = read_samples(reader, samples, decode)
    names = decoded[0][1].keys() if decoded else ()
    tensors = {name: torch.stack([parts[name] for _, parts in decoded]) for name in names}
    nothing = {} if decoded else {"images": torch.empty(0, 3, 0, 0, dtype=torch.uint8)}
    return Batch(tuple(key for key, _ in decoded), lost=tuple(lost), **tensors | nothing)


def read_samples(
    reader: ShardReader,
    samples: Iterable[tuple[int, int]],
    decode: Callable[[RawSample], Decoded],
) -> tuple[list[tuple[str, Decoded]], list[Lost]]:
    """Keys and what decoding makes of each sample; and the samples that could not be had."""
    decoded, lost = [], []
    for shard, number in samples:
        key = ""
        try:
            key = reader.key(shard, number)
            decoded.append((key, decode(reader.read(shard, number))))
        except UnreadableShard as error:
            lost.append(Lost(reader.shards.urls[shard], "", UNREADABLE, str(error)))
        except InputError:
            raise
        except Exception as error:  # any picture library's error; the sample is counted and named
            cause = type(error).__name__
            lost.append(Lost(reader.shards.urls[shard], key, cause, str(error)))
    return decoded, lost
