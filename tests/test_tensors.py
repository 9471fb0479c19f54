# ruff: noqa: NPY002, TID251  the global generators and real parts are what is tested
"""What is remembered is all there is, and comes back as it was, also from parts."""

import random

import numpy as np
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.multiprocessing import get_context

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


def student() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 10), nn.GELU(), nn.Linear(10, 3), nn.LayerNorm(3))


def stepped(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    images = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))
    model(images).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def sharded(rank: int, store: str, queue) -> None:
    """Two processes with a part each; what they say must be what one with all of it says."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2
    )
    model = student()
    for part in (model[0], model[2]):
        fully_shard(part)
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
    again = student_tensors(model)
    same = all(torch.equal(again[k], v) for k, v in expected.items())
    same &= all(torch.equal(average.tensors()[k], v) for k, v in kept[2].items())
    queue.put((rank, same, [{k: v.numpy() for k, v in part.items()} for part in kept]))
    torch.distributed.destroy_process_group()


def test_a_student_in_parts_is_kept_whole_and_goes_on_in_parts(tmp_path):
    model = student()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    average = WeightAverage(model, 0.5)
    stepped(model, optimizer, 0)
    average.update()
    expected = student_tensors(model), optimizer_tensors(model, optimizer), average.tensors()
    context = get_context("spawn")
    queue = context.Queue()
    jobs = [
        context.Process(target=sharded, args=(rank, str(tmp_path / "store"), queue))
        for rank in range(2)
    ]
    for job in jobs:
        job.start()
    answers = [queue.get(timeout=120) for _ in jobs]
    for job in jobs:
        job.join(120)
        assert job.exitcode == 0
    for _, same, kept in answers:
        assert same
        for got, wanted in zip(kept, expected, strict=True):
            assert got.keys() == wanted.keys()
            for name, value in wanted.items():
                np.testing.assert_allclose(got[name], value.numpy(), rtol=1e-5, atol=1e-6)
