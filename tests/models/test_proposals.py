import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zeroseg.errors import InputError
from zeroseg.models.backbone import Backbone
from zeroseg.models.pixel_decoder import PixelDecoder
from zeroseg.models.proposals import MaskProposals, MaskProposalsConfig, semantic_scores
from zeroseg.models.query_decoder import QueryDecoder, sine_positions

CONFIG = MaskProposalsConfig(
    backbone=Backbone(name="test_resnet", weights="", norm="group"),
    queries=6,
    width=32,
    layers=3,
    heads=4,
    feedforward=48,
    dropout=0.0,
    embed_dim=16,
)


def build(**changes) -> MaskProposals:
    torch.manual_seed(0)
    return MaskProposals(dataclasses.replace(CONFIG, **changes)).eval()


def pictures(height: int = 64, width: int = 96) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(2)), dim=-1)


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"head": "mlp"}, {"memory_stride": 8}])
def test_every_layer_proposes_masks_at_stride_four(changes):
    model = build(**changes)
    found = model(pictures(), unit(4, 16))
    assert len(found) == 3
    for layer in found:
        assert layer.masks.shape == (2, 6, 16, 24)
        assert layer.embeddings.shape == (2, 6, 16)
        assert layer.logits.shape == (2, 6, 5)
    answer = model.propose(pictures())
    assert torch.equal(answer.masks, found[-1].masks)
    assert torch.equal(model.logits(answer.embeddings, unit(4, 16)), found[-1].logits)
    assert answer.logits is None
    assert model(pictures(65, 70))[0].masks.shape == (2, 6, 17, 18)


@torch.no_grad()
def test_logits_are_cosines_over_the_temperature_and_no_object_comes_last():
    classes, embeddings = unit(4, 16), 7 * torch.randn(2, 6, 16)
    model = build(temperature=0.05)
    model.no_object.copy_(3 * unit(16))
    logits = model.logits(embeddings, classes)
    cosines = F.cosine_similarity(embeddings[:, :, None], classes, dim=-1)
    none = F.cosine_similarity(embeddings, model.no_object.expand_as(embeddings), dim=-1)
    torch.testing.assert_close(logits[..., :4], cosines / 0.05)
    torch.testing.assert_close(logits[..., 4], 3 * none / 0.05)
    other = build(temperature=0.05, unit_no_object=True)
    other.no_object.copy_(3 * unit(16))
    torch.testing.assert_close(other.logits(embeddings, classes)[..., 4], none / 0.05)


@torch.no_grad()
def test_queries_in_another_order_propose_the_same_in_that_order():
    model, order = build(), torch.tensor([3, 0, 5, 1, 4, 2])
    before = model(pictures())
    model.query_decoder.places.copy_(model.query_decoder.places[order])
    for a, b in zip(before, model(pictures()), strict=True):
        torch.testing.assert_close(a.masks[:, order], b.masks)
        torch.testing.assert_close(a.embeddings[:, order], b.embeddings)


@torch.no_grad()
def test_an_image_is_proposed_for_alone():
    model = build()
    together, alone = model(pictures())[-1], model(pictures()[1:])[-1]
    torch.testing.assert_close(together.masks[1:], alone.masks, atol=1e-4, rtol=1e-4)


def test_every_parameter_is_of_use():
    model = build(dropout=0.1).train()
    sum(
        layer.masks.sum() + layer.logits.sum() for layer in model(pictures(), unit(3, 16))
    ).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@torch.no_grad()
def test_a_decoder_layer_is_that_of_torch_where_positions_are_zero():
    torch.manual_seed(0)
    decoder = QueryDecoder(
        8, queries=5, width=32, layers=1, heads=4, feedforward=48, dropout=0.0
    ).eval()
    layer = decoder.layers[0]
    same = nn.TransformerDecoderLayer(32, 4, 48, 0.0, batch_first=True).eval()
    same.self_attn.load_state_dict(layer.among.state_dict())
    same.multihead_attn.load_state_dict(layer.across.state_dict())
    same.linear1.load_state_dict(layer.feedforward[0].state_dict())
    same.linear2.load_state_dict(layer.feedforward[3].state_dict())
    queries, memory = torch.randn(2, 5, 32), torch.randn(2, 7, 32)
    torch.testing.assert_close(
        layer(queries, torch.zeros(2, 5, 32), memory, memory), same(queries, memory)
    )


def test_sine_positions_by_hand():
    places = sine_positions(2, 3, 8)
    assert places.shape == (6, 8)
    step = 2 * torch.pi / 3
    # The last cell of the first row: row 1 of 2, column 3 of 3; periods 1 and 100.
    row, column = torch.tensor(torch.pi), torch.tensor(3 * step)
    expected = [f(x / p) for x in (row, column) for p in (1, 100) for f in (torch.sin, torch.cos)]
    torch.testing.assert_close(places[2], torch.stack(expected))


def test_sine_positions_round_as_those_that_models_were_trained_with():
    """Of a step that is rounded once: another order differs in the last bit."""
    for cells in (3, 7, 28):
        place = torch.arange(1, cells + 1) * (2 * math.pi / cells)
        assert sine_positions(cells, 1, 4)[:, 0].equal(place.sin())


@torch.no_grad()
def test_the_pyramid_by_hand():
    """With norms and convolutions that change nothing, it is the sum of all maps."""
    decoder = PixelDecoder((32, 32, 32), 32).eval()
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.dirac_(module.weight)
        for name, child in list(module.named_children()):
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, nn.Identity())
    maps = [torch.rand(1, 32, side, side) for side in (8, 4, 2)]
    expected = sum(F.interpolate(m, (8, 8), mode="nearest") for m in maps)
    torch.testing.assert_close(decoder(maps), expected)


def test_scores_are_the_masks_weighted_by_what_they_are():
    probabilities = torch.tensor([[[0.2, 0.6], [0.5, 0.1]]])
    masks = torch.tensor([[[[0.0, 100.0]], [[-100.0, 0.0]]]])
    expected = torch.tensor([[[[0.1, 0.45]], [[0.3, 0.65]]]])
    torch.testing.assert_close(semantic_scores(probabilities, masks), expected)


def test_what_does_not_fit_is_one_line():
    with pytest.raises(InputError, match=r"proposals.width is 44: it must be a multiple of 8"):
        dataclasses.replace(CONFIG, width=44)
    with pytest.raises(InputError, match=r"proposals.queries is 0"):
        dataclasses.replace(CONFIG, queries=0)
    with pytest.raises(InputError, match=r"memory_stride is 2: choose one of"):
        build(memory_stride=2)
