# ruff: noqa: NPY002, TID251  the global generators and real parts are what is tested
"""What is remembered is all there is, and comes back as it was, also from parts."""

import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from tests.support.jobs import done
from zeroseg import ViT, ZeroSeg, ZeroSegConfig
from zeroseg.training.average import WeightAverage
from zeroseg.training.tensors import (
    load_model,
    load_optimizer,
    model_tensors,
    optimizer_tensors,
    random_tensors,
    set_random,
)


def drawn() -> list[float]:
    numbers = [random.random(), random.gauss(0, 1), random.gauss(0, 1)]
    numbers += [np.random.rand(), np.random.randn(), np.random.randn()]
    return numbers + torch.rand(3).tolist() + torch.randn(5).tolist()


def test_random_numbers_go_on_where_they_were():
    for before in range(3):  # with and without a spare Gaussian kept by the generators
        for _ in range(before):
            random.gauss(0, 1), np.random.randn()
        state = random_tensors()
        expected = drawn()
        drawn()
        set_random(state)
        assert drawn() == expected


def student() -> ZeroSeg:
    torch.manual_seed(0)
    sizes = {"trunk": ViT(patch_size=8, width=12, depth=1, num_heads=2), "image_size": 16}
    head = {"embed_dim": 6, "head_layers": (0, 0, 0), "segment_tokens": (4, 3)}
    choices = {"decoder_depth": 0, "patch_embeddings": True, "cosine_assignment": True}
    return ZeroSeg(ZeroSegConfig(**sizes, **head, **choices))


def stepped(model: ZeroSeg, optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    output = model(torch.rand(4, 3, 16, 16))
    parts = (output.segments, output.global_feature, output.patches)
    sum(part.square().mean() for part in parts).backward()
    optimizer.step()
    optimizer.zero_grad()


def content(model, optimizer, average) -> list[dict[str, torch.Tensor]]:
    """What a checkpoint keeps."""
    return [model_tensors(model), optimizer_tensors(model, optimizer), average.tensors()]


def copied(content) -> list[dict[str, torch.Tensor]]:
    return [{k: v.clone() for k, v in tensors.items()} for tensors in content]


def same(one, other) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) for a, b in pairs)


@pytest.mark.parametrize(
    "kind", [torch.optim.AdamW, torch.optim.SGD, partial(torch.optim.SGD, momentum=0.9)]
)
def test_what_is_kept_does_not_change_with_training_and_leads_to_the_same_weights(kind):
    model = student()
    optimizer, average = kind(model.parameters(), lr=0.1), WeightAverage(model, 0.5)
    stepped(model, optimizer, 0)
    average.update()
    kept = content(model, optimizer, average)
    before = copied(kept)
    stepped(model, optimizer, 1)
    average.update()
    expected = content(model, optimizer, average)
    assert same(kept, before)
    assert not same(kept, expected)
    model = student()
    optimizer, average = kind(model.parameters(), lr=0.1), WeightAverage(model, 0.5)
    for load, tensors in zip(
        (partial(load_model, model), partial(load_optimizer, model, optimizer), average.load),
        kept,
        strict=True,
    ):
        load(tensors)
    stepped(model, optimizer, 1)
    average.update()
    assert same(content(model, optimizer, average), expected)


def test_a_frozen_parameter_has_nothing_kept_by_the_optimizer():
    model = student()
    model.trunk.pos_embed.requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    stepped(model, optimizer, 0)
    kept = optimizer_tensors(model, optimizer)
    assert "trunk.pos_embed/step" not in kept
    assert "trunk.norm.weight/exp_avg" in kept
    load_optimizer(model, torch.optim.AdamW(model.parameters(), lr=0.1), kept)


def sharded(folder: Path) -> None:
    """Two processes with a part each; what they say must be what one with all of it says."""
    torch.distributed.init_process_group("gloo")
    main = torch.distributed.get_rank() == 0
    model = student()
    for block in [*model.trunk.blocks, *model.global_layer]:
        fully_shard(block)
    fully_shard(model)
    assert all(isinstance(p, DTensor) for p in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    average = WeightAverage(model, 0.5)
    stepped(model, optimizer, 0)
    average.update()
    everywhere = [model_tensors(model, everywhere=True), average.tensors(everywhere=True)]
    kept = content(model, optimizer, average)
    assert [bool(tensors) for tensors in kept] == [main] * 3
    if main:
        assert same(everywhere, kept[::2])
        torch.save(kept, folder / "kept.pt")
    average.update(torch.tensor(True))
    assert same([average.tensors(everywhere=True)], everywhere[1:])
    stepped(model, optimizer, 1)
    expected = content(model, optimizer, average)
    torch.distributed.broadcast_object_list(kept)  # as if each had read the file
    load_model(model, kept[0])
    optimizer.state.clear()
    load_optimizer(model, optimizer, kept[1])
    average.load(kept[2])
    stepped(model, optimizer, 1)
    assert same(content(model, optimizer, average), expected)
    torch.distributed.destroy_process_group()


def test_a_student_in_parts_is_kept_whole_and_goes_on_in_parts(tmp_path):
    model = student()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    average = WeightAverage(model, 0.5)
    stepped(model, optimizer, 0)
    average.update()
    done(sharded, tmp_path, ranks=2)
    expected = content(model, optimizer, average)
    for got, wanted in zip(torch.load(tmp_path / "kept.pt"), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)
