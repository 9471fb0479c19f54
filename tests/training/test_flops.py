"""Operations against sums by hand; that counting them computes nothing is looked at, too."""

import copy

import open_clip
import pytest
import torch
from timm.models.vision_transformer import Block
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.support.towers import TEXT, tower
from zeroseg.data.batch import Batch
from zeroseg.data.views import ViewSet
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.vit import ViT
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig
from zeroseg.training.flops import StepFlops, flop_counter
from zeroseg.training.objective import Step
from zeroseg.training.objectives import DistillationObjective, ViewComposition
from zeroseg.training.teacher import Teacher, ViewEncoder

STUDENT = ZeroSegConfig(
    image_size=32,
    trunk=ViT(patch_size=8, width=32, depth=2, num_heads=2),
    embed_dim=16,
    decoder_depth=1,
    decoder_width=16,
    decoder_heads=2,
    patch_embeddings=True,
)


def batch(images: int = 4, side: int = 8) -> Batch:
    return Batch(tuple(map(str, range(images))), torch.zeros(images, 3, side, side).byte())


def mean_square(model, batch, step):
    return Step({"loss": model(batch.pixels).square().mean()}, {})


def block(tokens: int, width: int) -> int:
    """Of a transformer block: 24 N d^2 + 4 N^2 d."""
    return 24 * tokens * width**2 + 4 * tokens**2 * width


def test_a_step_is_one_product_forward_and_two_backward_but_for_the_pixels():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.GELU(), nn.Linear(5, 7))
    first, second = 2 * 192 * 5, 2 * 5 * 7  # pixels have no gradient
    assert StepFlops(model)(mean_square, batch()) == 2 * first + 3 * second


@pytest.mark.parametrize("images", [1, 2, 3, 64])
def test_an_image_counts_the_same_in_every_batch(images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    assert StepFlops(model)(mean_square, batch(images)) == 2 * (2 * 192 * 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_of_a_trained_block_is_counted_in_both_directions(dtype):
    model = nn.Sequential(nn.Flatten(2), nn.Linear(64, 12), Block(12, 3)).to(dtype)

    def objective(model, batch, step):
        return Step({"loss": model(batch.pixels.to(dtype)).square().mean()}, {})

    assert StepFlops(model)(objective, batch()) == 2 * (2 * 3 * 64 * 12) + 3 * block(3, 12)


def test_convolutions_and_batch_norms_are_counted_and_the_norms_do_not_move():
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, stride=2)
    model, outside = nn.Sequential(*layers), nn.BatchNorm2d(3)
    before = copy.deepcopy(model.state_dict() | outside.state_dict())

    def objective(model, batch, step):
        return Step({"loss": model(outside(batch.pixels)).square().mean()}, {})

    first, second = 2 * 64 * 9 * 3 * 4, 2 * 9 * 9 * 4 * 6
    assert StepFlops(model)(objective, batch()) == 2 * first + 3 * second
    after = model.state_dict() | outside.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert all(p.grad is None for p in [*model.parameters(), *outside.parameters()])


@pytest.mark.parametrize(("side", "billions"), [(224, 35.1), (448, 157)])
def test_a_frozen_clip_in_eval_mode_hides_no_attention(side, billions):
    vision = {"image_size": side, "layers": 12, "width": 768, "patch_size": 16}
    with flop_counter() as counter:
        visual = open_clip.CLIP(512, vision, TEXT).visual.eval().requires_grad_(False)
        visual(torch.zeros(1, 3, side, side))
    patches = (side // 16) ** 2
    ends = 2 * patches * (3 * 16 * 16) * 768 + 2 * 768 * 512
    assert counter.get_total_flops() == ends + 12 * block(patches + 1, 768)
    assert counter.get_total_flops() == pytest.approx(billions * 1e9, rel=0.005)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fast_path_that_hides_attention_is_as_it_was_afterwards(dtype):
    layer = nn.TransformerEncoderLayer(12, 2, 48, batch_first=True, dtype=dtype)
    layer, tokens = layer.eval().requires_grad_(False), torch.rand(1, 5, 12, dtype=dtype)
    with FlopCounterMode(display=False) as torchs:
        layer(tokens)
    assert torchs.get_total_flops() == 0
    with flop_counter() as counter:
        layer(tokens)
    assert counter.get_total_flops() == block(5, 12)
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize(
    "vision",
    [
        {"layers": [1, 2, 1, 1], "width": 8, "patch_size": None},
        {"timm_model_name": "test_convnext", "timm_model_pretrained": False},
        {"attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2},
    ],
)
def test_towers_of_other_kinds_count_what_they_compute(vision):
    visual, images = tower({"image_size": 32} | vision), torch.zeros(2, 3, 32, 32)
    with flop_counter() as counter:
        visual(images)
    with FlopCounterMode(display=False) as torchs, sdpa_kernel(SDPBackend.MATH):
        visual.train().requires_grad_(True)(images)
    assert counter.get_total_flops() == torchs.get_total_flops() > 0


def test_the_online_teachers_views_are_part_of_the_step():
    clip = CLIP(CLIPConfig(architecture="zeroseg-scenes", weights=""))
    encode = ViewEncoder(clip, ViewSet(grids=(1, 2)))
    student = ZeroSeg(ZeroSegConfig(**{**vars(STUDENT), "embed_dim": clip.embed_dim}))

    def flops(embed) -> float:
        teacher = Teacher(clip.config, ViewSet(grids=(1, 2)), clip.embed_dim, embed)
        found = StepFlops(student)(
            DistillationObjective(teacher, ViewComposition(), 8), batch(side=32)
        )
        assert found is not None
        return found

    online = flops(lambda batch: encode(batch.view_pixels))
    cached = flops(lambda batch: torch.rand(len(batch.keys), 5, clip.embed_dim))
    with flop_counter() as counter:
        clip.encode_image(torch.rand(1, 3, clip.image_size, clip.image_size))
    assert online - cached == 5 * counter.get_total_flops() > 0


def test_a_step_without_values_counts_what_a_real_one_does_and_draws_nothing_at_random():
    torch.manual_seed(0)
    student = ZeroSeg(STUDENT)
    teacher = Teacher(
        CLIPConfig(), ViewSet(grids=(1, 2)), 16, lambda b: torch.rand(len(b.keys), 5, 16)
    )
    objective, images = DistillationObjective(teacher, ViewComposition(), 8), batch(2, side=32)
    before = torch.get_rng_state()
    counted = StepFlops(student)(objective, images)
    assert torch.equal(torch.get_rng_state(), before)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        torch.stack(list(objective(student, images, 0).losses.values())).sum().backward()
    assert counted == counter.get_total_flops() / 2


def test_activations_computed_again_are_no_operations_of_the_model():
    student = ZeroSeg(STUDENT)
    flops = StepFlops(student)
    teacher = Teacher(
        CLIPConfig(), ViewSet(grids=(1, 2)), 16, lambda b: torch.rand(len(b.keys), 5, 16)
    )
    objective = DistillationObjective(teacher, ViewComposition(), 8)
    student.checkpoint_activations()
    once, again = flops(objective, batch(2, 32)), StepFlops(student)(objective, batch(2, 32))
    assert once is not None
    assert again is not None
    assert once < again


def test_an_objective_that_needs_values_is_not_counted_and_it_says_why(capsys):
    def objective(model, batch, step):
        loss = model(batch.pixels).mean()
        return Step({"loss": loss if loss > 0 else -loss}, {})

    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    assert StepFlops(model)(objective, batch()) is None
    assert "MFU is not shown, operations cannot be counted: " in capsys.readouterr().err
