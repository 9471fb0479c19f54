"""What a CLIP is shown of a mask: crop, mask, cropmask."""

import pytest
import torch

from zeroseg.data.regions import RegionViews
from zeroseg.errors import InputError

FILL = torch.tensor([0.4, 0.5, 0.6])[:, None, None]


def square(top=2, left=3, side=4, size=12) -> torch.Tensor:
    region = torch.zeros(1, size, size, dtype=torch.bool)
    region[:, top : top + side, left : left + side] = True
    return region


def test_a_box_encloses_the_pixels_of_a_region_and_grows_about_its_middle():
    assert RegionViews().box(square()[0]) == (2, 3, 6, 7)
    assert RegionViews(expand=2.0).box(square()[0]) == (0, 1, 8, 9)
    assert RegionViews(expand=9.0).box(square()[0]) == (0, 0, 12, 12)


def test_the_three_kinds_show_what_their_names_say():
    image, region = torch.rand(3, 12, 12), square()
    hole = region.clone()
    hole[0, 3, 4] = False
    crop, mask, cropmask = (
        RegionViews(kind=kind).cut(image, hole, 4 if kind != "mask" else 12, FILL)[0]
        for kind in ("crop", "mask", "cropmask")
    )
    box = image[:, 2:6, 3:7]
    filled = torch.where(hole, image, FILL)
    torch.testing.assert_close(crop, box)
    torch.testing.assert_close(mask, filled)
    torch.testing.assert_close(cropmask, filled[:, 2:6, 3:7])
    torch.testing.assert_close(cropmask[:, 1, 1], FILL[:, 0, 0])


def test_what_is_filled_is_zero_after_normalisation_at_any_size():
    """ZegFormer's zero is zsseg's mean."""
    region = torch.zeros(1, 9, 30, dtype=torch.bool)
    region[0, :, 28:] = True
    cut = RegionViews(kind="mask").cut(torch.rand(3, 9, 30), region, 48, FILL)[0]
    assert float(((cut - FILL) / 0.25)[:, :, :40].abs().max()) < 1e-5


@pytest.mark.parametrize("kind", ["mask", "cropmask"])
def test_pixels_outside_of_the_region_do_not_matter(kind):
    image, region = torch.rand(3, 12, 12), square()
    painted = torch.where(region, image, torch.rand(3, 12, 12))
    views = RegionViews(kind=kind)
    assert torch.equal(views.cut(image, region, 8, FILL), views.cut(painted, region, 8, FILL))


def test_a_region_is_where_the_probability_at_the_image_s_own_pixels_is_above_the_threshold():
    masks = torch.full((2, 3, 3), -9.0)
    masks[0, :, 1] = 9
    regions = RegionViews().regions(masks, (9, 9))
    assert regions[0].sum() == 27
    assert not regions[1].any()
    assert RegionViews(threshold=0.0).regions(masks, (9, 9)).all()


def test_no_region_makes_no_view():
    none = torch.zeros(0, 12, 12, dtype=torch.bool)
    assert RegionViews().cut(torch.rand(3, 12, 12), none, 8, FILL).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("wrong", [{"threshold": 1.0}, {"expand": 0.5}])
def test_values_that_show_nothing_are_refused(wrong):
    with pytest.raises(InputError, match=f"regions.{next(iter(wrong))}"):
        RegionViews(**wrong)
