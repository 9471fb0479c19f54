import io
import json
import sys
from pathlib import PurePosixPath
from uuid import uuid4

import pytest

from shards.img2dataset import Img2Dataset
from shards.table import Parquet
from tests.support.corpora import ONE, THREE, TORN, TWO, bad, good, packed, picture, put, samples
from zeroseg.errors import InputError
from zeroseg.store.storage import join, read_bytes


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path) -> str:
    return str(tmp_path) if request.param == "local" else f"memory://{uuid4()}"


def downloaded(shard: str, images: dict[str, bytes], successes: int | None = None):
    """The files that img2dataset leaves for one shard."""
    members = {}
    for file, data in images.items():
        key = PurePosixPath(file).stem
        meta = {"url": f"https://example.org/{key}", "key": key, "status": "success", "width": 6}
        group = {file: data, f"{key}.json": json.dumps(meta, indent=4).encode()}
        members |= dict(sorted((group | {f"{key}.txt": b"\xff not UTF-8, and not read"}).items()))
    stats = {"count": 9, "successes": len(images) if successes is None else successes}
    return {
        f"{shard}.tar": packed(members),
        f"{shard}.parquet": b"not read",
        f"{shard}_stats.json": json.dumps(stats).encode(),
    }


def test_images_of_img2dataset_keep_their_keys_and_their_urls(root):
    put(root, downloaded("00001", {"000010000.jpg": ONE}))
    put(root, downloaded("00000", {"000000000.jpg": ONE, "000000003.png": TWO, "k.webp": THREE}))
    source = Img2Dataset(root).source()
    assert list(good(source).items()) == [
        ("000000000", ONE),
        ("000000003", TWO),
        ("00000_k", THREE),
        ("000010000", ONE),
    ]
    assert [s.source for s in samples(source)][:2] == [
        "https://example.org/000000000",
        "https://example.org/000000003",
    ]
    assert [path for path, _ in source.units] == ["00000.tar", "00001.tar"]
    assert source.images_per_unit is None
    assert source.built_from == {"kind": "img2dataset", "source": root, "incomplete": "False"}


def test_several_outputs_are_read_as_one(root):
    for part in "ab":
        put(f"{root}/{part}.0", downloaded("00000", {"000000000.jpg": ONE}))
    assert list(good(Img2Dataset(root).source())) == ["a_0/000000000", "b_0/000000000"]


@pytest.mark.parametrize("meta", [None, b"{", b"[]", b'{"width": 3}', b'{"url": null}'])
def test_an_image_whose_json_tells_no_url_is_named_by_its_tar(root, meta):
    files = downloaded("00000", {"000000000.jpg": ONE})
    members = {"000000000.jpg": ONE} | ({} if meta is None else {"000000000.json": meta})
    put(root, files | {"00000.tar": packed(members)})
    (sample,) = samples(Img2Dataset(root).source())
    assert sample.source == "00000.tar/000000000.jpg"


def test_a_tar_without_stats_is_an_error_naming_it_unless_incomplete_is_set(root):
    files = downloaded("00000", {"000000000.jpg": ONE})
    del files["00000_stats.json"]
    put(root, files | downloaded("00001", {"000010000.jpg": TWO}))
    with pytest.raises(InputError, match=rf"{root}/00000.tar .*no 00000_stats.json.*incomplete"):
        Img2Dataset(root).source()
    source = Img2Dataset(root, incomplete=True).source()
    assert good(source) == {"000000000": ONE, "000010000": TWO}
    assert source.built_from["incomplete"] == "True"


def test_stats_that_disagree_are_a_bad_sample_with_both_counts(root):
    put(root, downloaded("00000", {"000000000.jpg": ONE, "000000001.jpg": TORN}, successes=3))
    torn, count = bad(Img2Dataset(root).source())
    assert torn.startswith(f"{root}/00000.tar/000000001.jpg: not a readable picture")
    assert count == f"{root}/00000.tar: 2 images, but its stats tell of 3"


@pytest.mark.parametrize("stats", [b"", b"{}", b"[]", b"null"])
def test_stats_without_a_count_are_a_bad_sample_naming_them(root, stats):
    put(root, downloaded("00000", {"000000000.jpg": ONE}) | {"00000_stats.json": stats})
    (wrong,) = bad(Img2Dataset(root).source())
    assert wrong.startswith(f"{root}/00000_stats.json: no count of successes")


def test_a_damaged_tar_is_a_bad_sample_after_what_could_be_read(root):
    files = downloaded("00000", {"000000000.jpg": ONE, "000000001.jpg": ONE, "000000002.jpg": TWO})
    files["00000.tar"] = files["00000.tar"][: files["00000.tar"].index(TWO) + 10]
    put(root, files)
    first, wrong = samples(Img2Dataset(root).source())
    assert first.key == "000000000"
    assert str(wrong).startswith(f"{root}/00000.tar: not a whole tar")


def test_a_folder_without_tars_is_an_error_naming_it(root):
    put(root, {"00000_stats.json": b"{}"})
    with pytest.raises(InputError, match=f"no .tar below {root}"):
        Img2Dataset(root).source()


def table(columns: dict[str, list], rows_per_group: int = 2, **types: str) -> bytes:
    pa = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    arrays = {
        name: pa.array(values, getattr(pa, types[name])() if name in types else None)
        for name, values in columns.items()
    }
    buffer = io.BytesIO()
    write_table(pa.table(arrays), buffer, row_group_size=rows_per_group)
    return buffer.getvalue()


