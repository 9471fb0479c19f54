"""The command `zeroseg`: one subcommand per program."""

import importlib
import importlib.metadata
import io
import os
import sys
from collections.abc import Mapping, Sequence

from pipelines.interrupts import interruptible
from zeroseg.errors import InputError
from zeroseg.store.local_files import is_full

COMMANDS = {
    "quickstart": (
        "pipelines.quickstart",
        "shards, embeddings, training, scores and report by default",
    ),
    "shards": ("pipelines.shards", "make shards, check them, show them"),
    "embed": ("pipelines.embed", "compute the teacher's embeddings of shards once, for training"),
    "curate": (
        "pipelines.curate",
        "choose which images are trained on, without duplicates and junk; `curate show` draws them",
    ),
    "find": ("pipelines.find", "find images by words or by a picture, among those embedded"),
    "train": ("pipelines.train", "train a student from a config"),
    "stages": ("pipelines.stages", "train in stages, each from what those before it made"),
    "label": (
        "pipelines.label",
        "write a model's predictions of unseen classes into the labels of shards, for training",
    ),
    "choose": (
        "pipelines.choose",
        "choose on validation data what no training finds, and write it into the model",
    ),
    "evaluate": ("pipelines.evaluate", "score a student on a benchmark"),
    "segment": ("pipelines.segment", "segment your pictures with your words"),
    "export": ("pipelines.export", "write a model as ONNX, or for torch.export, with its words"),
    "report": ("pipelines.report.page", "one HTML page of runs: curves, scores, pictures"),
    "seen-unseen": (
        "pipelines.seen_unseen",
        "train and score all methods with seen and unseen classes",
    ),
    "ablate": ("pipelines.ablate", "train and score the variants of docs/ablations.md"),
    "doctor": ("pipelines.doctor", "what this machine has, and what would be slow or missing here"),
    "completion": ("pipelines.completion", "print what completes all this in bash, zsh or fish"),
}
"""By name: the module, imported when it is asked for, and what it is for."""


def choose(
    program: str, purposes: Mapping[str, str], arguments: Sequence[str]
) -> tuple[str, Sequence[str]]:
    """The name that comes first, one of those with a purpose, and the arguments after it.

    Lists the names and ends the program where none of them comes first: with status 0 if the list
    is asked for, by `--help` or by nothing, and with 2 if there is no such name.
    """
    if arguments and arguments[0] in purposes:
        return arguments[0], arguments[1:]
    asked = not arguments or arguments[0] in {"-h", "--help"}
    width = max(map(len, purposes))
    lines = [f"usage: {program} NAME ...", ""]
    lines += [f"  {name:<{width}}  {purpose}" for name, purpose in purposes.items()]
    lines += ["", f"`{program} NAME --help` says more of each."]
    if not asked:
        lines += ["", f"error: {program} knows no {arguments[0]!r}"]
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    raise SystemExit(0 if asked else 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand; what the user can mend is printed as one line, exit status 2. So is what Ctrl-C
    leaves, exit status 130."""
    if arguments is None:
        _speak_utf8()
        arguments = sys.argv[1:]
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that it cannot show must end nothing
        sys.stdout.reconfigure(errors="backslashreplace")
    if arguments == ["--version"]:
        print(f"zeroseg {importlib.metadata.version('zeroseg')}")
        return
    purposes = {name: purpose for name, (_, purpose) in COMMANDS.items()}
    name, rest = choose("zeroseg", purposes, arguments)
    try:
        with interruptible(name, rest):
            importlib.import_module(COMMANDS[name][0]).main(rest)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    except OSError as error:
        if not is_full(error):
            raise
        print(f"error: {InputError(str(error))}: a disk is full, free some of it", file=sys.stderr)
        raise SystemExit(2) from error


def _speak_utf8() -> None:
    """Begin this program again in Python's UTF-8 mode where the locale has another encoding: names of
    files, and so keys, are the same everywhere."""
    if sys.getfilesystemencoding() != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


if __name__ == "__main__":
    main()
