import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zeroseg.data.crops import Crop, Crops, cut
from zeroseg.data.images import centre_crop
from zeroseg.errors import InputError

sides = st.integers(1, 700)
FEW = Crops(count=5)


def picture(height=30, width=40):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


def test_one_crop_is_the_papers_centre_crop():
    assert Crops().of("k", 30, 40) == (None,)
    assert Crops().turn("k", 7) == 0
    assert torch.equal(cut(picture(), None, 16), centre_crop(picture(), 16))


@given(height=sides, width=sides, key=st.text(max_size=8), count=st.integers(2, 6))
def test_random_crops_lie_in_the_image_and_are_a_function_of_the_key(height, width, key, count):
    crops = Crops(count=count).of(key, height, width)
    assert crops == Crops(count=count).of(key, height, width)
    assert len(crops) == count
    for crop in crops:
        assert 0 <= crop.top < crop.top + crop.height <= height
        assert 0 <= crop.left < crop.left + crop.width <= width


def test_crops_differ_between_keys_seeds_and_numbers():
    named = [FEW.of(key, 300, 400) for key in "ab"] + [Crops(count=5, seed=1).of("a", 300, 400)]
    assert len({crop for crops in named for crop in crops}) == 15


def test_random_crops_have_the_area_and_shape_asked_for():
    crops = [c for key in range(200) for c in FEW.of(str(key), 1000, 1000)]
    areas = [c.height * c.width / 1e6 for c in crops]
    assert min(areas) > 0.35  # some are cut to fit
    assert 0.62 < sum(areas) / len(areas) < 0.72  # the mean of (0.4, 1) is 0.7
    assert all(0.74 < c.width / c.height < 1.35 for c in crops)
    assert 400 < sum(c.flip for c in crops) < 600


@given(key=st.text(max_size=8), count=st.integers(1, 7), start=st.integers(0, 1000))
def test_as_many_epochs_as_crops_show_each_crop_once(key, count, start):
    turns = [Crops(count=count).turn(key, start + epoch) for epoch in range(count)]
    assert sorted(turns) == list(range(count))


def test_images_do_not_all_begin_with_the_same_crop():
    assert {FEW.turn(str(key), 0) for key in range(50)} == set(range(5))


def test_cutting_at_the_boxs_own_size_copies_its_pixels():
    image, box = picture(), Crop(3, 5, 12, 12, False)
    assert torch.equal(cut(image, box, 12), image[:, 3:15, 5:17])
    assert torch.equal(cut(image, box._replace(flip=True), 12), image[:, 3:15, 5:17].flip(2))


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"scale": (0.0, 1.0)}, {"scale": (0.9, 0.5)}, {"ratio": (2.0, 1.0)}]
)
def test_impossible_crops_are_an_error(wrong):
    with pytest.raises(InputError, match="crops"):
        Crops(**wrong)
