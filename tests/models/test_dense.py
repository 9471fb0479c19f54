import math
from itertools import product

import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip.model import resize_pos_embed
from torch import nn

from tests.support.towers import SMALL, TEXT, close, pixels, tower
from zeroseg.models.dense import ATTENTION, dense_features, naclip, neighbourhood, patch_size

METHODS = pytest.mark.parametrize("method", ["raw", *ATTENTION])
NORMED = {"qk_norm": True, "scale_attn_inner": True, "scale_attn": True, "scale_fc": True}
BUILDS = {
    "plain": {},
    "one head": {"head_width": 16},
    "one layer": {"layers": 1},
    "layer scale": {"ls_init_value": 0.1},
    "no first norm": {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True},
    "fixed positions": {"pos_embed_type": "sin_cos_2d"},
    "dropped patches": {"patch_dropout": 0.5},
    "norms inside": NORMED | {"scale_heads": True},
    "extended": {"block_type": "custom"},
    "wide patches": {"patch_size": 12},
}
EVERY_BUILD = pytest.mark.parametrize("build", BUILDS)


def weights_of(method, query, key, grid, std):
    """Rows of attention over tokens, one head, from the definition: the class token comes first."""
    scale, count = len(query[0]) ** -0.5, len(query)
    places = [None, *product(range(grid[0]), range(grid[1]))]

    def softmax(logits):
        total = sum(math.exp(logit) for logit in logits)
        return [math.exp(logit) / total for logit in logits]

    def dot(a, b):
        return scale * sum(x * y for x, y in zip(a, b, strict=True))

    def near(i, j):
        if i == 0 or j == 0:
            return 0.0
        squared = sum((a - b) ** 2 for a, b in zip(places[i], places[j], strict=True))
        return math.exp(-squared / (2 * std * std))

    rows = []
    for i in range(count):
        by_query = softmax([dot(query[i], query[j]) for j in range(count)])
        by_key = softmax([dot(key[i], key[j]) for j in range(count)])
        nearby = softmax([dot(key[i], key[j]) + near(i, j) for j in range(count)])
        rows.append(
            {
                "maskclip": [float(i == j) for j in range(count)],
                "sclip": [a + b for a, b in zip(by_query, by_key, strict=True)],
                "naclip": nearby,
                "clearclip": by_query,
            }[method]
        )
    return rows


@pytest.mark.parametrize("grid", [(2, 3), (1, 4), (1, 1)])
@pytest.mark.parametrize("method", ATTENTION)
def test_attention_is_its_formula_written_out(method, grid):
    generator = torch.Generator().manual_seed(3)
    shape = (2, 2, 1 + grid[0] * grid[1], 4)
    query, key, value = torch.randn(3, *shape, dtype=torch.float64, generator=generator)
    got = ATTENTION[method](query, key, value, grid)
    for image, head in product(range(2), range(2)):
        rows = weights_of(method, query[image, head].tolist(), key[image, head].tolist(), grid, 5.0)
        expected = torch.tensor(rows, dtype=torch.float64) @ value[image, head]
        # The neighbourhood is a map in float32, whatever it is added to.
        torch.testing.assert_close(got[image, head], expected, rtol=1e-6, atol=1e-6)


@given(st.integers(1, 3), st.integers(1, 3), st.floats(0.3, 20))
def test_neighbourhood_falls_with_distance_alone_and_leaves_the_class_token_out(rows, columns, std):
    near = neighbourhood((rows, columns), std)
    assert near[0].eq(0).all()
    assert near[:, 0].eq(0).all()
    patches = near[1:, 1:].view(rows, columns, rows, columns)
    for a, b, c, d in product(range(rows), range(columns), repeat=2):
        expected = math.exp(-((a - c) ** 2 + (b - d) ** 2) / (2 * std**2))
        # Exponents go to -22 an axis, which float32 has within 1e-6.
        assert patches[a, b, c, d].item() == pytest.approx(expected, rel=1e-5)


