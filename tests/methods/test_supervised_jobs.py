"""Supervised methods in real jobs: two processes are one, and a stopped run goes on to the bit."""

import signal
from pathlib import Path

import pytest
import torch

from pipelines import train
from shards import scenes
from shards.build import Limits, build
from tests.methods.test_zegclip import METHOD as ZEGCLIP
from tests.methods.test_zegformer_and_zsseg import ZEGFORMER
from tests.methods.test_zs3net import DEEPLAB, zs3net
from tests.support.jobs import Job, done
from tests.support.training_runs import rows, wait_for
from zeroseg import SGD, DataConfig, RunConfig
from zeroseg.methods.trained import Trained

IMAGES = 8
"""All in one batch, so that a step has the same images whatever the number of processes."""
METHODS = ("ZegFormer", "ZegCLIP", "DeepLab", "ZS3Net")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    limits = Limits(images_per_shard=IMAGES, workers=0)
    build(scenes.Scenes("labelled", IMAGES).source(), str(folder / "labelled"), limits)
    return folder


def config(method, data: Path, output: Path, steps: int) -> RunConfig:
    return RunConfig(
        method=method,
        data=DataConfig(shards=f"{data}/labelled", batch_size=IMAGES, workers=0),
        optimizer=SGD(learning_rate=1e-2),
        steps=steps,
        log_every=1,
        trackers=(),
        output=output,
    )


@pytest.fixture(scope="module")
def methods(data) -> dict:
    done(train.train, config(DEEPLAB, data, data / "seen", 0))
    every = (ZEGFORMER, ZEGCLIP, DEEPLAB, zs3net(data / "seen"))
    return dict(zip(METHODS, every, strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_equal_one(name, methods, data, tmp_path):
    for ranks in (1, 2):
        done(train.train, config(methods[name], data, tmp_path / str(ranks), 2), ranks=ranks)
    one, two = (Trained(path=str(tmp_path / ranks)).tensors() for ranks in "12")
    for tensor, value in one.items():
        # The same sums in another order; a gradient of norm 1 moves weights by 1e-2 a step.
        torch.testing.assert_close(two[tensor], value, rtol=1e-4, atol=2e-6, msg=tensor)


@pytest.mark.parametrize("name", ["ZegFormer", "ZS3Net"])
def test_a_stopped_run_goes_on_to_the_bit(name, methods, data, tmp_path):
    whole, stopped = (config(methods[name], data, tmp_path / k, 60) for k in ("whole", "stopped"))
    job = Job(train.train, stopped)
    wait_for(job, stopped.output, 2)
    job.send(signal.SIGTERM)
    job.ended()
    assert job.statuses == [75]
    assert len(rows(stopped.output)) < 60
    done(train.train, whole)
    done(train.train, stopped)
    assert rows(stopped.output) == rows(whole.output)
    one, two = (Trained(path=str(run.output)).tensors() for run in (whole, stopped))
    assert all(torch.equal(two[tensor], value) for tensor, value in one.items())
