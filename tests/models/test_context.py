import pytest
import torch
import torch.nn.functional as F

from zeroseg.models.context import with_context


def everything(rows, columns, batch=2):
    return torch.arange(rows * columns).expand(batch, -1)


def test_no_share_leaves_patches_as_they_are():
    patches = torch.randn(2, 6, 4)
    assert with_context(patches, everything(2, 3), (2, 3), (0.0, 0.0)) is patches


def test_the_mean_of_the_image_is_added_at_its_share():
    patches = torch.randn(2, 6, 4)
    mean = F.normalize(F.normalize(patches, dim=-1).mean(1, keepdim=True), dim=-1)
    expected = patches + 0.5 * mean * patches.norm(dim=-1, keepdim=True)
    found = with_context(patches, everything(2, 3), (2, 3), (0.5, 0.0))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (3, 5), (1, 1)])
def test_each_quarter_has_its_own_mean(rows, columns):
    patches = torch.randn(2, rows * columns, 4)
    unit = F.normalize(patches, dim=-1).view(2, rows, columns, 4)
    expected = patches.clone().view(2, rows, columns, 4)
    lengths = expected.norm(dim=-1, keepdim=True)
    middle, centre = rows // 2, columns // 2
    for down in (slice(0, middle), slice(middle, rows)):
        for across in (slice(0, centre), slice(centre, columns)):
            quarter = unit[:, down, across]
            if quarter.numel():
                mean = F.normalize(quarter.mean((1, 2)), dim=-1)[:, None, None]
                expected[:, down, across] += mean * lengths[:, down, across]
    found = with_context(patches, everything(rows, columns), (rows, columns), (0.0, 1.0))
    torch.testing.assert_close(found, expected.flatten(1, 2))


def test_what_is_hidden_is_no_context():
    patches, visible = torch.randn(1, 9, 4), torch.tensor([[0, 2, 7]])
    found = with_context(patches[:, visible[0]], visible, (3, 3), (1.0, 1.0))
    unit = F.normalize(patches[:, visible[0]], dim=-1)
    whole = F.normalize(unit.mean(1, keepdim=True), dim=-1)
    length = patches[:, visible[0]].norm(dim=-1, keepdim=True)
    torch.testing.assert_close(found, length * (2 * unit + whole))  # alone in its quarter, each


def test_images_do_not_see_each_other():
    patches = torch.randn(3, 12, 4)
    together = with_context(patches, everything(3, 4, 3), (3, 4), (0.3, 0.2))
    alone = [with_context(p[None], everything(3, 4, 1), (3, 4), (0.3, 0.2)) for p in patches]
    torch.testing.assert_close(together, torch.cat(alone))