def test_an_endless_neighbourhood_is_key_attention_with_a_class_token_one_lower():
    query, key, value = torch.randn(3, 1, 2, 7, 4, generator=torch.Generator().manual_seed(4))
    logits = key @ key.mT / 2
    logits[..., 1:, 0] -= 1
    close(naclip(query, key, value, (2, 3), std=1e6), logits.softmax(dim=-1) @ value)


@METHODS
def test_patches_that_look_alike_get_one_feature(method):
    visual = tower({})
    visual.positional_embedding.fill_(0.3)
    found = dense_features(visual, torch.full((1, 3, 24, 40), 0.7), method)
    if method != "naclip":
        close(found, found[..., :1, :1].expand_as(found))
    close(found, found.flip(2, 3))


def test_the_value_path_of_one_layer_is_its_closed_form():
    visual = tower({"layers": 1})
    block, squares = visual.transformer.resblocks[0], pixels().unfold(2, 8, 8).unfold(3, 8, 8)
    seen = torch.einsum("bcijyx,dcyx->bijd", squares, visual.conv1.weight)
    places = visual.positional_embedding[1:].view(3, 3, -1)
    tokens = block.ln_1(visual.ln_pre(seen + places))
    value = tokens @ block.attn.in_proj_weight[32:].T + block.attn.in_proj_bias[32:]
    mixed = value @ block.attn.out_proj.weight.T + block.attn.out_proj.bias
    expected = torch.einsum("bijd,de->beij", visual.ln_post(mixed), visual.proj)
    close(dense_features(visual, pixels(), "maskclip"), expected)


def resized(visual, grid) -> nn.Module:
    """The small tower for images of another grid, made by open_clip itself."""
    other = open_clip.CLIP(6, SMALL | {"image_size": (8 * grid[0], 8 * grid[1])}, TEXT)
    state = {f"visual.{name}": value for name, value in visual.state_dict().items()}
    resize_pos_embed(state, other)
    state = {name.removeprefix("visual."): value for name, value in state.items()}
    other.visual.load_state_dict(state)
    return other.visual.eval().requires_grad_(False)


def last_tokens(visual, images):
    """Patch tokens after the last norm, as open_clip hands them out itself."""
    return visual.forward_intermediates(images, indices=1, normalize_intermediates=True)[
        "image_intermediates"
    ][0]


@EVERY_BUILD
def test_raw_features_are_the_patch_tokens_of_open_clip(build):
    visual = tower(BUILDS[build])
    expected = torch.einsum("bdhw,de->behw", last_tokens(visual, pixels()), visual.proj)
    close(dense_features(visual, pixels(), "raw"), expected)


@pytest.mark.parametrize("grid", [(1, 1), (2, 5), (6, 4), (3, 9)])
def test_other_sizes_see_the_positions_that_open_clip_would_load(grid):
    visual, images = tower({}), pixels(8 * grid[0], 8 * grid[1])
    other = resized(visual, grid)
    expected = torch.einsum("bdhw,de->behw", last_tokens(other, images), visual.proj)
    found = dense_features(visual, images, "raw")
    assert found.shape == (2, 6, *grid)
    close(found, expected)


def test_a_tower_that_pools_patches_embeds_an_image_as_the_mean_of_its_raw_features():
    visual = tower({"pool_type": "avg"})
    close(dense_features(visual, pixels(), "raw").mean(dim=(2, 3)), visual(pixels()))


def test_quick_gelu_reaches_the_features():
    quick, usual = tower({}, quick_gelu=True), tower({})
    assert all(map(torch.equal, quick.state_dict().values(), usual.state_dict().values()))
    expected = torch.einsum("bdhw,de->behw", last_tokens(quick, pixels()), quick.proj)
    close(dense_features(quick, pixels(), "raw"), expected)
    assert not torch.allclose(expected, dense_features(usual, pixels(), "raw"), atol=1e-2)


