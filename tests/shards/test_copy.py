"""Copies of shards, whole and of what a selection leaves."""

import io
import tarfile
from pathlib import Path

import pytest

from pipelines.shards import main
from tests.support.corpora import ONE, THREE, TWO, packed
from tests.support.selections import leave_out
from tests.support.streams import IMPATIENT, write
from zeroseg.errors import InputError
from zeroseg.store.manifest import read_manifest
from zeroseg.store.reader import ShardReader
from zeroseg.store.set_writer import read_left_out
from zeroseg.store.shard_set import open_set


def stored(folder: str, selection: str = "") -> list[list[tuple[str, dict[str, bytes]]]]:
    """Keys and members of every sample, by shard."""
    shards = open_set(folder, IMPATIENT, selection=selection)
    reader = ShardReader(shards, IMPATIENT)
    read = [[reader.read(s, n) for n in range(count)] for s, count in enumerate(shards.counts)]
    reader.close()
    return [[(raw.key, raw.members) for raw in samples] for samples in read]


def test_what_stays_is_copied_byte_for_byte_in_its_order(tmp_path, capsys):
    shards = write(tmp_path / "set", 20)
    chosen = leave_out(shards, tmp_path / "s", [0, 7, *range(12, 18)])
    copy = str(tmp_path / "copy")
    main(["build", "copy", shards, copy, "--selection", chosen, "--workers", "0"])
    assert stored(copy) == stored(shards, chosen)
    assert [len(shard) for shard in stored(copy)] == [5, 5, 2]
    manifest = read_manifest(copy)
    assert (
        manifest.built_from["selection"] == open_set(shards, IMPATIENT, selection=chosen).selection
    )
    assert manifest.built_from["count"] == "20"  # of the set that was copied
    assert f"{copy}: 12 images in 3 shards" in capsys.readouterr().out
    main(["build", "copy", shards, copy, "--selection", chosen, "--workers", "0"])
    leave_out(shards, tmp_path / "s", [1])
    with pytest.raises(InputError, match="built from something else"):
        main(["build", "copy", shards, copy, "--selection", chosen, "--workers", "0"])


def test_members_of_other_programs_are_kept_and_a_sample_without_image_is_named(tmp_path):
    members = {"a.png": ONE, "a.json": b"{}", "b.webp": TWO, "b.txt": b"words", "c.txt": b"alone"}
    put = tmp_path / "set/x.tar"
    put.parent.mkdir()
    put.write_bytes(packed(members | {"d.jpg": THREE, "d.depth.npy": b"123"}))
    copy = str(tmp_path / "copy")
    main(["build", "copy", str(put.parent), copy, "--workers", "0"])
    with tarfile.open(fileobj=io.BytesIO(Path(copy, "shard-000000.tar").read_bytes())) as tar:
        found = {info.name: tar.extractfile(info).read() for info in tar}
    assert found.pop("d.depth.npy") == b"123"
    assert found == {
        name: data for name, data in (members | {"d.jpg": THREE}).items() if name != "c.txt"
    }
    (left_out,) = read_left_out(copy)
    assert ": c: no image" in left_out
