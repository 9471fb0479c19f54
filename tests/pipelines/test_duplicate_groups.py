"""Groups of duplicates out of the lines of a selection."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.curation.excerpt import sample_of
from pipelines.curation.groups import NAME, Group, group_lines, groups_of, read_groups
from zeroseg import InputError
from zeroseg.store.selection import LeftOut


def gone(key: str, reason: str, instead: str = "", cosine: float | None = None) -> LeftOut:
    return LeftOut(number=0, key=key, reason=reason, instead=instead, cosine=cosine)


LINES = [
    ("0.tar", [gone("c", "near duplicate", "1.tar a b", 0.95), gone("d", "flat")]),
    ("1.tar", [gone("e", "exact duplicate", "0.tar c"), gone("leak", "in voc", "0.tar x", 0.99)]),
    ("2.tar", [gone("p", "same picture", "2.tar q", 0.99), gone("q", "balance")]),
]
GROUPS = [
    {
        "stays": "1.tar a b",
        "goes": [
            {"image": "0.tar c", "reason": "near duplicate", "cosine": 0.95},
            {"image": "1.tar e", "reason": "exact duplicate", "instead": "0.tar c"},
        ],
    },
    {
        "stays": "2.tar q",
        "goes": [{"image": "2.tar p", "reason": "same picture", "cosine": 0.99}],
        "reason": "balance",
    },
]


def test_chains_are_one_group_and_images_of_benchmarks_are_in_none(tmp_path):
    groups = groups_of(LINES, {"in voc"})
    (tmp_path / NAME).write_bytes(group_lines(groups))
    found, count = read_groups(str(tmp_path), 1)
    assert (found, count) == (groups[:1], 2)
    assert [json.loads(line) for line in (tmp_path / NAME).read_text().splitlines()] == GROUPS


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.randoms())
def test_each_copy_is_in_the_group_of_what_it_leads_to_in_whatever_order_it_was_told(links, random):
    """Image i is a copy of an earlier one, or of none."""
    lines = [
        gone(f"k{i}", "near duplicate", f"s k{link % i}", 0.9)
        for i, link in enumerate(links)
        if i and link % 3
    ]
    groups = groups_of([("s", lines)], ())
    told = [(copy.image, group.stays) for group in groups for copy in group.goes]
    assert sorted(image for image, _ in told) == sorted(f"s {line.key}" for line in lines)
    assert {stays for _, stays in told}.isdisjoint(image for image, _ in told)
    parent = {f"s {line.key}": line.instead for line in lines}
    assert all(parent[image] == stays or parent[image] in dict(told) for image, stays in told)
    assert [len(g.goes) for g in groups] == sorted((len(g.goes) for g in groups), reverse=True)
    shuffled = random.sample(lines, len(lines))
    by_image = [Group(stays=g.stays, goes=tuple(sorted(g.goes, key=str))) for g in groups]
    again = [
        Group(stays=g.stays, goes=tuple(sorted(g.goes, key=str)))
        for g in groups_of([("s", shuffled)], ())
    ]
    assert again == by_image


@pytest.mark.parametrize("line", [b"{", b'{"stays": 3}', b"[]"])
def test_a_damaged_file_is_named_with_its_line(tmp_path, line):
    (tmp_path / NAME).write_bytes(line + b"\n")
    with pytest.raises(InputError, match=r"groups.jsonl, line 1.*curate.* again"):
        read_groups(str(tmp_path), 5)


def test_a_sample_passes_over_shards_without_an_image():
    assert sample_of([0, 0, 0, 2], 1, 10).tolist() == [[3, 0], [3, 1]]
    assert len(sample_of([0, 3, 0, 2], 2, 4)) == 4
