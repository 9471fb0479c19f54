"""What a case may end in."""

from enum import StrEnum
from typing import NamedTuple

from zeroseg.errors import InputError


class Verdict(StrEnum):
    """How a case ended."""

    RIGHT = "right"
    LOSSES = "losses"
    REFUSED = "refused"
    WRONG = "wrong"


class Judged(NamedTuple):
    """How a case ended, and what was done or said."""

    verdict: Verdict
    detail: str = ""


class Wrong(Exception):
    """What came out is neither right nor told; the message says what it is."""


def expect(holds: bool, otherwise: str) -> None:
    """Raises Wrong with the text unless it holds."""
    if not holds:
        raise Wrong(otherwise)


def refused(error: InputError) -> Judged:
    """A refusal, which must be one line. Raises Wrong when it is none."""
    text = str(error)
    expect(text.isprintable() and bool(text), f"a refusal that is not one line: {text!r}")
    expect("MemoryError" not in text, f"memory ran out: {text!r}")
    return Judged(Verdict.REFUSED, text)


def ended(losses: int) -> Judged:
    """What was not refused."""
    return Judged(Verdict.LOSSES if losses else Verdict.RIGHT)


def named(losses: list[str]) -> None:
    """Raises Wrong unless every loss says something, and none is of memory."""
    for loss in losses:
        expect(bool(loss), "a loss that says nothing")
        expect("MemoryError" not in loss, f"memory ran out: {loss!r}")
