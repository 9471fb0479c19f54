"""Small corpora in the formats that people have, and what a source makes of them."""

import io
import pickle
import tarfile

import numpy as np

from shards.sample import BadSample, Sample, Source, encoded
from zeroseg.store.storage import join, write_atomically


def picture(shade: int, kind: str = "jpeg") -> bytes:
    return encoded(np.full((8, 6, 3), shade, np.uint8), kind)


ONE, TWO, THREE = picture(10), picture(120, "png"), picture(230, "webp")
TORN = b"\xff\xd8 torn"


def put(root: str, files: dict[str, bytes]) -> str:
    for name, data in files.items():
        write_atomically(join(root, name), data)
    return root


def packed(members: dict[str, bytes]) -> bytes:
    """A tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def samples(source: Source) -> list[Sample | BadSample]:
    """As another process would read them: after pickling."""
    source = pickle.loads(pickle.dumps(source))
    return [sample for unit in source.units for sample in source.read(unit)]


def good(source: Source) -> dict[str, bytes]:
    """Images by key, of a source without any bad sample."""
    found = samples(source)
    assert all(isinstance(s, Sample) and s.labels is None for s in found), found
    assert len({s.key for s in found}) == len(found)
    return {s.key: s.image for s in found}


def bad(source: Source) -> list[str]:
    return [str(s) for s in samples(source) if isinstance(s, BadSample)]
