import dataclasses
import json

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from zeroseg.errors import InputError
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.flops import block_flops, clip_image_flops, student_flops, training_flops
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig

VITS = ZeroSegConfig(width=384, depth=3, num_heads=6, embed_dim=512, decoder_depth=2)
BARE = ZeroSegConfig(
    image_size=8,
    patch_size=4,
    width=2,
    depth=0,
    num_heads=1,
    embed_dim=3,
    mask_ratio=0.5,
    decoder_depth=0,
    head_layers=(0, 0, 0),
    segment_tokens=(3, 2),
)
SCENES = CLIPConfig(architecture="zeroseg-scenes", weights="")


def counted(model: torch.nn.Module, images: torch.Tensor) -> int:
    """What torch saw; in training mode attention is not fused away from its eyes."""
    with FlopCounterMode(display=False) as counter:
        model.train()(images)
    return counter.get_total_flops()


def vit(folder, **vision) -> CLIPConfig:
    """A teacher's architecture on disk; its weights are never read."""
    text = {"width": 8, "heads": 1, "layers": 1}
    description = {"model_cfg": {"embed_dim": 5, "vision_cfg": vision, "text_cfg": text}}
    (folder / "open_clip_config.json").write_text(json.dumps(description))
    return CLIPConfig(architecture=f"local-dir:{folder}", weights="")


def test_a_block_is_what_its_products_add_up_to():
    qkv, output, mlp = 2 * 5 * 2 * 6, 2 * 5 * 2 * 2, 2 * (2 * 5 * 2 * 8)
    attention = 2 * (2 * 5 * 2 * 5)
    assert block_flops(5, 2) == qkv + attention + output + mlp
    assert block_flops(5, 2, mlp_ratio=0.0) == qkv + attention + output


def test_a_student_without_layers_is_counted_by_hand():
    # Four patches of 48 pixels, two of them visible, width 2, three segments and then two.
    patch_embedding = 2 * 4 * 48 * 2
    mixers = 2 * 2 * (3 * 3 + 3 * 3) + 2 * 2 * (3 * 2 + 2 * 2) + 2 * 2 * (2 * 2 + 2 * 2)
    on_tokens = 2 * (2 + 3) * 4 * 2 * 2  # key and value, of reading and of assigning
    on_segments = 2 * (3 + 2) * 16 * 2 * 2
    between = 4 * 2 * 2 * (2 * 3 + 3 * 2)
    assignments = 2 * 2 * 3 * 2
    embeddings = 2 * (2 + 1) * (2 * 4 + 4 * 3)
    whole = 24 * 2 * 4 + 4 * 4 * 2
    head = mixers + on_tokens + on_segments + between + assignments + embeddings + whole
    assert student_flops(BARE) == patch_embedding + head


@pytest.mark.parametrize("mask_ratio", [0.0, 0.6, 0.99])
@pytest.mark.parametrize("patch_embeddings", [False, True])
@pytest.mark.parametrize("decoder_depth", [0, 2])
def test_a_student_does_what_the_formula_says(mask_ratio, patch_embeddings, decoder_depth):
    config = dataclasses.replace(
        VITS,
        mask_ratio=mask_ratio,
        patch_embeddings=patch_embeddings,
        decoder_depth=decoder_depth,
    )
    seen = counted(ZeroSeg(config), torch.rand(1, 3, 224, 224))
    assert student_flops(config) == pytest.approx(seen, rel=0.01)


@settings(max_examples=20, deadline=None)
@given(
    depth=st.integers(0, 2),
    mask_ratio=st.floats(0, 0.95),
    head_layers=st.tuples(*[st.integers(0, 2)] * 3),
    segment_tokens=st.tuples(st.integers(2, 9), st.integers(2, 9)),
)
def test_so_does_a_student_of_any_shape(depth, mask_ratio, head_layers, segment_tokens):
    config = dataclasses.replace(
        BARE,
        image_size=24,
        width=8,
        depth=depth,
        mask_ratio=mask_ratio,
        head_layers=head_layers,
        segment_tokens=segment_tokens,
    )
    seen = counted(ZeroSeg(config), torch.rand(1, 3, 24, 24))
    assert student_flops(config) == pytest.approx(seen, rel=0.01)


@pytest.mark.parametrize(("side", "billions"), [(224, 35.1), (448, 157)])
def test_clip_b16_costs_what_is_known_of_it(tmp_path, side, billions):
    clip = vit(tmp_path, image_size=side, layers=12, width=768, patch_size=16)
    assert clip_image_flops(clip) == pytest.approx(billions * 1e9, rel=0.005)


def test_a_teacher_does_what_the_formula_says():
    clip = CLIP(dataclasses.replace(SCENES, precision="fp32"))
    tower = clip.model.visual.requires_grad_(True)
    seen = counted(tower, torch.rand(1, 3, 48, 48))
    assert clip_image_flops(SCENES) == pytest.approx(seen, rel=0.01)


def test_a_towers_own_mlp_ratio_counts(tmp_path):
    narrow, wide = (
        clip_image_flops(vit(tmp_path, image_size=8, patch_size=4, layers=3, width=2, mlp_ratio=r))
        for r in (2.0, 4)
    )
    assert wide - narrow == 3 * (2 * 5 * 2 * (8 - 4) * 2)


@pytest.mark.parametrize("name", ["RN50", "convnext_base", "coca_ViT-B-32"])
def test_what_is_no_plain_vit_is_not_counted(name):
    clip = CLIPConfig(architecture=name, weights="")
    assert clip_image_flops(clip) is None
    assert training_flops(BARE, clip, views=30) is None


RELEASED = open_clip.list_models()
"""Before any test can add small ones."""


def test_every_architecture_of_open_clip_is_counted_or_named_as_unknown():
    known = [clip_image_flops(CLIPConfig(architecture=n)) for n in RELEASED]
    assert {True, False} == {flops is None for flops in known}
    assert all(flops > 1e9 for flops in known if flops is not None)


@pytest.mark.parametrize("name", ["ViT-Z-99", "local-dir:nowhere"])
def test_an_unknown_architecture_is_named(name):
    with pytest.raises(InputError, match=name):
        clip_image_flops(CLIPConfig(architecture=name))


def test_a_step_is_three_student_passes_and_the_teachers_views():
    student, view = student_flops(BARE), clip_image_flops(SCENES)
    assert training_flops(BARE) == 3 * student
    assert training_flops(BARE, SCENES, views=30) == 3 * student + 30 * view
