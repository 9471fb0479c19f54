"""Work in several processes, with real ones."""

import os
import signal
import time

import pytest
from tqdm import tqdm

from shards import parallel
from shards.parallel import count_image, in_parallel
from zeroseg.errors import InputError


def work(job: int) -> int:
    time.sleep(0.002 * (5 - job))  # the last ends first
    for _ in range(job):
        count_image()
        if job == 4:
            os.kill(os.getpid(), signal.SIGKILL)
    return 10 * job


@pytest.fixture
def bars(monkeypatch) -> list[tqdm]:
    made = []

    def bar(**options):
        made.append(tqdm(**options))
        return made[-1]

    monkeypatch.setattr(parallel, "tqdm", bar)
    return made


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order_and_the_bar_counts_every_image(bars, workers):
    assert list(in_parallel(work, range(4), "abcd", workers, 6)) == [0, 10, 20, 30]
    assert [(bar.n, bar.total) for bar in bars] == [(6, 6)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_process_is_an_error_naming_what_it_was_at(workers):
    with pytest.raises(InputError, match=r"killed, at one of: .*\be after 1 images"):
        list(in_parallel(work, range(5), "abcde", workers, None))


def test_nothing_to_do_is_done_at_once():
    assert list(in_parallel(work, [], [], 2, 0)) == []


def fail(job: int) -> None:
    raise InputError(f"job {job}")


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_job_raises_is_raised_here(workers):
    with pytest.raises(InputError, match="job 1"):
        list(in_parallel(fail, [1], ["a"], workers, 1))
