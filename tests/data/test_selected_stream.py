"""Training on what a selection leaves: the order, exactly once, going on, mixing."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.build import Limits, build
from shards.sample import Sample, Source
from tests.support.selections import leave_out
from tests.support.streams import photo, stream, taken, write
from zeroseg.errors import InputError


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> str:
    return write(tmp_path_factory.mktemp("set"))  # 41 samples, 7 shards


def names(batches) -> list[str]:
    return [key for batch in batches for key in batch]


@settings(max_examples=20)
@given(
    gone=st.sets(st.integers(0, 40), max_size=35), ranks=st.integers(1, 2), before=st.integers(0, 3)
)
def test_an_epoch_shows_what_stays_once_wherever_it_was_stopped(
    shards, tmp_path_factory, gone, ranks, before
):
    folder = leave_out(shards, tmp_path_factory.mktemp("s"), gone)
    stays = {f"k{n:03d}" for n in range(41)} - {f"k{n:03d}" for n in gone}
    first = stream(shards, batch_size=1, selection=folder)
    seen = names(taken(first, before))
    others = [stream(shards, r, ranks, batch_size=1, selection=folder) for r in range(ranks)]
    left = (len(stays) - before) // ranks
    for other in others:
        other.load_state_dict(first.state_dict())
        seen += names(taken(other, left))
    assert len(seen) == len(set(seen))
    assert set(seen) <= stays
    assert len(stays) - len(seen) < ranks


def test_loader_processes_change_nothing(shards, tmp_path):
    folder = leave_out(shards, tmp_path / "s", [0, 6, 7, 8, 9, 10, 11, 40])
    runs = [taken(stream(shards, selection=folder, workers=workers), 22) for workers in (0, 2)]
    assert runs[0] == runs[1]
    assert len(set(names(runs[0][:11]))) == 33


def test_parts_are_mixed_as_of_a_set_that_holds_no_more(shards, tmp_path):
    both = f"{shards}::{second_part(tmp_path / 'b')}"
    folder = leave_out(both, tmp_path / "s", [*range(3), *range(41, 47)])
    source = stream(both, batch_size=4, selection=folder, weights=(1.0, 2.0))
    assert source.shards.counts == (3, 6, 6, 6, 6, 6, 5, 4)
    assert source.shards.parts == (0,) * 7 + (1,)
    seen = names(taken(source, 11))
    assert all(seen.count(f"b{n:03d}") == 2 for n in range(6, 10))
    assert not {"k000", "k002", "b000", "b005"} & set(seen)


def test_without_a_selection_the_place_is_as_it_was_and_with_one_it_is_named(shards, tmp_path):
    folder = leave_out(shards, tmp_path / "s", [5])
    assert "selection" not in stream(shards).state_dict()
    with_one = stream(shards, selection=folder)
    assert with_one.state_dict()["selection"] == with_one.shards.selection != ""
    all_stay = stream(shards, selection=leave_out(shards, tmp_path / "all", []))
    assert taken(all_stay, 26) == taken(stream(shards), 26)


def test_too_few_that_stay_are_told_before_training(shards, tmp_path):
    folder = leave_out(shards, tmp_path / "s", range(39))
    with pytest.raises(InputError, match="2 images do not fill one batch of 3"):
        stream(shards, selection=folder)


def second_part(folder: Path) -> str:
    """Ten samples, b000 to b009, in a shard of another name."""
    source = Source(units=range(10), read=lambda n: [Sample(f"b{n:03d}", photo(n))])
    build(source, str(folder), Limits(workers=0, order="path"))
    for file in folder.glob("shard-000000.*"):
        file.rename(folder / f"second{file.suffix}")
    (folder / "manifest.json").unlink()
    return str(folder)
