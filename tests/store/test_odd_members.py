"""Tars as other programs and other machines write them: every name is read, passed over or refused."""

import io
import tarfile
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shards.archive import tar_members
from shards.index import index
from shards.sample import key_of
from shards.verify_sample import Cause
from tests.support.damage import CLASSES, JPEG, LABEL_MAP, Run, picture, stored
from tests.support.damage import packed as packed_set
from zeroseg.data.samples import image_of, labels_bytes, read_samples
from zeroseg.errors import InputError
from zeroseg.store.keys import cut, escaped, file_name, unfit
from zeroseg.store.reader import RawSample, ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set
from zeroseg.store.tar_index import scan

CACHE = ShardCache()
APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(64)
UNFIT = "\t\n\r\x07\x1c\x7f\x85\xa0\u2003\u202f\u2028\u2029\u3000\udce9\ud800"


def write(folder: Path, *members: tuple[str, bytes | str], kind: bytes = tarfile.LNKTYPE) -> Path:
    """A set of one shard; a member's text is where its link leads."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(
        folder / "a.tar", "w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = kind, data
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return folder


def read(folder: Path) -> dict[str, bytes]:
    """Images by key, of a set of one shard of which none is lost."""
    reader = ShardReader(open_set(str(folder), CACHE), CACHE)
    count = reader.shards.samples
    found, lost = read_samples(reader, [(0, n) for n in range(count)], _image)
    reader.close()
    assert not lost
    return dict(found)


def _image(sample: RawSample) -> bytes:
    image_of(sample)
    return sample.members.get("jpg", b"")


def refusal(folder: Path) -> str:
    """Why neither reading nor indexing takes a set; the check names it too."""
    with pytest.raises(InputError) as reading:
        open_set(str(folder), CACHE)
    with pytest.raises(InputError) as indexing:
        index(folder)
    assert str(reading.value) == str(indexing.value)
    assert "\n" not in str(reading.value)
    assert not list(folder.glob("*.idx"))
    return str(reading.value)


def test_names_that_begin_with_a_dot_are_passed_over_and_counted_once(tmp_path, capsys):
    pairs = [(f"{n}.{kind}", data) for n in range(3) for kind, data in PAIR]
    shadows = [(f"._{name}", APPLE_DOUBLE) for name, _ in pairs]
    members = [m for pair in zip(shadows, pairs, strict=True) for m in pair]
    folder = write(tmp_path / "set", (".DS_Store", b"x"), ("deep/.DS_Store.x", b"x"), *members)
    assert scan(folder / "a.tar").keys == ("0", "1", "2")
    assert read(folder) == {"0": JPEG, "1": JPEG, "2": JPEG}
    told = "passed over 8 members whose names begin with a dot"
    assert capsys.readouterr().err.count(told) == 1
    assert Run(capsys, folder).status == 0
    index(folder)
    assert capsys.readouterr().err.count(told) == 1
    assert read(folder) == {"0": JPEG, "1": JPEG, "2": JPEG}


PAIR = [("jpg", JPEG), ("png", LABEL_MAP)]


def test_members_that_do_not_stand_together_are_refused_and_named(tmp_path, capsys):
    members = [(f"{n}.{kind}", data) for kind, data in PAIR for n in range(3)]
    folder = write(tmp_path / "set", *members)
    told = refusal(folder)
    assert str(folder / "a.tar") in told
    assert "key '0' twice" in told
    assert "--sort=name" in told
    assert len(Run(capsys, folder).told[Cause.SPLIT]) == 6


def test_a_member_that_comes_twice_is_refused_and_named(tmp_path, capsys):
    folder = write(tmp_path / "set", ("a.jpg", JPEG), ("a.JPG", picture(1)))
    assert "the member a.jpg twice" in refusal(folder)
    assert Run(capsys, folder).tells(Cause.DUPLICATE, folder / "a.tar", "a")


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_a_link_is_the_file_that_it_leads_to(tmp_path, kind):
    folder = write(
        tmp_path / "set", ("d/a.jpg", JPEG), ("d/b.jpg", "d/a.jpg" if kind == tarfile.LNKTYPE else "a.jpg"),
        ("d/b.json", b"{}"), ("d/c.jpg", "d/b.jpg" if kind == tarfile.LNKTYPE else "../d/./b.jpg"), kind=kind,
    )  # fmt: skip
    wanted = {"d/a": JPEG, "d/b": JPEG, "d/c": JPEG}
    assert read(folder) == wanted
    assert dict(tar_members(str(folder / "a.tar"), {".jpg"})) == {
        f"{key}.jpg": data for key, data in wanted.items()
    }
    index(folder)
    assert read(folder) == wanted


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [b"77777777777\0", b"\x80" + b"\0" * 5 + b"\x0f" * 6])
def test_a_header_that_claims_more_than_its_tar_has_is_damage_and_no_memory_is_asked_for(
    tmp_path, kind, size
):
    folder = write(tmp_path / "set", ("a.jpg", JPEG), ("b.jpg", JPEG))
    shard = folder / "a.tar"
    data = bytearray(shard.read_bytes())
    header = data.index(b"b.jpg\0")
    data[header + 124 : header + 136], data[header + 156] = size, kind[0]
    data[header + 148 : header + 156] = b" " * 8
    data[header + 148 : header + 156] = b"%06o\0 " % sum(data[header : header + 512])
    shard.write_bytes(data)
    tracemalloc.start()
    found, told = [], ""
    try:
        for member in tar_members(str(shard), {".jpg"}):
            found.append(member)
    except tarfile.ReadError as error:
        told = str(error)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [("a.jpg", JPEG)]
    assert told
    assert "Memory" not in told
    assert most < 1 << 24
    with pytest.raises(InputError, match="cannot be read"):
        scan(shard)


def test_a_link_to_nothing_or_to_itself_is_counted(tmp_path, capsys):
    links = ("b.jpg", "gone.jpg"), ("c.jpg", "c.jpg"), ("d.jpg", "e.jpg"), ("e.jpg", "d.jpg")
    folder = write(tmp_path / "set", ("a.jpg", JPEG), *links, kind=tarfile.SYMTYPE)
    assert read(folder) == {"a": JPEG}
    assert "passed over 4 members that link to no file of the tar" in capsys.readouterr().err


@pytest.mark.parametrize("character", UNFIT)
@pytest.mark.parametrize("name", ["photo{}1.jpg", "photo.{}1.jpg"])
def test_a_name_that_an_index_cannot_hold_is_refused_and_mended(tmp_path, capsys, character, name):
    if character == "\ud800":  # no tar of tarfile's can hold it
        assert unfit(character)
        return
    folder = write(tmp_path / "set", (name.format(character), JPEG), ("photo2.jpg", JPEG))
    assert "check --repair" in refusal(folder)
    if name.startswith("photo{"):
        mended = tmp_path / "mended"
        assert Cause.KEY in Run(capsys, folder, repair=str(mended)).told
        assert list(stored(mended)) == [f"photo{escaped(character)}1", "photo2"]
        assert Run(capsys, mended).status == 0


def test_a_plain_space_is_read_and_refused_only_by_what_writes_an_index(tmp_path, capsys):
    folder = write(tmp_path / "set", ("photo 1.jpg", JPEG), ("photo 2.jpg", JPEG))
    assert read(folder) == {"photo 1": JPEG, "photo 2": JPEG}
    with pytest.raises(InputError, match="has a space"):
        open_set(str(folder), CACHE).need_indexable()
    with pytest.raises(InputError, match="space"):
        index(folder)
    Run(capsys, folder, repair=str(tmp_path / "mended"))
    assert list(stored(tmp_path / "mended")) == ["photo_1", "photo_2"]


def test_long_names_are_read_up_to_what_a_path_can_be(tmp_path):
    long, longer = "d/" * 1000 + "写" * 600, "写" * 1400
    folder = write(tmp_path / "long", (f"{long}.jpg", JPEG))
    assert read(folder) == {long: JPEG}
    index(folder)
    assert read(folder) == {long: JPEG}
    assert "is longer than 4096 bytes" in refusal(
        write(tmp_path / "longer", (f"{longer}.jpg", JPEG))
    )


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_are_utf8_as_they_stand(tmp_path, form, kind):
    name = unicodedata.normalize(form, "café" * 60)
    folder = tmp_path / "set"
    folder.mkdir()
    with tarfile.open(folder / "a.tar", "w", format=kind, encoding="utf-8") as tar:
        info = tarfile.TarInfo(f"{name}.jpg")
        info.size = len(JPEG)
        tar.addfile(info, io.BytesIO(JPEG))
    assert read(folder) == {name: JPEG}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["jpg 512 9 a.jpg", "jpg 512 9 b.jpg", "jpg 512 9 a.jpg"], "key 'a' twice"),
        (["jpg 512 9 a\u2028b.jpg"], "U\\+2028"),
        (["_0.jpg 512 9 ._0.jpg"], "begins with a dot"),
        (["jpg 512 nine a.jpg"], "damaged line"),
        (["jpg 512 9"], "damaged line"),
        ([""], "damaged line"),
    ],
)
def test_an_index_of_another_program_is_refused_as_its_tar_would_be(tmp_path, lines, told):
    folder = write(tmp_path / "set", ("a.jpg", JPEG))
    text = "\n".join([f"v1.2 {len(lines)}", *lines]) + "\n"
    (folder / "a.idx").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"a\.idx.*{told}"):
        open_set(str(folder), CACHE)


def test_a_header_that_leads_back_ends_the_reading(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    with tarfile.open(folder / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for name, headers in (("a.jpg", {}), ("b.jpg", {"size": "-2048"})):
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(JPEG), headers
            tar.addfile(info, io.BytesIO(JPEG))
    with pytest.raises(InputError, match=r"cannot be read"):
        open_set(str(folder), CACHE)


def test_a_lone_label_map_is_no_picture_where_there_are_others(tmp_path, capsys):
    members = ("a.jpg", JPEG), ("a.png", LABEL_MAP), ("b.png", LABEL_MAP)
    folder = packed_set(tmp_path / "set", members)
    assert Run(capsys, folder).tells(Cause.NO_IMAGE, folder / "shard-000000.tar", "b")
    alone = packed_set(tmp_path / "alone", members[2:], classes=CLASSES)
    assert Run(capsys, alone).tells(Cause.NO_IMAGE, alone / "shard-000000.tar", "b")


@pytest.mark.parametrize("classes", [(), CLASSES])
def test_a_label_map_is_not_read_as_a_picture_where_labels_are_wanted(tmp_path, classes):
    members = ("a.jpg", JPEG), ("a.png", LABEL_MAP), ("b.png", LABEL_MAP)
    folder = packed_set(tmp_path / "set", members, classes=classes)
    reader = ShardReader(open_set(str(folder), CACHE), CACHE)
    places = [(0, 0), (0, 1)]
    for decode in (labels_bytes, lambda sample: (image_of(sample), labels_bytes(sample))):
        found, lost = read_samples(reader, places, decode)
        assert [key for key, _ in found] == ["a"]
        assert "no image beside its label map" in str(lost[0])
    found, _ = read_samples(reader, places, image_of)
    assert [key for key, _ in found] == (["a"] if classes else ["a", "b"])
    reader.close()


def test_a_shard_without_image_says_what_it_has(tmp_path):
    folder = write(tmp_path / "set", ("Screenshot_1.05.12 PM.jpg", JPEG))
    with pytest.raises(InputError, match=r"'Screenshot_1' has 05\.12 pm\.jpg.*first dot"):
        open_set(str(folder), CACHE)


TEXT = st.text(st.characters(exclude_characters="/\0.", exclude_categories=[]), min_size=1)


@given(TEXT)
@example("\udce9")
@example("\ud800")
@example("写" * 2000)
def test_escaped_names_fit_and_others_stay(name):
    held = escaped(name)
    assert not unfit(held)
    assert escaped(held) == held
    assert (held == name) == (not unfit(name))
    held.encode()


@given(TEXT, TEXT)
@example("caf\udce9", "caf\udce8")
def test_names_of_control_characters_and_bytes_stay_apart(one, other):
    if "%" not in one + other and len(one + other) < 1000:
        assert (escaped(one) == escaped(other)) == (one == other)


@given(TEXT)
def test_keys_of_paths_are_held_by_an_index(name):
    key = key_of(f"{name}.jpg")
    assert not unfit(key)
    assert " " not in key


def test_long_names_are_cut_with_a_digest():
    long = "写" * 82
    assert file_name("a/b") == "a_b"
    assert len(file_name(long).encode()) <= 230
    assert file_name(f"{long}1") != file_name(f"{long}2")
    assert cut("abc", 3) == "abc"
