import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards import context as ctx
from shards.context import PascalContext
from tests.support.corpora import bad, put, samples
from tests.support.releases import (
    CONTEXT,
    CONTEXT459_FILES,
    CONTEXT459_IDS,
    CONVERTED_FILES,
    MAIN_FILES,
    MAT_FILES,
    NUMBERED,
    PHOTO,
    first_row,
    good,
    label_map,
    mat,
)
from zeroseg.datasets import class_names
from zeroseg.datasets.benchmarks import CONTEXT60, CONTEXT459, IGNORE
from zeroseg.errors import InputError


@pytest.mark.parametrize(
    ("classes", "expected"), [(60, [0, 1, 59, 0, 0, 0]), (59, [255, 0, 58, 255, 255, 255])]
)
@pytest.mark.parametrize("at", ["", f"{CONTEXT}/"])
def test_contexts_own_ids_become_59_classes_by_name(tmp_path, classes, expected, at):
    put(str(tmp_path), MAIN_FILES | {at + name: data for name, data in MAT_FILES.items()})
    source = PascalContext(tmp_path, classes=classes).source()
    (sample,) = samples(source)
    assert first_row(sample) == expected
    assert label_map(sample)[1, 0] == (0 if classes == 60 else 255)
    assert (sample.key, sample.image) == ("2008_000002", PHOTO)
    assert source.classes[-59:] == class_names.CONTEXT
    assert len(source.classes) == classes
    assert source.built_from["annotations"] == "trainval"
    assert list(good(PascalContext(tmp_path, "train").source())) == ["2008_000004"]


@pytest.mark.parametrize(
    ("classes", "expected"), [(60, [0, 1, 59, 255, 255, 255]), (59, [255, 0, 58, 255, 255, 255])]
)
def test_contexts_converted_label_maps_are_read_with_their_own_list(tmp_path, classes, expected):
    put(str(tmp_path), MAIN_FILES | CONVERTED_FILES)
    source = PascalContext(tmp_path, classes=classes).source()
    (sample,) = samples(source)
    assert sample.key == "2008_000004"
    assert first_row(sample) == expected
    same = sample.labels == CONVERTED_FILES[f"{CONTEXT}/SegmentationClassContext/2008_000004.png"]
    assert same == (classes == 60)
    assert source.built_from["annotations"] == "SegmentationClassContext"


def test_a_labels_file_without_one_of_the_59_is_an_error_naming_it(tmp_path):
    put(str(tmp_path), MAIN_FILES | MAT_FILES | {"labels.txt": b"1: aeroplane\n2: bag\n"})
    with pytest.raises(InputError, match=r"labels\.txt does not name 'bed'"):
        PascalContext(tmp_path).source()


def test_context_has_59_60_or_459_classes(tmp_path):
    with pytest.raises(InputError, match="not 100"):
        PascalContext(tmp_path, classes=100).source()  # type: ignore[arg-type]


def test_all_of_contexts_ids_become_459_classes_and_what_is_unlabelled_is_ignored(tmp_path):
    put(str(tmp_path), MAIN_FILES | CONTEXT459_FILES)
    source = PascalContext(tmp_path, classes=459).source()
    (sample,) = samples(source)
    assert first_row(sample) == [IGNORE, 0, 1, 254, 255, 458]
    assert source.classes == class_names.CONTEXT459
    assert source.built_from["classes"] == "459"


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"names of \xff\n\n"])
def test_labels_txt_is_read_as_any_editor_saves_it(tmp_path, start):
    saved = start + CONTEXT459_FILES["labels.txt"].replace(b"\n", b" \r\n").replace(b": ", b" :")
    put(str(tmp_path), MAIN_FILES | CONTEXT459_FILES | {"labels.txt": saved})
    (sample,) = samples(PascalContext(tmp_path, classes=459).source())
    assert first_row(sample) == [IGNORE, 0, 1, 254, 255, 458]


