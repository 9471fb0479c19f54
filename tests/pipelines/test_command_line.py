"""Every command as it is typed: its help, its mistakes, and the commands that the documents show."""

import re
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.shards import KINDS

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "configs/quickstart.py")
COMMANDS = {
    "quickstart": "",
    "embed": "[CONFIG]",
    "train": "CONFIG",
    "segment": "MODEL PHOTO",
    "report": "RUN [RUN ...]",
    "ablate": "",
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


def options_of(command: str, capsys, monkeypatch) -> set[str]:
    text = helped(capsys, monkeypatch, 400, *command.split())
    return set(re.findall(r"--[\w.-]+", text))
