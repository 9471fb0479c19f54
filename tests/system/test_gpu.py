"""On a GPU: steps that never wait for it, and a run that goes on. `uv run pytest -m gpu`"""

import shutil

import pytest
import torch

from pipelines.run.job import accelerator_for, build_job
from pipelines.train import read_command
from tests.support.training_runs import ROOT, SMALL, arguments, rows, trained

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def test_a_step_from_loader_to_update_never_waits_for_the_gpu(scenes, tmp_path):
    config = [str(ROOT / "configs/scenes_scratch.py"), "--data.shards", f"{scenes}/train", *SMALL]
    config = read_command([*config, "--precision", "bf16", "--output", str(tmp_path)]).run
    job = build_job(config, accelerator_for(config))
    job.model.train()
    batches = iter(job.state.stream)

    def step(number: int) -> dict[str, torch.Tensor]:
        batch = next(batches)
        assert batch.images.is_pinned()
        return job.optimization(batch.to(job.accelerator.device), number, 1e-4)

    step(0)  # what is done once may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = [step(number) for number in range(1, 4)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(value.isfinite() for parts in losses for value in parts.values())


def test_a_run_that_goes_on_has_the_losses_that_it_had(scenes, tmp_path):
    args = arguments(scenes, tmp_path, 8, "--save-every", "4")
    trained(args)
    before = rows(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints/step-00000008")
    assert "step-00000004" in trained(args)
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 9))
    for then, now in zip(before, rows(tmp_path), strict=True):
        assert now["loss"] == pytest.approx(then["loss"], rel=1e-2)
