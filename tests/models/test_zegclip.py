"""The decoder of masks: what its parts compute, and what does not depend on what."""

import pytest
import torch
from torch import nn

from tests.support.towers import SMALL, tower
from zeroseg.models.deep_prompts import PromptedTower
from zeroseg.models.zegclip import MaskDecoder, MaskLayer, ZegCLIPModel


def unit(*shape):
    return nn.functional.normalize(torch.randn(*shape), dim=-1)


def test_a_layer_is_attention_whose_mean_logits_are_the_masks():
    layer = MaskLayer(8, 2, 0.0, last=False)
    queries, patches = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    found, masks = layer(queries, patches)
    asked, keys, values = layer.query(queries), layer.key(patches), layer.value(patches)
    heads = [slice(0, 4), slice(4, 8)]
    logits = [asked[..., head] @ keys[..., head].mT / 2 for head in heads]
    torch.testing.assert_close(masks, (logits[0] + logits[1]) / 2)
    mixed = [
        one.softmax(dim=2) @ values[..., head] for one, head in zip(logits, heads, strict=True)
    ]
    after = layer.norm1(queries + layer.output(torch.cat(mixed, dim=2)))
    expected = layer.norm2(after + layer.feed_forward(after))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("width", [0, 16])
@pytest.mark.parametrize("descriptor", [True, False])
def test_a_mask_depends_on_no_other_class(width, descriptor):
    decoder = MaskDecoder(8, width=width, layers=3, heads=2, descriptor=descriptor).eval()
    classes, image, patches = unit(5, 8), unit(2, 8), torch.randn(2, 8, 3, 4)
    masks = decoder(classes, image, patches)
    assert masks.shape == (3, 2, 5, 3, 4)
    torch.testing.assert_close(decoder(classes[[3]], image, patches), masks[:, :, [3]])


def test_the_descriptor_is_what_the_image_and_the_word_share_and_the_word():
    decoder = MaskDecoder(4, layers=1, heads=1)
    asked = []
    decoder.query.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
    classes, image = unit(2, 4), unit(3, 4)
    decoder(classes, image, torch.randn(3, 4, 1, 1))
    (words,) = asked
    torch.testing.assert_close(words[1, 0], torch.cat([classes[0] * image[1], classes[0]]))


def test_every_parameter_of_the_decoder_learns_from_the_last_masks_alone():
    decoder = MaskDecoder(8, layers=3, heads=2)
    for parameter in decoder.parameters():
        nn.init.normal_(parameter)
    masks = decoder(unit(5, 8), unit(2, 8), torch.randn(2, 8, 3, 4))
    masks[-1].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in decoder.parameters())


def test_zoom_gives_more_patches():
    model = ZegCLIPModel(PromptedTower(tower(SMALL), 1), MaskDecoder(6, heads=2), zoom=1.5)
    assert model(torch.rand(1, 3, 32, 48), unit(4, 6)).shape == (3, 1, 4, 6, 9)
