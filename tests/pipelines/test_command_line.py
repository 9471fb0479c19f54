"""Every command as it is typed: its help, its mistakes, and the commands that the documents show."""

import dataclasses
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.command_line import read
from pipelines.shards import ACTIONS, KINDS
from zeroseg.errors import InputError
from zeroseg.models.clip import CLIPConfig

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "configs/quickstart.py")
COMMANDS = {
    "quickstart": "",
    "embed": "[CONFIG]",
    "train": "CONFIG",
    "evaluate": "MODEL",
    "segment": "MODEL PHOTO",
    "report": "[RUNS ...]",
    "ablate": "",
} | {f"shards {action}": "SHARDS" for action in ACTIONS}
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
