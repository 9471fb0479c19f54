"""Loader processes beside this one, which say what they were at when they die of it."""

import contextlib
import ctypes
import errno
import mmap
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_convert

from zeroseg.errors import InputError
from zeroseg.store.reader import RawSample

Item = TypeVar("Item")
Decoded = TypeVar("Decoded")


class AtWork:
    """What each of some processes is at, in memory that those forked from here share.

    Each writes its own row alone, so that none waits for another, nor for one that was killed.
    """

    def __init__(self, rows: int) -> None:
        rows, size = max(1, rows), 512
        memory = mmap.mmap(-1, rows * size)  # without a name: /dev/shm may be full
        self._texts = ((ctypes.c_char * size) * rows).from_buffer(memory)

    def write(self, row: int, text: str) -> None:
        """Say what the process of a row is at; nothing when it is done."""
        self._texts[row].value = text.encode(errors="replace")[:511]

    def announcing(
        self, row: int, decode: Callable[[RawSample], Decoded]
    ) -> Callable[[RawSample], Decoded]:
        """The same decoding, which first says of what."""

        def announce(sample: RawSample) -> Decoded:
            self.write(row, f"{sample.shard} {sample.key}")
            return decode(sample)

        return announce

    def __str__(self) -> str:
        texts = [row.value.decode(errors="replace") for row in self._texts]
        return "; ".join(filter(None, texts)) or "its start"


def load_in_workers(
    dataset: Dataset[Item],
    workers: int,
    at_work: AtWork,
    *,
    timeout: float = 0.0,
    option: str = "--data.workers",
) -> Iterator[Item]:
    """What a dataset yields, in its order, read by this process or by others beside it.

    `timeout` is after how many seconds without an item the others are given up, 0 never; `option` is what
    sets their number. Raises InputError as the dataset does, and when one of them dies, is late, cannot be
    started or cannot hand its items over, with what each was at.
    """
    items = _items(dataset, workers, option)
    processes = getattr(items, "_workers", ())
    with _Patience(timeout if workers else 0.0, processes) as patience:
        while True:
            try:
                with patience.waiting():
                    item = next(items)
            except StopIteration:
                return
            except InputError as error:
                # Its own traceback would keep the loader, and so the workers, until garbage is collected.
                raise _as_it_was(error) from error.with_traceback(None)
            except (RuntimeError, OSError, EOFError) as error:
                failure = _failure(error, patience, processes, option) if workers else None
                if failure is None:
                    raise
                raise InputError(f"{failure}, at one of: {at_work}") from error.with_traceback(None)
            yield item


def _as_it_was(error: InputError) -> InputError:
    """The error as it was raised: from a worker it comes with that one's traceback before it, in one line."""
    kind, text = type(error), str(error)
    if text.startswith("Caught "):
        text = text.rpartition(f"{kind.__name__}: ")[2].removesuffix("\\n")
    return kind(text)


def _items(dataset: Dataset[Item], workers: int, option: str) -> Iterator[Item]:
    """What the loader hands over, as it comes."""
    with refusing_processes(option):
        loader = DataLoader(
            dataset,
            batch_size=None,
            num_workers=workers,
            multiprocessing_context="fork" if workers else None,
            # Its own: drawing from the global one here would make a resumed run draw other masks.
            generator=torch.Generator().manual_seed(0),
            # Other pages reach a GPU only after all that it was told before.
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_begin,
            collate_fn=_handed_over if workers else None,
        )
        return _started(loader)


