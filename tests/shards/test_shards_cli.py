"""`zeroseg shards`, as typed."""

import numpy as np
import pytest

from shards.cli import ACTIONS, KINDS, main
from tests.support.corpora import picture, put
from zeroseg.errors import InputError
from zeroseg.store.manifest import read_manifest


def helped(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_help_names_what_a_build_needs_and_no_exception(capsys, kind):
    text = helped(capsys, "build", kind)
    assert " DESTINATION\n" in text.replace("\n    ", " ")
    assert "InputError" not in text
    assert "--images-per-shard" in text


@pytest.mark.parametrize("action", ACTIONS)
def test_help_of_an_action_names_what_it_needs(capsys, action):
    text = helped(capsys, action)
    assert "FOLDER" in text or "SHARDS" in text
    assert "InputError" not in text


def test_what_is_built_is_checked_and_shown(capsys, tmp_path):
    shades = np.linspace(10, 250, 5).astype(int).tolist()
    photos = put(str(tmp_path / "photos"), {f"{s}.jpg": picture(s) for s in shades})
    made = str(tmp_path / "set")
    main(["build", "folder", photos, made, "--images-per-shard", "2", "--workers", "0"])
    main(["check", made, "--workers", "0"])
    main(["show", made, "--output", str(tmp_path / "sheet.png")])
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{made}: 5 images in 3 shards"
    assert told[1].endswith("in 3 shards checked: nothing wrong")
    assert told[2] == f"{tmp_path}/sheet.png: 5 of 5 images"
    assert read_manifest(made).built_from["source"] == photos


def test_an_unknown_action_is_an_error_that_lists_those_there_are():
    with pytest.raises(InputError, match="unknown action 'fold': choose build, check, show, index"):
        main(["fold"])
