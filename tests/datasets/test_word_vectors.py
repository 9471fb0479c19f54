"""Word vectors of a file as class embeddings."""

import pytest
import torch

from zeroseg.datasets.word_vectors import WordVectors
from zeroseg.errors import InputError

LINES = ["potted 3 4", "plant 0 5", "tv 1 0", "Plant 9 9"]


def vectors(tmp_path, lines) -> WordVectors:
    file = tmp_path / "vectors.txt"
    file.write_text("\n".join(lines) + "\n")
    return WordVectors(path=str(file))


@pytest.mark.parametrize("header", [[], ["4 2"]])
def test_a_class_is_the_mean_of_its_words_at_length_one(tmp_path, header):
    found = vectors(tmp_path, header + LINES).class_embeddings(["potted plant", "TV, plant"])
    wanted = torch.nn.functional.normalize(torch.tensor([[1.5, 4.5], [0.5, 2.5]]), dim=1)
    assert torch.allclose(found, wanted)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (LINES, "no vector for 'monitor' of class 'tv monitor'"),
        (["tv 1 0", "monitor 1"], "line 2: 1 numbers after a word, others have 2"),
        (["tv 1 0", "monitor 1 x"], "line 2: could not convert"),
        (["tv", "monitor 1 2"], "line 1: 0 numbers"),
    ],
)
def test_what_a_file_lacks_is_one_line(tmp_path, lines, says):
    with pytest.raises(InputError, match=says) as error:
        vectors(tmp_path, lines).class_embeddings(["tv monitor"])
    assert "vectors.txt" in str(error.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match="do not exist"):
        WordVectors(path=str(tmp_path / "none.txt")).class_embeddings(["a"])
