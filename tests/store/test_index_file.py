"""An index file that is read line by line tells what one read as a whole does."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.damage import IMPATIENT, shard, span, undamaged
from zeroseg.data.samples import image_of, read_samples
from zeroseg.errors import InputError
from zeroseg.store.index_file import IndexFile
from zeroseg.store.reader import ShardReader
from zeroseg.store.shard_set import open_set
from zeroseg.store.tar_index import Span, TarIndex, index_text, parse_index

NAMES = st.lists(
    st.text("ab/é-_0", min_size=1, max_size=6).filter(
        lambda name: not name.startswith("/") and not name.endswith("/")
    ),
    unique=True,
    max_size=40,
)


def index(keys) -> TarIndex:
    members = tuple(
        {"jpg": Span(512 * i, i), "json": Span(512 * i + 5, 7)} for i in range(len(keys))
    )
    return TarIndex(tuple(keys), members)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("index") / "shard.idx"


@given(NAMES, st.booleans(), st.integers(0, 50))
def test_samples_and_numbers_are_those_of_the_whole(path, keys, last_newline, expected):
    whole, text = index(keys), index_text(index(keys))
    path.write_text(text if last_newline else text.removesuffix("\n"))
    lines = IndexFile(path)
    again = IndexFile(path, lines.blocks)
    assert len(lines) == len(whole)
    for number, key in enumerate(keys):
        assert lines.sample(number) == again.sample(number) == whole.sample(number)
        assert lines.number(key, expected) == again.number(key) == number
    assert lines.number("absent", expected) is None
    lines.close()
    again.close()


def test_a_key_that_begins_like_another_is_not_taken_for_it(path):
    path.write_text(index_text(index([f"deep.{i}/a" for i in range(20)] + ["deep"])))
    lines = IndexFile(path)
    assert lines.number("deep", 9) == 20
    assert lines.number("deep.3/a", 15) == 3
    assert lines.number("deep.3/a", 19) == 3
    lines.close()


def test_blocks_of_another_file_are_not_believed(path):
    path.write_text(index_text(index(["a", "b"])))
    before = IndexFile(path)
    path.write_text(index_text(index(["a", "b", "c"])))
    after = IndexFile(path, before.blocks)
    assert [after.key(n) for n in range(len(after))] == ["a", "b", "c"]
    before.close()
    after.close()


@pytest.mark.parametrize("text", ["", "v1.1 1\nx", "v1.2 3\njpg 0 0 a.jpg\n", "\xff\xfe"])
def test_what_is_no_index_is_refused_as_the_whole_is(path, text):
    path.write_text(text)
    with pytest.raises(InputError) as one:
        IndexFile(path)
    with pytest.raises(InputError) as other:
        parse_index(text, str(path))
    assert str(one.value) == str(other.value)


def read_all(folder):
    reader = ShardReader(open_set(str(folder), IMPATIENT()), IMPATIENT())
    counts = enumerate(reader.shards.counts)
    return read_samples(reader, [(s, n) for s, count in counts for n in range(count)], image_of)


def test_an_index_of_another_shard_hands_out_no_sample_under_anothers_name(tmp_path):
    folder = undamaged(tmp_path / "set")
    right = read_all(folder)
    first, second = (shard(folder, n).with_suffix(".idx") for n in range(2))
    told = first.read_text()
    number, size = span(folder, 0, "deep/k0", "jpg")
    first.write_text(second.read_text())
    decoded, lost = read_all(folder)
    assert [key for key, _ in decoded] == [f"deep/k{n}" for n in range(3, 7)]
    assert all("not where the shard's index file says" in loss.detail for loss in lost)
    assert [loss.key for loss in lost] == ["deep/k3", "deep/k4", "deep/k5"]
    first.write_text(told.replace(f" {number} {size} ", f" {number + 512} {size} "))
    assert [loss.key for loss in read_all(folder)[1]] == ["deep/k0"]
    first.write_text(told)
    assert [key for key, _ in read_all(folder)[0]] == [key for key, _ in right[0]]