@contextmanager
def refusing_processes(option: str) -> Iterator[None]:
    """Raises InputError where processes cannot be started, with the option that sets their number."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}:
            raise InputError(
                f"no more processes can be started ({error.strerror}): set {option} lower, 0 for none, "
                "or raise the limits (ulimit -u, ulimit -n, memory)"
            ) from error
        raise InputError(_no_shared_memory(str(error.strerror), option)) from error
    except RuntimeError as error:
        if "new thread" not in str(error):
            raise
        raise InputError(
            f"no more processes can be started ({error}): set {option} lower, 0 for none, or raise "
            "ulimit -u"
        ) from error


def _started(loader: DataLoader) -> Iterator[Any]:
    """The loader's iterator. One that could not be made whole would complain when it is deleted, and leave
    what it had started."""
    try:
        with uninterrupted(), _own_sigchld():
            return iter(loader)
    except (OSError, RuntimeError) as error:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            half: Any = frame.f_locals.get("self")
            if hasattr(half, "_shutdown_workers"):
                half._shutdown = True
                for process in getattr(half, "_workers", ()):
                    process.kill()
        raise


def _no_shared_memory(reason: str, option: str) -> str:
    return (
        f"/dev/shm, through which processes hand over what they have read, is full, too small or "
        f"missing ({reason}): set {option} 0 to do without, or give it more room (docker run "
        "--shm-size 8g, or --ipc=host)"
    )


def leave_interrupts() -> None:
    """In a new process: Ctrl-C in a terminal reaches every process there, and is the first one's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C comes after this: Python would lose it among what it calls before and after a fork."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        before(signal.SIGINT, None)


def _begin(worker: int) -> None:
    leave_interrupts()


def _handed_over(item: Any) -> Any:
    """In a worker: an item with its tensors in shared memory.

    The loader would put them there in a thread of its own, where a failure is printed and the item
    is lost, so that everybody waits for it without end.
    """
    item = default_convert(item)
    fields = [
        item,
        *(item if isinstance(item, tuple | list) else getattr(item, "__dict__", {}).values()),
    ]
    try:
        for tensor in fields:
            if isinstance(tensor, Tensor) and tensor.numel():
                tensor.share_memory_()
    except (RuntimeError, OSError) as error:
        raise _NoSharedMemory(" ".join(str(error).split())) from None
    return item


class _NoSharedMemory(RuntimeError):
    """A worker cannot hand over what it has read."""


def _failure(error: Exception, patience: "_Patience", processes: Any, option: str) -> str | None:
    """What went wrong between this process and its workers; None for an error of the dataset's own."""
    text = " ".join(str(error).split())
    if isinstance(error, _NoSharedMemory):
        return _no_shared_memory(text.rpartition("_NoSharedMemory: ")[2], option)
    if patience.lost:
        return (
            f"loader processes gave nothing for {patience.seconds:g} seconds: see what holds them, or "
            "raise worker_timeout (0 waits without end)"
        )
    if getattr(error, "errno", None) in {errno.EMFILE, errno.ENFILE} or "ancdata" in text:
        return f"too many open files: raise ulimit -n, or set {option} lower"
    if text.startswith("Caught "):  # in a worker, by the dataset
        return None
    if isinstance(error, RuntimeError) and "DataLoader worker" not in text:
        return None
    for process in processes:
        process.join(1)
    ended = {-(process.exitcode or 0) for process in processes}
    if signal.SIGBUS in ended or "Bus error" in text:
        return _no_shared_memory("a process died of a bus error", option)
    if signal.SIGKILL in ended:
        return (
            f"a loader process was killed: if memory ran out, set {option} or the batch lower; if it "
            "happens again there, that image is to blame"
        )
    return f"a loader process died ({text})"


class _Patience:
    """Kills processes that let this one wait for longer than some seconds; 0 never does."""

    def __init__(self, seconds: float, processes: Any) -> None:
        self.seconds, self.lost = seconds, False
        self._processes, self._since, self._end = processes, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Patience":
        if self.seconds:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While this process waits."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = 0.0

    def _watch(self) -> None:
        while not self._end.wait(min(5.0, self.seconds / 4)):
            since = self._since
            if since and time.monotonic() - since > self.seconds:
                self.lost = True
                for process in self._processes:
                    with contextlib.suppress(ValueError, OSError):
                        process.kill()
                return


@contextmanager
def _own_sigchld() -> Iterator[None]:
    """Keep torch from handling SIGCHLD: a worker's death would be raised in whatever the main thread is
    at, where nobody knows the samples. So `next` finds it, within 5 seconds."""
    before = signal.getsignal(signal.SIGCHLD)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, before)
