"""The shape of the code, for whoever has to read it: modules that one image enters, lines, functions.

    uv run python -m benchmarks.structure                    # of the checkout in the current folder
    uv run python -m benchmarks.structure --read             # also what an evening's reading is

One image is followed through a training step of the quickstart's student, from the bytes of its sample to the
losses, and one labelled image through `zeroseg evaluate`, from its bytes to the scores. A module counts where
one of its functions runs on the way, or waits for one that does. It needs no knowledge of the modules, so
that it runs on earlier commits too: copy this file beside them.
"""

import argparse
import ast
import contextlib
import io
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

ROOT = Path.cwd()
PACKAGES = ("zeroseg", "pipelines", "shards")
TRAIN = ["--steps", "2", "--data.workers", "0", "--data.batch-size", "1", "--log-every", "9"]
TRAIN += ["--precision", "no"]  # as evaluation has it: a process has one precision
METHOD = ("views", "teacher", "vit", "grouping", "zeroseg", "losses", "objectives", "distillation")
LOOP = ("train", "loop", "job", "optimization", "optimizers", "schedule", "objective", "method")


class Trace:
    """Modules whose functions run between a first call and the return of a last one."""

    def __init__(self, first: str, last: Callable[[FrameType], bool], skip: int = 0) -> None:
        """`skip`: how many such first calls are let pass, with all that is done once."""
        self.first, self.last, self.skip = first, last, skip
        self.modules: dict[str, None] = {}
        self.state = "before"

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """What `sys.setprofile` calls."""
        if self.state == "after":
            return
        module = _module(frame)
        if self.state == "before":
            if event != "call" or module is None or frame.f_code.co_name != self.first:
                return
            if not module.endswith(".reader"):
                return
            if self.skip:
                self.skip -= 1
                return
            self.state = "on the way"
            stack: FrameType | None = frame
            while stack is not None:
                self._note(_module(stack))
                stack = stack.f_back
        if event == "call":
            self._note(module)
        elif event == "return" and module is not None and self.last(frame):
            self.state = "after"

    def _note(self, module: str | None) -> None:
        if module is not None and not module.endswith("__init__"):
            self.modules[module] = None


def _module(frame: FrameType) -> str | None:
    """The project's module that a frame runs; not its import, nor the reading of its command line."""
    path, name = frame.f_code.co_filename, frame.f_code.co_name
    if name in ("<module>", "main") or not path.startswith(str(ROOT)):
        return None
    module = str(Path(path).relative_to(ROOT).with_suffix("")).replace("/", ".")
    return module if module.startswith(PACKAGES) else None


@contextlib.contextmanager
def traced(trace: Trace) -> Iterator[None]:
    """Follow everything that runs inside, which prints nothing."""
    sys.setprofile(trace)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        sys.setprofile(None)


def followed(folder: Path) -> dict[str, list[str]]:
    """Modules that a training image enters, and a benchmark image."""
    from pipelines import cli

    build = ["shards", "build", "scenes"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for split in ("train", "val"):
            cli.main([*build, split, f"{folder}/{split}", "--images", "4", "--workers", "0"])
    run = ["train", "configs/quickstart.py", "--data.shards", f"{folder}/train", *TRAIN]
    step = Trace("read", lambda frame: _is(frame, "optimization", "_backward"), skip=1)
    with traced(step):
        cli.main([*run, "--output", f"{folder}/run"])
    score = ["evaluate", f"{folder}/run", "--benchmark", "scenes", "--shards", f"{folder}/val"]
    image = Trace("read", lambda frame: frame.f_code.co_name in ("write_result", "result_of"))
    with traced(image):
        cli.main([*score, "--protocol.name", "scenes", "--limit", "1", "--examples", "0"])
    return {"training step": list(step.modules), "benchmark": list(image.modules)}


def _is(frame: FrameType, module: str, function: str) -> bool:
    found = _module(frame)
    return found is not None and found.endswith(f".{module}") and frame.f_code.co_name == function


def sources() -> dict[str, str]:
    """Files of the packages and the configs."""
    files = [p for name in (*PACKAGES, "configs") for p in (ROOT / name).rglob("*.py")]
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(files)}


def function_lengths(texts: dict[str, str]) -> list[int]:
    """Lines of every function and method, nested ones too."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = (node for text in texts.values() for node in ast.walk(ast.parse(text)))
    return sorted(
        node.end_lineno - node.lineno + 1
        for node in nodes
        if isinstance(node, kinds) and node.end_lineno is not None
    )


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", action="store_true", help="files of the method and its loop")
    options = parser.parse_args()
    texts = sources()
    lengths = function_lengths(texts)
    tenths = statistics.quantiles(lengths, n=10)
    print(f"{len(texts)} files, {sum(t.count(chr(10)) for t in texts.values())} lines")
    print(
        f"{len(lengths)} functions: median {statistics.median(lengths):.0f} lines, "
        f"90th percentile {tenths[-1]:.0f}, longest {lengths[-1]}"
    )
    if options.read:
        for part, names in (("method", METHOD), ("loop", LOOP)):
            chosen = {
                f: t for f, t in texts.items() if Path(f).stem in names and "shards/" not in f
            }
            lines = {file: text.count("\n") for file, text in chosen.items()}
            print(f"{part}: {len(lines)} files, {sum(lines.values())} lines")
            print("\n".join(f"    {count:4} {file}" for file, count in lines.items()))
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        for what, modules in followed(Path(folder)).items():
            print(f"{what}: {len(modules)} modules: {', '.join(modules)}")


if __name__ == "__main__":
    main()