def with_keys_like_queries(build) -> nn.Module:
    visual = tower(BUILDS[build])
    attention, width = visual.transformer.resblocks[-1].attn, visual.conv1.out_channels
    for joined in (attention.in_proj_weight, attention.in_proj_bias):
        joined[width : 2 * width] = joined[:width]
    if hasattr(attention, "ln_q"):
        attention.ln_k.load_state_dict(attention.ln_q.state_dict())
    return visual


@EVERY_BUILD
def test_where_keys_are_queries_clearclip_is_the_blocks_own_attention_alone(build):
    visual, seen = with_keys_like_queries(build), []
    block = visual.transformer.resblocks[-1]
    block.attn.register_forward_hook(lambda module, args, out: seen.append(out))
    visual(pixels())
    (branch,) = (out[0] if isinstance(out, tuple) else out for out in seen)
    branch = block.ls_1(block.ln_attn(branch) if hasattr(block, "ln_attn") else branch)
    expected = (visual.ln_post(branch) @ visual.proj)[:, 1:].mT.unflatten(2, visual.grid_size)
    close(dense_features(visual, pixels(), "clearclip"), expected)


@EVERY_BUILD
@pytest.mark.parametrize(
    ("method", "unread", "norm"), [("clearclip", 1, "ln_k"), ("naclip", 0, "ln_q")]
)
def test_clearclip_reads_no_keys_and_naclip_no_queries(build, method, unread, norm):
    visual = tower(BUILDS[build])
    expected = dense_features(visual, pixels(), method)
    attention, width = visual.transformer.resblocks[-1].attn, visual.conv1.out_channels
    unread_weights = [attention.in_proj_weight[unread * width : (unread + 1) * width]]
    unread_weights += getattr(attention, norm, nn.Identity()).parameters()
    for weights in unread_weights:
        weights.normal_()
    assert torch.equal(dense_features(visual, pixels(), method), expected)


@EVERY_BUILD
def test_where_keys_are_queries_sclip_is_the_block_with_values_twice_as_large(build):
    visual = with_keys_like_queries(build)
    found = dense_features(visual, pixels(), "sclip")
    attention, width = visual.transformer.resblocks[-1].attn, visual.conv1.out_channels
    for joined in (attention.in_proj_weight, attention.in_proj_bias):
        joined[2 * width :] *= 2
    close(found, dense_features(visual, pixels(), "raw"))


def is_plain(vision: dict) -> bool:
    """Whether neither a ResNet, nor of timm, nor one that pools by attention."""
    other = vision.get("timm_model_name") or vision.get("attentional_pool")
    return not other and not isinstance(vision.get("layers"), list)


def small_towers() -> dict[str, tuple[dict, bool]]:
    """Every plain vision transformer that open_clip lists, made small; one of each kind."""
    kinds = {}
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        if not is_plain(config["vision_cfg"]):
            continue
        vision = config["vision_cfg"] | SMALL
        kind = (tuple(sorted(vision.items())), config.get("quick_gelu", False))
        kinds.setdefault(kind, name)
    return {name: (dict(vision), quick) for (vision, quick), name in kinds.items()}


SMALL_TOWERS = small_towers()


def test_open_clip_lists_many_kinds_of_plain_vision_transformers():
    assert len(SMALL_TOWERS) >= 6


@pytest.mark.parametrize("name", SMALL_TOWERS)
def test_every_plain_vision_transformer_of_open_clip_has_dense_features(name):
    vision, quick_gelu = SMALL_TOWERS[name]
    visual = tower(vision, quick_gelu=quick_gelu)
    patch = patch_size(visual)
    for method in ("raw", *ATTENTION):
        found = dense_features(visual, pixels(patch, 3 * patch), method)
        assert found.shape == (2, 6, 1, 3)
        assert found.isfinite().all()
        assert not torch.allclose(found[..., 0], found[..., 2])
