"""Folders of photos as they lie on people's disks."""

import os
import unicodedata
from pathlib import Path

import pytest

from pipelines.shards import main
from shards.build import Limits, build
from shards.folder import Folder, counted
from tests.support.corpora import ONE, TWO, good, samples
from tests.support.damage import left_out, stored
from zeroseg.errors import InputError


def lay(root: Path, *names: str | bytes) -> Path:
    for name in names:
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(ONE)
    return root


def built(folder: Path) -> list[str]:
    """Keys of the set that is built from it."""
    build(Folder(str(folder)).source(), f"{folder}-set", Limits(workers=0))
    return sorted(stored(Path(f"{folder}-set")))


def test_what_is_hidden_or_of_a_program_is_passed_over_and_said(tmp_path, capsys):
    folder = lay(
        tmp_path / "photos", "ok.jpg", "deep/ok.jpg", ".thumbnails/ok.jpg", "@eaDir/ok.jpg/THUMB.jpg",
        "__MACOSX/._ok.jpg", ".git/objects/x.jpg", "deep/.Trash-1000/gone.jpg", "._ok.jpg",
        "Thumbs.db", "a.txt", "b.TXT", "README", "new.raw", "lost+found/x.jpg",
    )  # fmt: skip
    source = Folder(str(folder)).source()
    assert list(good(source)) == ["deep/ok", "ok"]
    told = "6 files: 2 .txt, 1 .db, 1 .raw, 1 hidden files, 1 without suffix"
    assert sorted(counted(source.passed_over).replace(", 6 hidden folders", "").split()) == sorted(
        f"{told}".split() + ["6", "hidden", "folders,"]
    )
    main(["build", "folder", str(folder), str(tmp_path / "set"), "--workers", "0"])
    assert "passed over 6 files: 6 hidden folders, 2 .txt" in capsys.readouterr().out


def test_a_hidden_folder_may_itself_be_the_source(tmp_path):
    assert built(lay(tmp_path / ".photos", "ok.jpg")) == ["ok"]


def test_a_folder_with_nothing_that_is_read_says_what_there_is(tmp_path):
    folder = lay(tmp_path / "photos", "a.xyz", "b.xyz")
    with pytest.raises(InputError, match=r"only 2 files: 2 \.xyz: check"):
        Folder(str(folder)).source()


def test_links_to_nothing_are_named_and_circles_and_pipes_are_not_entered(tmp_path):
    folder = lay(tmp_path / "photos", "a/ok.jpg", "other/b.jpg")
    (folder / "gone.jpg").symlink_to("/nowhere/gone.jpg")
    (folder / "gone.txt").symlink_to("/nowhere/gone.txt")
    (folder / "self.jpg").symlink_to("self.jpg")
    (folder / "a" / "round").symlink_to("..")
    (folder / "a" / "self").symlink_to(".")
    (folder / "beside").symlink_to("other")
    os.mkfifo(folder / "pipe.jpg")
    assert built(folder) == ["a/ok", "beside/b", "other/b"]
    assert left_out(Path(f"{folder}-set")) == [
        f"{folder}/gone.jpg: a link to nothing",
        f"{folder}/self.jpg: a link to nothing",
    ]
    assert Folder(str(folder)).source().passed_over == {
        ".txt": 1,
        "links to a folder that they lie in": 2,
        "pipes or devices": 1,
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path):
    folder = lay(tmp_path / "photos", "ok.jpg", "mine.jpg", "deep/ok.jpg")
    (folder / "mine.jpg").chmod(0)
    assert built(folder) == ["deep/ok", "ok"]
    assert left_out(Path(f"{folder}-set")) == [f"{folder}/mine.jpg: you may not read it"]
    (folder / "deep").chmod(0)
    with pytest.raises(InputError, match=f"{folder}/deep"):
        Folder(str(folder)).source()
    (folder / "deep").chmod(0o755)


ODD = {
    "latin1": ([b"caf\xe9.jpg", b"caf\xe8.jpg", b"ok.jpg"], ["caf%E8", "caf%E9", "ok"]),
    "newline": (["two\nlines.jpg", "bell\x07.jpg"], ["bell%07", "two_lines"]),
    "separators": (["a\u2028b.jpg", "c\u202fd.jpg", "e\u3000f.jpg"], ["a_b", "c_d", "e_f"]),
    "long": (["写" * 83 + "xy.jpg"], ["写" * 83 + "xy"]),
    "deep": (["/".join(["d" * 60] * 20) + "/x.jpg"], ["/".join(["d" * 60] * 20) + "/x"]),
    "two forms": (
        [unicodedata.normalize(form, "café.jpg") for form in ("NFC", "NFD")],
        sorted(unicodedata.normalize(form, "café") for form in ("NFC", "NFD")),
    ),
    "patterns": (["[1]/a*{0..3}?.jpg"], ["[1]/a*{0__3}?"]),
}


@pytest.mark.parametrize("name", ODD)
def test_every_name_that_a_disk_holds_makes_a_key_of_its_own(tmp_path, name):
    names, keys = ODD[name]
    folder = lay(tmp_path / "photos [2024] {a,b}", *names)
    assert built(folder) == keys
    assert [s.image for s in samples(Folder(str(folder)).source())] == [ONE] * len(keys)
    again = Path(f"{folder}-set", "shard-000000.idx").read_bytes()
    os.rename(folder, tmp_path / "elsewhere")
    assert built(tmp_path / "elsewhere") == keys
    assert (tmp_path / "elsewhere-set" / "shard-000000.idx").read_bytes() == again


def test_two_sizes_of_a_file_under_one_name_are_told_apart(tmp_path):
    folder = lay(tmp_path / "photos", "a.jpg")
    (folder / "b.jpg").write_bytes(TWO)
    assert built(folder) == ["a", "b"]


def test_a_heic_beside_a_picture_of_its_name_is_the_same_photo(tmp_path):
    folder = lay(tmp_path / "photos", "one.HEIC", "one.jpg", "two.heic", "deep/one.heif")
    source = Folder(str(folder)).source()
    assert [path for path, _ in source.units] == ["deep/one.heif", "one.jpg", "two.heic"]
    assert counted(source.passed_over) == "1 files: 1 HEIC beside a picture of its name"
