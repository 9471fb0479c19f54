"""FSDP2: two processes that share the student make the run of two that hold all of it each.

Accelerate shares over GPUs alone. Here it is told that two processes on CPUs are such a job; what
follows, from its `prepare` to every collective, is its own and torch's.
"""

import shutil
from pathlib import Path

import pytest
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from safetensors.torch import load_file
from torch import allclose, equal
from torch.distributed.tensor import DTensor  # noqa: TID251  a part is what is looked for

from pipelines import train
from pipelines.run import loop
from tests.support.jobs import done
from tests.support.training_runs import arguments, rows, trained
from zeroseg.config import RunConfig
from zeroseg.training.processes import process_state

MORE = ("--save-every", "4", "--ema-decay", "0.9", "--micro-batch", "1", "--precision", "no")


def sharing(config: RunConfig) -> Accelerator:
    """What configs/accelerate/fsdp.yaml asks for."""
    process_state(config.timeout)
    accelerator = Accelerator()
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["Block"],
        reshard_after_forward=True,
        cpu_ram_efficient_loading=False,
    )
    for state in (PartialState._shared_state, accelerator.state.__dict__):
        state["distributed_type"] = DistributedType.FSDP
    return accelerator


def share(arguments: list[str]) -> None:
    """Train, sharing the student."""
    loop.accelerator_for = sharing
    build = loop.build_job

    def build_shared(*args):
        job = build(*args)
        assert all(isinstance(p, DTensor) for p in job.state.model.parameters())
        return job

    loop.build_job = build_shared
    train.main(arguments)


@pytest.fixture(scope="module")
def shared(scenes, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("shared") / "run"
    done(share, arguments(scenes, output, 6, *MORE), ranks=2)
    return output


def test_a_shared_student_learns_what_a_copied_one_does(scenes, shared, tmp_path):
    trained(arguments(scenes, tmp_path, 6, *MORE), 2)
    expected, found = rows(tmp_path), rows(shared)
    assert found[0]["loss"] == pytest.approx(expected[0]["loss"], rel=1e-5)
    for row, same in zip(found, expected, strict=True):
        assert row["loss"] == pytest.approx(same["loss"], rel=1e-3)
        assert row["gradient_norm"] == pytest.approx(same["gradient_norm"], rel=1e-2)
    for name in ("model", "model-ema"):
        one, other = (load_file(run / name / "model.safetensors") for run in (tmp_path, shared))
        assert one.keys() == other.keys()
        assert all(allclose(one[k], other[k], atol=1e-3) for k in one)


@pytest.mark.parametrize("still", [True, False])
def test_it_goes_on_shared_or_copied(scenes, shared, tmp_path, still):
    """From its checkpoint after 4 steps of 6, by processes that share the student or do not."""
    output = tmp_path / "run"
    shutil.copytree(shared, output, symlinks=True)
    shutil.rmtree(output / "checkpoints/step-00000006")
    args = arguments(scenes, output, 6, *MORE)
    said = done(share, args, ranks=2) if still else trained(args, 2)
    assert "step-00000004" in said
    for row, same in zip(rows(output), rows(shared), strict=True):
        assert row["loss"] == (same["loss"] if still else pytest.approx(same["loss"], rel=1e-3))
    if still:
        weights, before = (load_file(run / "model/model.safetensors") for run in (output, shared))
        assert all(equal(weights[k], v) for k, v in before.items())
