"""Loader processes that die, are late, or cannot be had: one line each, and never a hang."""

import errno
import os
import signal
import time
from collections.abc import Callable

import pytest
import torch
from torch.utils.data import Dataset

from zeroseg import InputError
from zeroseg.data.loader import AtWork, load_in_workers
from zeroseg.errors import NoRoom

CALLED = "--data.workers"


class Items(Dataset):
    """Tensors of their numbers; something happens at the third."""

    def __init__(self, happening: Callable[[], object], at_work: AtWork) -> None:
        self.happening, self.at_work = happening, at_work

    def __len__(self) -> int:
        return 6

    def __getitem__(self, number: int) -> torch.Tensor:
        if number == 2:
            self.at_work.write(0, "shard-7.tar k002")
            self.happening()
        return torch.full((3,), number)


def loaded(happening: Callable[[], object] = int, workers: int = 1, **options) -> list[int]:
    at_work = AtWork(workers)
    items = load_in_workers(Items(happening, at_work), workers, at_work, **options)
    return [int(item[0]) for item in items]


def refused(happening: Callable[[], object] = int, **options) -> str:
    with pytest.raises(InputError) as caught:
        loaded(happening, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def no_room(*_, **__):
    raise RuntimeError(
        "unable to allocate shared memory(shm) for file </x>: No space left on device (28)"
    )


def refusing(code: int) -> Callable[..., None]:
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_items_come_in_order(workers):
    assert loaded(workers=workers, timeout=60.0) == list(range(6))


def test_no_room_to_hand_an_item_over_is_said_with_the_remedy(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "share_memory_", no_room)
    said = refused(option="--workers")
    assert said.startswith("/dev/shm")
    assert "No space left on device (28)" in said
    assert "--workers 0" in said
    assert "--shm-size" in said
    assert "--ipc=host" in said
    assert loaded(workers=0) == list(range(6))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.ENOENT, errno.EROFS])
def test_a_full_or_missing_shared_memory_is_named_before_a_process_starts(monkeypatch, code):
    import multiprocessing.synchronize as synchronize

    monkeypatch.setattr(synchronize.SemLock, "__init__", refusing(code))
    said = refused()
    assert said.startswith("/dev/shm")
    assert os.strerror(code) in said


def test_a_process_that_cannot_be_started_is_named(monkeypatch, capsys):
    fork, made = os.fork, []

    def second_fails():
        if made:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        made.append(1)
        return fork()

    monkeypatch.setattr(os, "fork", second_fails)
    assert f"set {CALLED} lower" in refused(workers=2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("number", "says"),
    [(signal.SIGKILL, "a loader process was killed: if memory"), (signal.SIGBUS, "/dev/shm")],
)
def test_a_process_that_dies_is_named_with_what_it_was_at(number, says):
    said = refused(
        lambda: (
            signal.signal(number, signal.SIG_DFL) if number != 9 else 0,
            os.kill(os.getpid(), number),
        )
    )
    assert said.startswith(says)
    assert said.endswith("at one of: shard-7.tar k002")


def test_a_process_that_hangs_is_given_up_after_its_time():
    said = refused(lambda: time.sleep(600), timeout=0.5)
    assert "loader processes gave nothing for 0.5 seconds" in said
    assert said.endswith("at one of: shard-7.tar k002")


def test_an_error_of_the_data_comes_as_it_is():
    def torn():
        raise RuntimeError("torn")

    with pytest.raises(RuntimeError, match="torn"):
        loaded(torn)


def test_ctrl_c_is_the_affair_of_the_main_process():
    assert loaded(lambda: os.kill(os.getpid(), signal.SIGINT)) == list(range(6))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", [InputError, NoRoom])
def test_an_input_error_comes_as_it_was_raised(kind, workers):
    def happening() -> None:
        raise kind("shard 7 is cut short: copy it again")

    with pytest.raises(InputError) as caught:
        loaded(happening, workers)
    assert type(caught.value) is kind
    assert str(caught.value) == "shard 7 is cut short: copy it again"
