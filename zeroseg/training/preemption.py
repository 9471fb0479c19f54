"""Stopping between two steps when the machine is wanted back."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any

import torch
import torch.distributed as dist  # noqa: TID251  Accelerate has no sum that does not wait
from accelerate import Accelerator

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
STOPPED = 75
"""Exit status of a run that was asked to stop and has saved its place (EX_TEMPFAIL: try again)."""
END = b"\0"
ECHO = 2.0
"""Seconds in which a further signal is taken for the same one: launchers pass on to their processes
what these may have been sent directly, too."""
BOUNCE = 0.2
"""The same between two Ctrl-C, which nobody presses faster."""


class Preemption:
    """Listens for SIGTERM, SIGUSR1 and SIGINT (Ctrl-C) while it is entered; a later one ends the process at
    once. A SIGINT that was ignored before, as of a shell's background jobs, stays so.

    The processes of a job agree after which step they stop: in each step they begin a sum over all of
    them, on the CPU, and read the one begun in the step before. So no GPU is waited for, and a process
    that has lost the others learns it within a step. `timeout` in seconds is how long that may take.
    """

    def __init__(self, accelerator: Accelerator, timeout: float) -> None:
        self.asked_at: float | None = None
        self._asked_by: signal.Signals | None = None
        self._group: Any = None
        if accelerator.num_processes > 1:
            self._group = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout))
        self._sum: Any = None
        self._before: dict[signal.Signals, Any] = {}
        self._fd_before = -1
        self._ear, self._mouth = socket.socketpair()
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "Preemption":
        # Python's own handlers run between two lines of the main thread, which may hang in a
        # collective; what arrives at this descriptor is read by a thread of its own.
        self._mouth.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        self._before = {
            number: signal.signal(number, _nothing)
            for number in SIGNALS
            if number != signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN
        }
        self._listener.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._last_answer()
        finally:
            for number, handler in self._before.items():
                # One that was asked to stop is on its way out, and not to be cut short by an echo.
                signal.signal(number, handler if self.asked_at is None else signal.SIG_IGN)
            signal.set_wakeup_fd(self._fd_before)
            self._mouth.send(END)
            self._listener.join()
            self._ear.close()
            self._mouth.close()

    def agreed(self) -> bool:
        """Whether to stop now; every process asks once a step and gets the same answer.

        Raises RuntimeError when another process has died or cannot be reached.
        """
        if self._group is None:
            return self.asked_at is not None
        if self._last_answer():
            return True
        mine = torch.tensor([int(self.asked_at is not None)])
        self._sum = (mine, dist.all_reduce(mine, group=self._group, async_op=True))
        return False

    def _last_answer(self) -> bool:
        if self._sum is None:
            return False
        (asked, work), self._sum = self._sum, None
        try:
            work.wait()
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise RuntimeError(
                f"another process of this job died or cannot be reached ({reason}): its own output "
                "says why; run again to go on from the last checkpoint"
            ) from error
        return bool(asked.item())

    def _listen(self) -> None:
        while (heard := self._ear.recv(1)) != END:
            if heard[0] in SIGNALS:
                self._hear(signal.Signals(heard[0]))

    def _hear(self, number: signal.Signals) -> None:
        now, name = time.monotonic(), number.name
        echo = BOUNCE if number == self._asked_by == signal.SIGINT else ECHO
        if self.asked_at is None:
            self.asked_at, self._asked_by = now, number
            os.write(
                2, f"\n{name}: finishing this step and saving; once more exits at once\n".encode()
            )
        elif now > self.asked_at + echo:
            os.write(2, f"\n{name} again: exiting at once\n".encode())
            for process in multiprocessing.active_children():
                process.kill()
            os._exit(128 + number)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Instead of the default, which ends the process."""
