"""Loader processes beside this one, which say what they were at when they die of it."""

import ctypes
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from zeroseg.errors import InputError
from zeroseg.store.reader import RawSample

Item = TypeVar("Item")
Decoded = TypeVar("Decoded")


class AtWork:
    """What each of some processes is at, in memory that those forked from here share.

    Each writes its own row alone, so that none waits for another, nor for one that was killed.
    """

    def __init__(self, rows: int) -> None:
        self._texts = multiprocessing.RawArray(ctypes.c_char * 512, max(1, rows))

    def write(self, row: int, text: str) -> None:
        """Say what the process of a row is at; nothing when it is done."""
        self._texts[row].value = text.encode()[:511]

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


def load_in_workers(dataset: Dataset[Item], workers: int, at_work: AtWork) -> Iterator[Item]:
    """What a dataset yields, in its order, read by this process or by others beside it.

    Raises RuntimeError naming what each was at when one dies, and any InputError as it is.
    """
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
        # Its own: drawing from the global one here would make a resumed run draw other masks.
        generator=torch.Generator().manual_seed(0),
        # Other pages reach a GPU only after all that it was told before.
        pin_memory=torch.cuda.is_available(),
    )
    with _own_sigchld():
        items = iter(loader)
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except InputError as error:  # from a worker it comes with that one's traceback before it
            said = str(error).rpartition("InputError: ")[2].strip()
            # Its own traceback would keep the loader, and so the workers, until garbage is collected.
            raise InputError(said) from error.with_traceback(None)
        except (RuntimeError, ConnectionError, EOFError) as error:
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            raise RuntimeError(f"a loader process died ({error}) at one of: {at_work}") from error
        yield item


@contextmanager
def _own_sigchld() -> Iterator[None]:
    """Keep torch from handling SIGCHLD: a worker's death would be raised in whatever the main thread is
    at, where nobody knows the samples. So `next` finds it, within 5 seconds."""
    before = signal.getsignal(signal.SIGCHLD)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, before)
