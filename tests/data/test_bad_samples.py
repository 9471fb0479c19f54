"""What happens to training when samples, shards or workers fail, with real files and processes."""

import dataclasses
import io
import itertools
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shards.build import Limits, build
from shards.sample import Sample, Source, encoded
from tests.support.streams import IMPATIENT, SIDE, keys, stream, taken, write
from zeroseg.data.crops import Crops
from zeroseg.data.picture_files import MAX_PIXELS
from zeroseg.data.samples import load_batch
from zeroseg.data.transforms import UnlabelledCrops
from zeroseg.errors import InputError
from zeroseg.store.reader import ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set
from zeroseg.store.tar_index import read_index


@pytest.fixture
def shards(tmp_path) -> str:
    return write(tmp_path / "set")  # 7 shards, the last of 5


def spoil(folder: str, *numbers: int) -> None:
    """Overwrite the bytes of some images where they stand."""
    opened = open_set(folder, IMPATIENT)
    for number in numbers:
        shard, place = divmod(number, opened.counts[0])
        span = read_index(Path(opened.urls[shard])).members[place]["jpg"]
        with open(opened.urls[shard], "r+b") as file:
            file.seek(span.offset)
            file.write(b"\0" * span.size)


def test_a_bad_sample_makes_its_batch_smaller_and_moves_no_other(shards):
    clean = taken(stream(shards), 13)
    spoil(shards, 5)
    source = stream(shards, most_lost=0.5)
    batches = list(itertools.islice(source, 13))
    assert keys(batches) == [tuple(k for k in b if k != "k005") for b in clean]
    (loss,) = [loss for batch in batches for loss in batch.lost]
    assert (loss.key, loss.cause) == ("k005", "UnidentifiedImageError")
    assert loss.shard.endswith("shard-000000.tar")
    assert source.lost == {"UnidentifiedImageError": 1}


def test_neighbours_stand_in_for_a_batch_that_is_lost_whole(shards):
    clean = taken(stream(shards, batch_size=1), 41)
    spoil(shards, 7)
    source = stream(shards, batch_size=1, most_lost=0.5)
    batches = list(itertools.islice(source, 41))
    at = clean.index(("k007",))
    assert keys(batches) == [clean[at + 1 if i == at else i] for i in range(41)]
    assert [len(b.lost) for b in batches] == [int(i == at) for i in range(41)]


def test_too_many_bad_samples_stop_the_run_and_say_which(shards):
    spoil(shards, *range(0, 41, 3))
    with pytest.raises(InputError, match=r"samples could not be had \(\d+ Unidentified.*k0\d\d"):
        taken(stream(shards, most_lost=0.1), 40)


def test_an_unreadable_shard_is_counted_whole(shards):
    source = stream(shards, most_lost=0.5)
    Path(shards, "shard-000002.tar").unlink()
    batches = list(itertools.islice(source, 13))
    lost = [loss for batch in batches for loss in batch.lost]
    assert {(loss.cause, loss.key) for loss in lost} == {("unreadable shard", "")}
    assert all(loss.shard.endswith("shard-000002.tar") for loss in lost)
    assert sum(len(b.keys) + len(b.lost) for b in batches) == 39


class _Flaky(ShardCache):
    """A real cache whose storage fails the first time."""

    def read(self, url, action, version):
        mark = Path(url + ".tried")
        if not mark.exists():
            mark.touch()
            raise OSError("try again")
        return super().read(url, action, version)


def test_a_shard_that_fails_for_a_while_is_tried_again(shards):
    source = stream(shards, cache=_Flaky(retries=2, pause=0.01))
    assert taken(source, 13) == taken(stream(shards), 13)
    assert not source.lost


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deadly(UnlabelledCrops):
    """Kills the process that is shown one sample."""

    def __call__(self, sample, epoch):
        if sample.key == "k020":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(sample, epoch)


def test_a_worker_that_dies_is_reported_with_its_sample(shards):
    source = stream(shards, workers=1)
    source.transform = Deadly(size=SIDE, view_size=SIDE, crops=Crops())
    with pytest.raises(InputError, match=r"was killed.*shard-000003\.tar k020"):
        [time.sleep(0.1) for _ in source]  # it dies while nobody waits for it


def kinds() -> dict[str, bytes]:
    rgb = np.full((20, 30, 3), 200, np.uint8)
    cases = {
        "one pixel": (Image.new("RGB", (1, 1), (200,) * 3), "png", {}),
        "grey": (Image.new("L", (30, 20), 200), "jpeg", {}),
        "cmyk": (Image.fromarray(rgb).convert("CMYK"), "jpeg", {"quality": 100}),
        "16-bit": (Image.fromarray(np.full((20, 30), 200 * 257, np.uint16)), "png", {}),
        "alpha": (Image.new("RGBA", (30, 20), (200, 200, 200, 9)), "png", {}),
        "palette": (Image.fromarray(rgb).convert("P"), "png", {}),
        "webp": (Image.fromarray(rgb), "webp", {}),
        "animated": (Image.fromarray(rgb), "gif", {"save_all": True, "append_images": []}),
    }
    made = {}
    for name, (image, kind, options) in cases.items():
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        made[name] = buffer.getvalue()
    return made


def _kind(name: str):
    yield Sample(name.replace(" ", "-"), kinds()[name])


def test_every_kind_of_picture_trains(tmp_path):
    source = Source(units=list(kinds()), read=_kind)
    build(source, str(tmp_path), Limits(workers=0))
    (batch,) = itertools.islice(stream(str(tmp_path), batch_size=8), 1)
    assert not batch.lost
    assert batch.images.dtype == torch.uint8
    assert (batch.images.int() - 200).abs().max() <= 6  # the palette has no 200


def _bomb(_: int):
    yield Sample("bomb", encoded(np.zeros((1, 1), np.uint8), "png"))


def test_a_decompression_bomb_is_a_bad_sample(tmp_path):
    build(Source(units=range(1), read=_bomb), str(tmp_path), Limits(workers=0))
    opened = open_set(str(tmp_path), IMPATIENT)
    huge = Image.new("1", (10_000, MAX_PIXELS // 10_000 + 1))
    buffer = io.BytesIO()
    huge.save(buffer, "png")

    def decode(sample):
        swapped = sample._replace(members={"jpg": buffer.getvalue()})
        return UnlabelledCrops(size=8, view_size=8, crops=Crops())(swapped, epoch=0)

    batch = load_batch(ShardReader(opened, IMPATIENT), [(0, 0)], decode)
    assert [loss.cause for loss in batch.lost] == ["DecompressionBombWarning"]
