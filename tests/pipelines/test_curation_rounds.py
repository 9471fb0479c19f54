"""Comparing that is shared by real processes through files: in blocks, killed, given up."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from pipelines.curation.facts import FactsReading
from pipelines.curation.rounds import Rounds
from shards import scenes
from shards.build import Limits, build
from shards.sample import Sample, Source
from tests.support import small_blocks
from tests.support.jobs import Job, done, program
from tests.support.streams import IMPATIENT
from zeroseg import InputError
from zeroseg.data.stored_rows import StoredRows, read_array, write_array
from zeroseg.data.unit_vectors import cosines
from zeroseg.data.vector_tasks import PairCosines
from zeroseg.store.selection import read_selection
from zeroseg.store.shard_set import open_set

PHOTOS = 16


def built(folder: Path, copies: int = 4) -> str:
    """Shards of scenes, of some of which there is a copy too, and a smaller one."""
    source = scenes.Scenes("train", PHOTOS).source()
    found = [(s.key.replace("/", "-"), s.image) for unit in source.units for s in source.read(unit)]
    some = found[:copies]
    found += [(f"again-{key}", image) for key, image in some]
    found += [(f"small-{key}", smaller(image)) for key, image in some]
    units = [Sample(key, image, members={"jpg": image}) for key, image in found]
    source = Source(units=units, read=lambda unit: [unit], built_from={})
    build(source, str(folder), Limits(images_per_shard=6, workers=0, order="path"))
    return str(folder)


def smaller(image: bytes) -> bytes:
    with Image.open(io.BytesIO(image)) as photo:
        buffer = io.BytesIO()
        photo.resize((photo.width * 3 // 4, photo.height * 3 // 4)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> list[str]:
    """What is asked of the command, but for its output."""
    folder = tmp_path_factory.mktemp("rounds")
    shards, embeddings = built(folder / "shards"), str(folder / "e")
    which = ["--teacher", "zeroseg-scenes", "--grids", "1", "--side", "112", "--workers", "0"]
    cli.main(["embed", "--shards", shards, "--output", embeddings, *which])
    held = str(folder / "held")
    build(scenes.Scenes("train", 2).source(), held, Limits(workers=0, order="path"))
    steps = ["--duplicates", "0.9", "--balance", "5", "--against", held]
    return [shards, "--embeddings", embeddings, *steps]


@pytest.fixture(scope="module")
def whole(asked, tmp_path_factory) -> dict[str, bytes]:
    """What one process writes that compares all at once."""
    folder = tmp_path_factory.mktemp("whole") / "s"
    cli.main(["curate", *asked, "--output", str(folder), "--workers", "0"])
    reasons = read_selection(str(folder)).reasons
    assert {"balance", "same picture", f"in {asked[-1]}"} <= reasons.keys(), reasons
    return content(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(("ranks", "workers"), [(1, "2"), (2, "0")])
def test_processes_that_share_small_blocks_write_what_one_writes(
    asked, whole, tmp_path, ranks, workers
):
    options = ["--output", str(tmp_path / "s"), "--workers", workers]
    done(small_blocks.curate, [*asked, *options], ranks=ranks)
    assert content(tmp_path / "s") == whole


def test_killed_at_any_block_and_continued_by_others_it_writes_the_same(asked, whole, tmp_path):
    arguments = [*asked, "--output", str(tmp_path / "s"), "--workers", "0"]
    rounds = tmp_path / "s" / ".curating" / "rounds"
    for ranks, least in ((2, 1), (1, 12), (2, 30)):
        job = Job(small_blocks.curate, arguments, ranks=ranks)
        while job.running and len(list(rounds.glob("*/0*.npy"))) < least:
            time.sleep(0.002)
        assert job.running
        job.kill()
    done(small_blocks.curate, arguments)
    assert content(tmp_path / "s") == whole


def test_when_the_main_process_gives_up_the_others_end(asked, tmp_path):
    none_stays = ["--junk", "--tiny", "9999", "--output", str(tmp_path / "s"), "--workers", "0"]
    job = Job(program, "pipelines.curate", [*asked, *none_stays], ranks=2)
    assert "no image would stay" in job.ended(60)
    assert job.statuses[1] == 0
    assert not (tmp_path / "s" / "selection.json").exists()


def test_vectors_are_mapped_and_read_where_they_are(asked, tmp_path):
    reading = FactsReading(open_set(asked[0], IMPATIENT), None, str(tmp_path), IMPATIENT)
    for shard in range(len(reading.shards.urls)):
        reading(shard)
    facts = reading.facts()
    assert isinstance(facts.thumbnails, StoredRows)
    assert len(facts) == len(facts.thumbnails) == PHOTOS + 8
    assert facts.key(6) == reading.facts().key(6)
    assert all(isinstance(read_array(url), np.memmap) for url in facts.thumbnails.urls)
    assert facts.thumbnails[np.arange(PHOTOS + 8)].any(axis=1).tolist() == facts.shown.tolist()


def test_what_another_version_asked_is_refused(tmp_path):
    rows = np.eye(4, dtype=np.float16)
    write_array(str(tmp_path / "rows.npy"), rows)
    stored = StoredRows("rows", [str(tmp_path / "rows.npy")], [4], 4)
    pairs = np.array([[0, 1], [2, 2], [3, 3]])
    parts = list(Rounds(str(tmp_path), {"rows": stored})(PairCosines(pairs=pairs, size=2), stored))
    assert np.concatenate(parts).tolist() == cosines(rows[pairs[:, 0]], rows[pairs[:, 1]]).tolist()
    with pytest.raises(InputError, match="of another version"):
        next(Rounds(str(tmp_path), {"rows": stored})(PairCosines(pairs=pairs, size=3), stored))
