"""Every command as it is typed: its help, its mistakes, and the commands that the documents show."""

import contextlib
import dataclasses
import io
import re
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest

from configs.scenes_scratch import config
from pipelines import cli
from pipelines.command_line import read
from pipelines.completion import TREE
from pipelines.completion import main as write_completion
from pipelines.embed import config_of
from pipelines.shards import KINDS
from pipelines.train import read_command
from zeroseg.errors import InputError
from zeroseg.models.clip import CLIPConfig

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "configs/scenes_scratch.py")
COMMANDS = {
    "quickstart": "",
    "embed": "[CONFIG]",
    "curate": "SHARDS",
    "curate show": "SELECTION",
    "find": "INDEX",
    "train": "CONFIG",
    "evaluate": "MODEL",
    "segment": "MODEL INPUT [INPUT ...]",
    "export onnx": "MODEL FILE",
    "export torch": "MODEL FILE",
    "report": "RUN [RUN ...]",
    "ablate": "",
    "doctor": "",
    "shards check": "SHARDS",
    "shards show": "SHARDS",
    "shards index": "FOLDER",
}
COMMANDS |= {f"shards build {kind}": "DESTINATION" for kind in KINDS}
"""By name: the arguments that have no option."""


def helped(capsys, monkeypatch, width: int, *arguments: str) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit) as stop:
        cli.main([*arguments, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_and_names_what_has_no_option(capsys, monkeypatch, command):
    text = helped(capsys, monkeypatch, 80, *command.split())
    assert text.startswith(f"usage: zeroseg {command} ")
    assert COMMANDS[command] in text.partition("\n\n")[0]
    assert f"\n    zeroseg {command}" in text
    assert "InputError" not in text


DOCUMENTS = [ROOT / "README.md", ROOT / "shards/README.md", *sorted(ROOT.glob("docs/**/*.md"))]
NAMED = re.compile(rf"\bzeroseg ({'|'.join(COMMANDS)})(?![\w-])([^`#|\n]*)")
"""A command in a document, up to the end of its line or of its code."""


def documented() -> set[tuple[str, str]]:
    """Commands and options of theirs that the documents show."""
    text = "\n".join(path.read_text().replace("\\\n", " ") for path in DOCUMENTS)
    shown = ((name, re.findall(r" (--[a-z][\w.-]*)", rest)) for name, rest in NAMED.findall(text))
    return {(name, option) for name, options in shown for option in options}


@pytest.mark.parametrize("command", sorted({name for name, _ in documented()}))
def test_every_option_that_a_document_shows_is_there(capsys, monkeypatch, command):
    given = [CONFIG] if command == "train" else []
    text = helped(capsys, monkeypatch, 200, *command.split(), *given)
    known = set(re.findall(r"--[\w.-]+", text)) | {"--help"}
    assert {option for name, option in documented() if name == command} <= known


def test_the_version_is_that_of_the_package(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"zeroseg {metadata.version('zeroseg')}\n"


def test_asking_what_there_is_imports_no_torch():
    script = (
        "import sys, pipelines.cli as cli\n"
        "cli.main(['--version'])\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True)


SHELL = """
source /dev/stdin
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_tyro_zeroseg
echo "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("seg", "segment"),
        ("shards build coco-o", "coco-object"),
        ("shards build img2dataset a --inc", "--incomplete"),
        ("embed --dry", "--dry-run"),
        ("train CONFIG --method.teacher.views.g", "--method.teacher.views.grids"),
        ("train CONFIG --method.losses.distance c", "cosine"),
        ("evaluate MODEL --benchm", "--benchmark"),
    ],
)
def test_bash_completes_names_options_and_choices(completion, words, expected):
    typed = ["bash", "-c", SHELL, "bash", "zeroseg", *words.split()]
    done = subprocess.run(typed, input=completion, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected]


@pytest.fixture(scope="module")
def completion() -> str:
    script = io.StringIO()
    with contextlib.redirect_stdout(script):
        cli.main(["completion", "bash"])
    return script.getvalue()


def test_every_command_is_completed():
    assert [*TREE, "completion"] == [*cli.COMMANDS]


@pytest.mark.parametrize("shell", [[], ["powershell"]])
def test_an_unknown_shell_is_refused_with_those_there_are(shell):
    with pytest.raises(InputError, match="one of bash, zsh, fish"):
        write_completion(shell)


@dataclass(frozen=True, kw_only=True)
class Example:
    """An example."""

    teacher: CLIPConfig = field(default_factory=lambda: CLIPConfig.parse("ViT-B-16:openai"))
    words: str = "a"
    """Said in two
    lines."""


def example(*arguments: str) -> Example:
    return read(Example, arguments, "example", "An example.")


def test_a_clip_is_one_option_and_its_other_fields_are_reached_below_it():
    assert example("--teacher", "mine:/a:b.pt", "--teacher.register", "x.py").teacher == CLIPConfig(
        architecture="mine", weights="/a:b.pt", register="x.py"
    )
    changed = example("--teacher.mean", "0", "0.5", "1").teacher
    assert changed == dataclasses.replace(Example().teacher, mean=(0.0, 0.5, 1.0))


def test_a_default_keeps_the_fields_that_its_text_leaves_out():
    default = Example(teacher=CLIPConfig(architecture="a", weights="b", precision="fp32"))
    found = read(Example, ["--teacher", "c:d"], "example", "", default=default)
    assert found.teacher == dataclasses.replace(default.teacher, architecture="c", weights="d")


def test_what_names_no_clip_is_an_error_of_one_line():
    with pytest.raises(InputError, match=r"^'ViT-B-16' names no CLIP: write ARCHITECTURE:WEIGHTS"):
        example("--teacher", "ViT-B-16")


def test_help_reflows_docstrings_and_shows_defaults(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit):
        example("--help")
    text = capsys.readouterr().out
    assert "Said in two lines. (default: a)" in text
    assert "(default: ViT-B-16:openai)" in text
    assert "None)" not in text


@pytest.mark.parametrize("arguments", [["--wordz", "b"], ["--words"], ["b"]])
def test_arguments_that_do_not_fit_end_the_program_with_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        example(*arguments)
    assert stop.value.code == 2
    assert "example --help" in capsys.readouterr().err


def test_a_config_is_named_first(capsys):
    with pytest.raises(InputError, match="name the config first: zeroseg embed"):
        config_of(["--shards", "s", "--output", "o", CONFIG])


def test_train_takes_options_over_its_config_and_its_own():
    own = ["--embeddings", "e", "--dry-run", "--allow-change", "steps", "data.workers"]
    command = read_command([CONFIG, "--steps", "7", *own, "--method.teacher.clip", "a:b"])
    assert (command.embeddings, command.dry_run, command.profile) == ("e", True, False)
    assert command.allow_change == ("steps", "data.workers")
    method = config.method
    clip = dataclasses.replace(method.teacher.clip, architecture="a", weights="b")
    teacher = dataclasses.replace(method.teacher, clip=clip)
    method = dataclasses.replace(method, teacher=teacher)
    assert command.run == dataclasses.replace(config, steps=7, method=method)
