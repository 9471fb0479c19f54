"""The command `zeroseg`: one subcommand per program."""

import importlib
import sys
from collections.abc import Sequence

from zeroseg.errors import InputError

COMMANDS = {
    "quickstart": (
        "pipelines.quickstart",
        "shards, embeddings, training, scores and report by default",
    ),
    "shards": ("shards.cli", "make shards, check them, show them"),
    "embed": ("pipelines.embed", "compute the teacher's embeddings of shards once, for training"),
    "train": ("pipelines.train", "train a student from a config"),
    "evaluate": ("pipelines.evaluate", "score a student on a benchmark"),
    "segment": ("pipelines.segment", "segment your picture with your words"),
    "report": ("pipelines.report.page", "one HTML page of runs: curves, scores, pictures"),
    "ablate": ("pipelines.ablate", "train and score the variants of docs/ablations.md"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand; what the user can mend is printed as one line, exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in COMMANDS:
        asked = not arguments or arguments[0] in {"-h", "--help"}
        lines = [f"  {name:<12}{what}" for name, (_, what) in COMMANDS.items()]
        problem = "" if asked else f"error: unknown command {arguments[0]!r}\n"
        print(f"{problem}usage: zeroseg COMMAND ...\n\n" + "\n".join(lines), file=sys.stderr)
        raise SystemExit(0 if asked else 2)
    try:
        importlib.import_module(COMMANDS[arguments[0]][0]).main(arguments[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
