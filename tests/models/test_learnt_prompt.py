"""Vectors before a name, through the text towers that exist here."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.support.towers import saved_clip
from zeroseg import CLIP, CLIPConfig, InputError
from zeroseg.models.learnt_prompt import LearntPrompt, PromptConfig

NAMES = ("red ball", "tent, big tent")


@pytest.fixture(scope="module", params=["scenes", "photos", "open_clip"])
def clip(request, tmp_path_factory) -> CLIP:
    if request.param == "scenes":
        return CLIP(CLIPConfig(architecture="zeroseg-scenes", weights=""))
    if request.param == "photos":
        folder = request.getfixturevalue("real") / "teacher"
        config = CLIPConfig(
            architecture="mnv2-cliptext",
            weights=str(folder / "mnv2-cliptext.safetensors"),
            register=str(folder / "register.py"),
        )
        return CLIP(config)
    return CLIP(saved_clip(tmp_path_factory.mktemp("clip") / "clip", {}))


def prompt_for(clip: CLIP, text: str) -> LearntPrompt:
    """A prompt whose vectors are the embeddings of a text's words."""
    ids = clip.tokenizer([text])[0]
    words = clip.model.token_embedding.weight[ids[1 : int(ids.argmax())]]
    prompt = LearntPrompt(PromptConfig(length=len(words), width=words.shape[1]))
    prompt.vectors.data.copy_(words)
    return prompt


def test_vectors_that_are_words_say_what_the_words_say(clip):
    prompt = prompt_for(clip, "photo of")
    embedded = clip.class_embeddings(NAMES, ("photo of {}.",))
    torch.testing.assert_close(prompt(clip, NAMES).detach(), embedded)


def test_only_the_vectors_learn(clip):
    prompt = prompt_for(clip, "photo of")
    (F.normalize(torch.ones(clip.embed_dim), dim=0) @ prompt(clip, NAMES).T).sum().backward()
    assert prompt.vectors.grad.abs().sum(dim=1).gt(0).all()
    assert all(parameter.grad is None for parameter in clip.parameters())


def test_words_are_words_again_afterwards(clip):
    before = clip.encode_text(["a red ball"])
    prompt = prompt_for(clip, "photo of")
    with pytest.raises(InputError):
        prompt(clip, ["ball " * 100])
    prompt(clip, NAMES)
    assert torch.equal(clip.encode_text(["a red ball"]), before)


def test_a_name_that_the_context_cannot_hold_is_an_error(clip):
    width = clip.model.token_embedding.weight.shape[1]
    context = clip.model.context_length
    fitting = LearntPrompt(PromptConfig(length=context - 4, width=width))
    assert fitting(clip, ["ball"]).shape == (1, clip.embed_dim)
    with pytest.raises(InputError, match=rf"{context + 1} tokens, the context .* has {context}"):
        fitting(clip, ["red ball"])


def test_vectors_of_another_width_are_refused(clip):
    width = clip.model.token_embedding.weight.shape[1]
    with pytest.raises(InputError, match=r"set prompt\.width to that"):
        LearntPrompt(PromptConfig(length=2, width=width + 1))(clip, NAMES)


def test_a_text_tower_of_another_kind_is_refused(clip, monkeypatch):
    monkeypatch.setattr(clip.model, "text", nn.Identity(), raising=False)
    with pytest.raises(InputError, match="takes no learnt vectors"):
        LearntPrompt(PromptConfig(length=2, width=4))(clip, NAMES)


def test_vectors_start_small():
    vectors = LearntPrompt(PromptConfig(length=64, width=256)).vectors
    assert vectors.std().item() == pytest.approx(0.02, rel=0.05)
