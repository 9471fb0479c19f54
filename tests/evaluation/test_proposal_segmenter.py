"""Who answers with proposals: what is asked of whom, and with what it is compared."""

from functools import partial

import pytest
import torch

from tests.support.queries import queries
from zeroseg import CLIP, CLIPConfig
from zeroseg.evaluation.proposal_segmenter import ProposalSegmenter, Words, which_seen
from zeroseg.methods.zegformer import fused
from zeroseg.methods.zsseg import ensembled
from zeroseg.models.backbone import Backbone
from zeroseg.models.proposals import MaskProposals, MaskProposalsConfig, Proposals

NAMES = ("red ball", "blue tent", "golden ring")
FUSIONS = [partial(fused, share=2 / 3), partial(ensembled, weight=0.7)]
FUSIONS += [partial(fused, share=None), partial(ensembled, weight=None)]


@pytest.fixture(scope="module")
def clip() -> CLIP:
    return CLIP(CLIPConfig(architecture="zeroseg-scenes", weights=""))


@pytest.fixture
def model() -> MaskProposals:
    backbone = Backbone(name="test_resnet", weights="", norm="group")
    config = MaskProposalsConfig(
        backbone=backbone, queries=3, width=32, layers=1, heads=2, feedforward=8, embed_dim=64
    )
    return MaskProposals(config).eval()


def segmenter(model: MaskProposals, clip: CLIP, **fields) -> ProposalSegmenter:
    def embed(clip, names):
        return clip.class_embeddings(names, ("{}",))

    words = Words(lambda: clip, embed, embed)
    return ProposalSegmenter(model, words, frozenset({"red ball", "blue tent"}), **fields)


def asked(clip: CLIP, unseen=(2,)):
    return queries(clip.class_embeddings(NAMES, ("{}",)), names=NAMES, unseen=unseen)


def proposed(model, monkeypatch, masks: torch.Tensor) -> Proposals:
    proposals = Proposals(masks, torch.randn(*masks.shape[:2], 64))
    monkeypatch.setattr(model, "propose", lambda images: proposals)
    return proposals


def test_queries_alone_are_maskformer_s_inference(model, clip, monkeypatch):
    masks = torch.randn(2, 3, 7, 7)
    found = proposed(model, monkeypatch, masks)
    scores = segmenter(model, clip, gamma=0.2).predict(torch.rand(2, 3, 28, 28), asked(clip))
    logits = model.logits(found.embeddings, clip.class_embeddings(NAMES, ("{}",)))
    by_hand = torch.einsum("bqk,bqrc->bkrc", logits.softmax(-1)[..., :3], masks.sigmoid())
    torch.testing.assert_close(scores[:, 2], by_hand[:, 2].detach())
    torch.testing.assert_close(scores[:, :2], by_hand[:, :2].detach() - 0.2)


@pytest.mark.parametrize("fuse", [FUSIONS[0], *FUSIONS[2:]])
def test_an_image_of_which_no_proposal_has_a_mask_is_answered_by_the_queries(
    model, clip, monkeypatch, fuse
):
    proposed(model, monkeypatch, -5 - torch.rand(2, 3, 7, 7))
    images = torch.rand(2, 3, 28, 28)
    alone, both = (
        segmenter(model, clip, fuse=f).predict(images, asked(clip)) for f in (None, fuse)
    )
    torch.testing.assert_close(both, alone)


@pytest.mark.parametrize("fuse", FUSIONS)
def test_what_a_proposal_without_a_region_says_is_of_its_query(model, clip, monkeypatch, fuse):
    logits, valid = torch.randn(1, 2, 4), torch.tensor([[True, False]])
    first, second = (
        fuse(logits, torch.randn(1, 2, 3), valid, torch.tensor([True, True, False]))
        for _ in range(2)
    )
    assert torch.equal(first[:, 1], second[:, 1])
    assert not torch.equal(first[:, 0], second[:, 0])


def test_zsseg_gives_such_a_proposal_a_one_for_every_class():
    logits, seen = torch.randn(1, 1, 4), torch.tensor([True, True, False])
    got = ensembled(logits, torch.randn(1, 1, 3), torch.tensor([[False]]), seen, weight=0.7)
    p = logits.softmax(-1)[..., :3]
    torch.testing.assert_close(got, torch.where(seen, p**0.7, p**0.3))


@pytest.mark.parametrize("fuse", FUSIONS)
def test_an_answer_follows_the_order_of_its_queries_and_not_that_of_the_proposals(
    model, clip, monkeypatch, fuse
):
    found = proposed(model, monkeypatch, torch.randn(1, 3, 7, 7) * 4)
    images, order = torch.rand(1, 3, 28, 28), [2, 0, 1]
    ask = segmenter(model, clip, fuse=fuse).predict
    scores = ask(images, asked(clip))
    names = tuple(NAMES[i] for i in order)
    moved = queries(clip.class_embeddings(names, ("{}",)), names=names, unseen=(0,))
    torch.testing.assert_close(ask(images, moved), scores[:, order])
    monkeypatch.setattr(
        model,
        "propose",
        lambda images: Proposals(found.masks[:, order], found.embeddings[:, order]),
    )
    torch.testing.assert_close(ask(images, asked(clip)), scores)


def test_a_benchmark_says_which_classes_are_seen_and_one_s_own_words_are_looked_up(clip):
    seen_words = frozenset({"red ball", "blue tent"})
    assert which_seen(asked(clip, unseen=(0,)), seen_words).tolist() == [False, True, True]
    assert which_seen(asked(clip, unseen=()), seen_words).tolist() == [True, True, False]
    names = ("Sphere, Red Ball", "ball", "ring")
    own = queries(torch.eye(3), names=names)
    assert which_seen(own, seen_words).tolist() == [True, False, False]


def test_names_are_embedded_once_and_the_clip_is_loaded_when_asked(clip):
    loads, embedded = [], []

    def load():
        loads.append(1)
        return clip

    def embed(clip, names):
        embedded.append(names)
        return clip.class_embeddings(names, ("{}",))

    words = Words(load, embed, embed)
    assert not loads
    assert words(NAMES)[0] is words(NAMES)[0]
    assert (loads, embedded) == ([1], [NAMES, NAMES])
