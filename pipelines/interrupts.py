"""Ctrl-C: a command ends in one line that says how to go on, and leaves no process behind."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

STATUS = 128 + signal.SIGINT
"""Exit status of a command that was interrupted."""
RESUMED = {"quickstart", "shards build", "embed", "train", "stages", "label", "evaluate"}
RESUMED |= {"curate", "seen-unseen", "ablate", "segment"}
"""Commands that go on where they were stopped; others begin again."""


@contextmanager
def interruptible(name: str, arguments: Sequence[str]) -> Iterator[None]:
    """Run a command; raises SystemExit(130) after Ctrl-C. A second one ends the process at once.

    What a command does of its own, as training that saves, comes first.
    """
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        more = name == "shards" or arguments[:1] == ["show"]
        full = f"{name} {arguments[0]}" if more and arguments else name
        way = "goes on" if full in RESUMED else "begins again"
        print(f"\nstopped by Ctrl-C: the same command {way}", file=sys.stderr)
        raise SystemExit(STATUS) from None
    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, _end)
    raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> None:
    """At once: nothing is waited for."""
    for process in multiprocessing.active_children():
        process.kill()
    os._exit(STATUS)