def test_an_id_beyond_the_459_is_left_out_by_name(tmp_path):
    file, strange = "trainval/2008_000002.mat", mat(LabelMap=np.full((8, 6), 460, np.uint16))
    put(str(tmp_path), MAIN_FILES | CONTEXT459_FILES | {file: strange})
    assert bad(PascalContext(tmp_path, classes=459).source()) == [
        f"{tmp_path / file}: holds id 460, which this dataset does not have"
    ]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.float32, np.float64])
def test_a_label_map_may_be_saved_as_any_kind_of_number(tmp_path, kind):
    pixels = np.minimum(CONTEXT459_IDS, 127).astype(kind)
    files = CONTEXT459_FILES | {"trainval/2008_000002.mat": mat(LabelMap=pixels)}
    put(str(tmp_path), MAIN_FILES | files)
    (sample,) = samples(PascalContext(tmp_path, classes=459).source())
    assert first_row(sample) == [255, 0, 1, 126, 126, 126]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.full((8, 6), 2**31), "holds 2147483648, which is no id"),
        (np.full((8, 6), -1), "holds -1, which is no id"),
        (np.full((8, 6), np.nan), "holds nan, which is no id"),
        (np.full((8, 6), 1.5), "holds 1.5, which is no id"),
        (np.full((8, 6), 1j), "a matrix of ids is needed"),
        (np.ones((8, 6, 3)), "a matrix of ids is needed"),
        ("wood", "a matrix of ids is needed"),
    ],
)
def test_a_mat_file_of_other_numbers_is_left_out_by_name(tmp_path, value, said):
    file = "trainval/2008_000002.mat"
    put(str(tmp_path), MAIN_FILES | MAT_FILES | {file: mat(LabelMap=value)})
    (message,) = bad(PascalContext(tmp_path).source())
    assert message.startswith(f"{tmp_path / file}: ")
    assert said in message


def test_all_classes_need_the_release_not_its_conversion(tmp_path):
    put(str(tmp_path), MAIN_FILES | CONVERTED_FILES)
    with pytest.raises(InputError, match="trainval"):
        PascalContext(tmp_path, classes=459).source()


def test_context_without_annotations_names_the_releases(tmp_path):
    put(str(tmp_path), MAIN_FILES)
    with pytest.raises(InputError, match=str(tmp_path / CONTEXT / "trainval")):
        PascalContext(tmp_path).source()


@settings(max_examples=10)
@given(st.permutations(range(1, 460)))
def test_contexts_59_are_found_wherever_labels_txt_has_them(tmp_path_factory, order):
    file = tmp_path_factory.getbasetemp() / "labels.txt"
    names = dict(zip(order, NUMBERED, strict=True))
    file.write_text("".join(f"{i}: {name}\n" for i, name in names.items()))
    table = ctx.table_of(ctx.names_by_id(file, class_names.CONTEXT), CONTEXT60)
    assert table.keys() == set(range(460))
    found = {names[i]: label for i, label in table.items() if label}
    assert found == {name: label for label, name in enumerate(class_names.CONTEXT, 1)}


@settings(max_examples=10)
@given(st.permutations(range(1, 460)), st.booleans())
def test_all_459_are_found_wherever_labels_txt_has_them_and_however_it_spaces_them(
    tmp_path_factory, order, spaces
):
    file = tmp_path_factory.getbasetemp() / "labels459.txt"
    names = dict(zip(order, class_names.CONTEXT459, strict=True))
    written = {i: name if spaces else name.replace(" ", "") for i, name in names.items()}
    file.write_text("".join(f"{i}: {name}\n" for i, name in written.items()))
    table = ctx.table_of(ctx.names_by_id(file, class_names.CONTEXT459), CONTEXT459)
    assert table.pop(0) == IGNORE
    assert {i: class_names.CONTEXT459[label] for i, label in table.items()} == names
