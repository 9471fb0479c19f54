"""A CLIP asked about the regions of proposals."""

import pytest
import torch

from zeroseg import CLIP, CLIPConfig
from zeroseg.data.regions import RegionViews
from zeroseg.evaluation.regions import embed_regions


@pytest.fixture(scope="module")
def clip() -> CLIP:
    return CLIP(CLIPConfig(architecture="zeroseg-scenes", weights=""))


def masks(valid: list[list[bool]]) -> torch.Tensor:
    logits = torch.where(torch.rand(*torch.tensor(valid).shape, 7, 7) > 0.5, 5.0, -5.0)
    return torch.where(torch.tensor(valid)[..., None, None], logits, -5.0)


def test_each_proposal_is_what_the_clip_says_of_its_own_region(clip):
    images, logits = torch.rand(2, 3, 28, 28), masks([[True, False, True], [False, True, True]])
    embeddings, valid = embed_regions(clip, images, logits, RegionViews())
    assert valid.tolist() == [[True, False, True], [False, True, True]]
    assert not embeddings[~valid].any()
    torch.testing.assert_close(embeddings[valid].norm(dim=-1), torch.ones(4))
    region = RegionViews().regions(logits[1], (28, 28))[2:]
    shown = RegionViews().cut(images[1], region, clip.image_size, clip.mean[0])
    torch.testing.assert_close(embeddings[1, 2], clip.encode_image(shown)[0])


def test_an_image_without_any_region_is_no_error(clip):
    images, logits = torch.rand(2, 3, 28, 28), masks([[False, False], [False, False]])
    embeddings, valid = embed_regions(clip, images, logits, RegionViews())
    assert not valid.any()
    assert not embeddings.any()


def test_only_regions_are_shown_in_passes_of_what_suits_the_device(clip, monkeypatch):
    shown = []

    def encode(images):
        shown.append(len(images))
        return torch.nn.functional.normalize(torch.rand(len(images), 64), dim=1)

    monkeypatch.setattr(clip, "encode_image", encode)
    valid = [[True] * 100 + [False] * 20]
    embed_regions(clip, torch.rand(1, 3, 28, 28), masks(valid), RegionViews())
    assert sum(shown) == 100
    assert max(shown) == clip.views_of_a_pass