def test_rows_of_bytes_are_read_row_group_by_row_group(root):
    images = [ONE, TWO, THREE, ONE, TWO]
    put(root, {"train.parquet": table({"jpg": images, "width": [6] * 5})})
    source = Parquet(join(root, "train.parquet")).source()
    assert source.units == [("train.parquet", 0), ("train.parquet", 1), ("train.parquet", 2)]
    assert list(good(source).items()) == [(f"train-{i:08d}", d) for i, d in enumerate(images)]
    assert [s.source for s in source.read(source.units[1])] == [
        "train.parquet#2",
        "train.parquet#3",
    ]
    assert source.images_per_unit is None
    assert source.built_from == {
        "kind": "parquet",
        "source": join(root, "train.parquet"),
        "column": "jpg",
    }


def test_a_folder_of_hugging_face_tables_is_read_in_order(root):
    rows = [{"bytes": data, "path": f"{i}.jpg"} for i, data in enumerate([ONE, TWO, THREE])]
    put(
        root,
        {
            "data/train-00001-of-00002.parquet": table({"image": rows[2:], "label": [1]}),
            "data/train-00000-of-00002.parquet": table({"image": rows[:2], "label": [1, 2]}),
            "README.md": b"",
        },
    )
    assert list(good(Parquet(root).source()).items()) == [
        ("data/train-00000-of-00002-00000000", ONE),
        ("data/train-00000-of-00002-00000001", TWO),
        ("data/train-00001-of-00002-00000000", THREE),
    ]


def test_more_rows_than_are_held_at_a_time_keep_their_numbers(root):
    images = [picture(i) for i in range(150)]
    put(root, {"x.parquet": table({"image": images}, 140, image="large_binary")})
    found = good(Parquet(root).source())
    assert list(found) == [f"x-{i:08d}" for i in range(150)]
    assert list(found.values()) == images


def test_rows_without_bytes_and_broken_pictures_are_bad_samples_naming_the_row(root):
    rows = [None, {"bytes": None, "path": "kept/elsewhere.jpg"}, {"bytes": TORN, "path": None}]
    rows += [{"bytes": b"", "path": None}, {"bytes": ONE, "path": None}]
    put(root, {"x.parquet": table({"image": rows})})
    source = Parquet(root).source()
    null, outside, torn, empty = bad(source)
    assert null == f"{root}/x.parquet, row 0 of column image: no bytes"
    assert outside == f"{root}/x.parquet, row 1 of column image: no bytes"
    assert torn.startswith(f"{root}/x.parquet, row 2 of column image: not a readable picture")
    assert empty == f"{root}/x.parquet, row 3 of column image: empty"
    assert samples(source)[-1].key == "x-00000004"


def test_the_column_is_asked_for_where_several_would_do(root):
    put(root, {"x.parquet": table({"image": [ONE], "mask": [TWO], "id": [3]})})
    with pytest.raises(
        InputError, match=r"2 columns .*image \(binary\), mask \(binary\), id \(int"
    ):
        Parquet(root).source()
    assert good(Parquet(root, "mask").source()) == {"x-00000000": TWO}


@pytest.mark.parametrize("column", ["picture", "id"])
def test_a_column_that_is_not_there_or_holds_no_bytes_is_an_error(root, column):
    put(root, {"x.parquet": table({"image": [ONE], "id": [3]})})
    with pytest.raises(InputError, match=rf"{root}/x.parquet has no column '{column}'.*image, |\("):
        Parquet(root, column).source()


def test_a_table_without_pictures_is_an_error_listing_its_columns(root):
    put(root, {"x.parquet": table({"url": ["https://example.org"]})})
    with pytest.raises(InputError, match=r"0 columns of bytes.*url \(string\)"):
        Parquet(root).source()


def test_a_later_table_without_the_column_is_an_error_naming_it(root):
    put(root, {"a.parquet": table({"image": [ONE]}), "b.parquet": table({"other": [ONE]})})
    with pytest.raises(InputError, match=f"{root}/b.parquet has no column 'image'"):
        Parquet(root).source()


@pytest.mark.parametrize("files", [{}, {"x.txt": b""}])
def test_no_table_at_all_is_an_error(root, files):
    put(root, {"y.csv": b""} | files)
    with pytest.raises(InputError, match=f"no .parquet below {root}"):
        Parquet(root).source()


def test_tables_without_rows_are_an_error(root):
    put(root, {"x.parquet": table({"image": []}, image="binary")})
    with pytest.raises(InputError, match=f"no row in any .parquet below {root}"):
        Parquet(root).source()


@pytest.mark.parametrize("data", [b"", b"PAR1 cut short"])
def test_a_file_that_is_no_table_is_an_error_naming_it(root, data):
    put(root, {"x.parquet": data})
    pytest.importorskip("pyarrow")
    with pytest.raises(InputError, match=f"{root}/x.parquet is not a whole Parquet file"):
        Parquet(root).source()


def test_a_damaged_row_group_is_a_bad_sample_and_the_others_are_read(root):
    data = table({"image": [ONE, TWO, THREE]}, 1)
    put(root, {"x.parquet": data[:4] + bytes(60) + data[64:]})
    source = Parquet(root).source()
    (wrong,) = bad(source)
    assert wrong.startswith(f"{root}/x.parquet, row 0 and the rest of row group 0: ")
    assert [s.key for s in samples(source)[1:]] == ["x-00000001", "x-00000002"]


def test_without_pyarrow_the_error_says_what_to_install(root, monkeypatch):
    put(root, {"x.parquet": b""})
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"pip install 'zeroseg\[build\]'"):
        Parquet(root).source()


def test_a_table_beside_the_program_is_read_by_its_name_alone(tmp_path, monkeypatch):
    put(str(tmp_path), {"x.parquet": table({"image": [ONE]})})
    monkeypatch.chdir(tmp_path)
    assert good(Parquet("x.parquet").source()) == {"x-00000000": ONE}
    assert read_bytes("x.parquet")[:4] == b"PAR1"
