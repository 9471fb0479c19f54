# ruff: noqa: NPY002, TID251  the global generators and real parts are what is tested
"""What is remembered is all there is, and comes back as it was, also from parts."""

import random
from pathlib import Path

import numpy as np
import torch
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from tests.support.jobs import done
from zeroseg import ZeroSeg, ZeroSegConfig
from zeroseg.training.average import WeightAverage
from zeroseg.training.tensors import (
    load_optimizer,
    load_student,
    optimizer_tensors,
    random_tensors,
    set_random,
    student_tensors,
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
    sizes = {"image_size": 16, "patch_size": 8, "width": 12, "depth": 1, "num_heads": 2}
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


def sharded(folder: Path) -> None:
    """Two processes with a part each; what they say must be what one with all of it says."""
    torch.distributed.init_process_group("gloo")
    model = student()
    for block in [*model.trunk.blocks, *model.global_layer]:
        fully_shard(block)
    fully_shard(model)
    assert all(isinstance(p, DTensor) for p in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    average = WeightAverage(model, 0.5)
    stepped(model, optimizer, 0)
    average.update()
    kept = student_tensors(model), optimizer_tensors(model, optimizer), average.tensors()
    stepped(model, optimizer, 1)
    expected = student_tensors(model)
    load_student(model, kept[0])
    optimizer.state.clear()
    load_optimizer(model, optimizer, kept[1])
    average.load(kept[2])
    stepped(model, optimizer, 1)
    again, averaged = student_tensors(model), average.tensors()
    assert all(torch.equal(again[k], v) for k, v in expected.items())
    assert all(torch.equal(averaged[k], v) for k, v in kept[2].items())
    torch.save(kept, folder / f"{torch.distributed.get_rank()}.pt")
    torch.distributed.destroy_process_group()


def test_a_student_in_parts_is_kept_whole_and_goes_on_in_parts(tmp_path):
    model = student()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    average = WeightAverage(model, 0.5)
    stepped(model, optimizer, 0)
    average.update()
    expected = student_tensors(model), optimizer_tensors(model, optimizer), average.tensors()
    done(sharded, tmp_path, ranks=2)
    for rank in (0, 1):
        for got, wanted in zip(torch.load(tmp_path / f"{rank}.pt"), expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)
