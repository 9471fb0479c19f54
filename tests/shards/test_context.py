import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards import context as ctx
from shards.context import PascalContext
from tests.support.corpora import put, samples
from tests.support.releases import (
    CONTEXT,
    CONVERTED_FILES,
    MAIN_FILES,
    MAT_FILES,
    NUMBERED,
    PHOTO,
    first_row,
    good,
    label_map,
)
from zeroseg.datasets import class_names
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


def test_context_has_59_or_60_classes(tmp_path):
    with pytest.raises(InputError, match="not 459"):
        PascalContext(tmp_path, classes=459).source()  # type: ignore[arg-type]


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
    numbers = ctx.numbers(file)
    assert numbers.keys() == set(range(460))
    found = {names[i]: number for i, number in numbers.items() if number}
    assert found == {name: number for number, name in enumerate(class_names.CONTEXT, 1)}
