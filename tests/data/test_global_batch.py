import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroseg import InputError
from zeroseg.data.global_batch import divide_batch


@given(st.integers(1, 5000), st.integers(1, 70), st.integers(0, 300))
def test_a_division_gives_every_image_once_or_names_the_nearest_numbers_that_can(
    images, processes, most
):
    try:
        each, passes = divide_batch(images, processes, most)
    except InputError as error:
        near = [int(n) for n in re.findall(r"\d+", str(error).rpartition("--data.batch-size")[2])]
        assert near
        for other in near:
            divide_batch(other, processes, most)
        between = range(min(near) + 1 if len(near) == 2 else 1, max(near))
        assert images in between
        for other in between:
            with pytest.raises(InputError):
                divide_batch(other, processes, most)
    else:
        assert each * processes == images
        assert each % passes == 0
        assert not most or each / passes <= most
        assert passes == 1 or each / passes > most / 4


def test_passes_are_as_few_as_the_limit_allows():
    assert divide_batch(4096, 8) == (512, 1)
    assert divide_batch(4096, 8, 128) == (512, 4)
    assert divide_batch(4096, 8, 100) == (512, 8)
    assert divide_batch(96, 2, 20) == (48, 3)


@pytest.mark.parametrize(
    ("images", "processes", "most", "says"),
    [
        (100, 8, 0, r"100 images .* 8 processes: set --data.batch-size to 96 or 104"),
        (3, 8, 0, r"set --data.batch-size to 8$"),
        (509, 1, 64, r"in equal passes of at most 64: set --data.batch-size to 507 or 510"),
    ],
)
def test_an_impossible_one_suggests_the_nearest(images, processes, most, says):
    with pytest.raises(InputError, match=says):
        divide_batch(images, processes, most)
