"""`zeroseg shards`, as typed."""

import numpy as np
import pytest

from pipelines.shards import KINDS, main
from tests.support.corpora import picture, put
from zeroseg.errors import InputError
from zeroseg.store.manifest import read_manifest


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


@pytest.mark.parametrize("arguments", [["fold"], ["build", "fold"]])
def test_an_unknown_name_ends_the_program_after_a_list_of_those_there_are(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert "knows no 'fold'" in told
    assert "check" in told or all(name in told for name in KINDS)


def test_a_source_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match=f"below {tmp_path}"):
        main(["build", "folder", str(tmp_path), str(tmp_path / "out")])
