"""Selections: written, read, refused, and the samples that a reader finds under them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.selections import leave_out
from tests.support.streams import IMPATIENT, write
from zeroseg.errors import InputError
from zeroseg.store.manifest import NAME as MANIFEST
from zeroseg.store.reader import ShardReader, UnreadableShard
from zeroseg.store.selection import LeftOut, read_left_out, read_selection
from zeroseg.store.shard_set import open_set


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> str:
    return write(tmp_path_factory.mktemp("set"), 20)  # of 6, 6, 6 and 2


def test_a_selection_says_what_it_is_of_and_why_each_sample_goes(shards, tmp_path):
    gone = {0: LeftOut(number=0, key="k000", reason="tiny")}
    gone[8] = LeftOut(number=2, key="k008", reason="near", instead="shard-000000 k001", cosine=0.9)
    folder = leave_out(shards, tmp_path / "s", gone)
    selection = read_selection(folder)
    assert selection.samples == 18
    assert selection.reasons == {"near": 1, "tiny": 1}
    assert [s.left_out for s in selection.shards] == [1, 1, 0, 0]
    assert [list(read_left_out(folder, s)) for s in selection.shards] == [
        [gone[0]],
        [gone[8]],
        [],
        [],
    ]
    names = sorted(p.name for p in Path(folder).iterdir())
    assert names == ["selection.json", "shard-000000.jsonl", "shard-000001.jsonl"]
    assert (tmp_path / "s/shard-000000.jsonl").read_text() == (
        '{"number": 0, "key": "k000", "reason": "tiny"}\n'
    )


def test_the_same_selection_has_the_same_bytes(shards, tmp_path):
    one, two = (Path(leave_out(shards, tmp_path / name, [3, 4, 11])) for name in ("a", "b"))
    assert [p.read_bytes() for p in sorted(one.iterdir())] == [
        p.read_bytes() for p in sorted(two.iterdir())
    ]


@given(gone=st.sets(st.integers(0, 19), min_size=1, max_size=19))
def test_a_reader_finds_what_stays_and_nothing_else(shards, tmp_path_factory, gone):
    folder = leave_out(shards, tmp_path_factory.mktemp("s"), gone)
    opened = open_set(shards, IMPATIENT, selection=folder)
    whole = ShardReader(open_set(shards, IMPATIENT), IMPATIENT)
    reader, stays = ShardReader(opened, IMPATIENT), [n for n in range(20) if n not in gone]
    places = [(s, n) for s, count in enumerate(opened.counts) for n in range(count)]
    assert opened.samples == len(places) == len(stays)
    assert all(opened.counts)
    for place, number in zip(places, stays, strict=True):
        sample = reader.read(*place)
        assert sample.key == reader.key(*place) == f"k{number:03d}"
        assert sample == whole.read(number // 6, number % 6)
        assert [reader.number(place[0], sample.key, guess) for guess in (0, 5)] == [place[1]] * 2
        lost = [n for n in gone if opened.urls[place[0]].endswith(f"{n // 6}.tar")]
        assert all(reader.number(place[0], f"k{n:03d}") is None for n in lost)
    reader.close(), whole.close()


def test_a_selection_that_keeps_nothing_is_neither_written_nor_read(shards, tmp_path):
    with pytest.raises(InputError, match=r"no image would stay \(20 chosen\)"):
        leave_out(shards, tmp_path / "none", range(20))
    assert not (tmp_path / "none").exists()


def test_a_selection_of_other_shards_is_refused(shards, tmp_path):
    folder = leave_out(shards, tmp_path / "s", [1])
    for count, per_shard, why in (
        (14, 6, "shard-000003.tar is in one of the two alone"),
        (19, 6, "shard-000003.tar has 1 samples, not 2"),
        (21, 7, "shard-000003.tar is in one"),
    ):
        other = write(tmp_path / f"{count}", count, per_shard)
        with pytest.raises(InputError, match=f"is of other shards .*{why}"):
            open_set(other, IMPATIENT, selection=folder)


def test_shards_of_as_many_samples_are_told_by_digest_or_else_by_key(shards, tmp_path):
    other = leave_out(write(tmp_path / "a", 20), tmp_path / "s", [1])
    record = json.loads((tmp_path / "a" / MANIFEST).read_text())
    record["shards"][0]["sha256"] = "0" * 64
    (tmp_path / "a" / MANIFEST).write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"shard-000000.tar has another SHA-256"):
        open_set(str(tmp_path / "a"), IMPATIENT, selection=other)
    (tmp_path / "a" / MANIFEST).unlink()
    gone = {7: LeftOut(number=1, key="k999", reason="chosen")}
    renamed = leave_out(str(tmp_path / "a"), tmp_path / "t", gone)
    reader = ShardReader(open_set(str(tmp_path / "a"), IMPATIENT, selection=renamed), IMPATIENT)
    assert reader.key(0, 0) == "k000"
    with pytest.raises(UnreadableShard, match="whose sample 1 has not the key k999"):
        reader.key(1, 0)


def test_what_is_missing_or_damaged_is_one_line(shards, tmp_path):
    def refusal() -> str:
        with pytest.raises(InputError) as refused:
            open_set(shards, IMPATIENT, selection=str(tmp_path / "s"))
        assert "\n" not in str(refused.value)
        return str(refused.value)

    assert "no finished selection" in refusal()
    folder = Path(leave_out(shards, tmp_path / "s", [1, 2]))
    lines = (folder / "shard-000000.jsonl").read_text()
    (folder / "shard-000000.jsonl").write_text(lines.replace('"number": 1', '"number": 0'))
    assert "is not what selection.json beside it says" in refusal()
    (folder / "shard-000000.jsonl").unlink()
    assert "cannot be read" in refusal()
    text = (folder / "selection.json").read_text()
    (folder / "selection.json").write_text(text.replace('"left_out": 2', '"left_out": 1'))
    assert "damaged" in refusal()
    (folder / "selection.json").write_text(text[:-20])
    assert "is not JSON" in refusal()
