"""Which pixels of an image get a pseudo label, and which."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError
from zeroseg.evaluation.pseudo_labels import PseudoLabels, surest

UNSEEN = torch.tensor([False, True, True])
KNOWN = torch.tensor([[[0, IGNORE, IGNORE, IGNORE, IGNORE, IGNORE]]])
PREDICTED = torch.tensor([[[1, 1, 2, 0, 1, 2]]])
SCORES = torch.tensor([[[0.9, 0.1, 0.4, 0.8, 0.3, 0.2]]])


def kept(share: float) -> list[int]:
    return surest(KNOWN, SCORES, PREDICTED, UNSEEN, share)[0, 0].tolist()


def test_known_pixels_stay_and_the_surest_predictions_of_unseen_classes_fill_in():
    assert kept(1.0) == [0, 1, 2, IGNORE, 1, 2]
    assert kept(0.5) == [0, IGNORE, 2, IGNORE, 1, IGNORE]
    assert kept(0.25) == [0, IGNORE, 2, IGNORE, IGNORE, IGNORE]


def test_of_equally_sure_pixels_the_first_are_taken():
    even = torch.ones_like(SCORES)
    assert surest(KNOWN, even, PREDICTED, UNSEEN, 0.5)[0, 0].tolist() == (
        [0, 1, 2, IGNORE, IGNORE, IGNORE]
    )


@given(st.integers(0, 99), st.floats(0.01, 1.0))
def test_the_share_is_of_each_image_alone(seed, share):
    rng = torch.Generator().manual_seed(seed)
    known = torch.where(torch.rand(3, 5, 7, generator=rng) < 0.5, 0, IGNORE)
    predicted = torch.randint(0, 3, (3, 5, 7), generator=rng)
    scores = torch.rand(3, 5, 7, generator=rng)
    together = surest(known, scores, predicted, UNSEEN, share)
    for i, alone in enumerate(together):
        one = slice(i, i + 1)
        assert torch.equal(alone, surest(known[one], scores[one], predicted[one], UNSEEN, share)[0])
        asked = (known[i] == IGNORE) & (predicted[i] != 0)
        filled = (known[i] == IGNORE) & (alone != IGNORE)
        assert int(filled.sum()) == round(share * int(asked.sum()))
        assert torch.equal(alone[filled], predicted[i][filled])
        assert not (filled & ~asked).any()
        if filled.any() and (asked & ~filled).any():
            assert scores[i][filled].min() >= scores[i][asked & ~filled].max()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"share": 0.0}, "share is 0.0"),
        ({"share": 1.1}, "share is 1.1"),
        ({"benchmark": "voc21"}, "'voc21' has no unseen class to label"),
        ({"benchmark": "voc22"}, "'voc22' is unknown"),
    ],
)
def test_what_cannot_be_is_refused(fields, says):
    with pytest.raises(InputError, match=says):
        PseudoLabels(**{"model": "m", "shards": "s", "benchmark": "scenes", "output": "o"} | fields)
