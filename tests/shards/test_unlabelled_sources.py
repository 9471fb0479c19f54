from pathlib import Path, PurePosixPath
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shards.folder import Folder
from shards.imagenet import ImageNet
from shards.sample import Sample, key_of
from tests.support.corpora import ONE, THREE, TORN, TWO, bad, good, packed, picture, put, samples
from zeroseg.errors import InputError


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path) -> str:
    return str(tmp_path) if request.param == "local" else f"memory://{uuid4()}"


def test_a_folder_gives_every_picture_in_order_of_path_with_its_bytes_untouched(root):
    put(
        root,
        {
            "b/photo.jpg": ONE,
            "a/photo.PNG": TWO,
            "v1.2/my holiday.2.jpeg": ONE,
            "__x.webp": THREE,
            "c.tiff": picture(1, "tiff"),
            "notes.txt": b"no picture",
        },
    )
    source = Folder(root).source()
    assert list(good(source).items()) == [
        ("--x", THREE),
        ("a/photo", TWO),
        ("b/photo", ONE),
        ("c", picture(1, "tiff")),
        ("v1_2/my_holiday_2", ONE),
    ]
    assert source.units[1] == ("a/photo.PNG", len(TWO))
    assert source.images_per_unit == 1
    assert source.classes == ()
    assert source.built_from == {"kind": "folder", "source": root}
    assert [s.source for s in samples(source)][1] == "a/photo.PNG"


def test_empty_and_broken_pictures_are_bad_samples_naming_the_file(root):
    put(root, {"a.jpg": b"", "deep/torn.jpg": TORN, "fine.jpg": ONE})
    source = Folder(root).source()
    empty, torn = bad(source)
    assert empty == f"{root}/a.jpg: empty"
    assert torn.startswith(f"{root}/deep/torn.jpg: not a readable picture")
    assert "0x" not in torn  # an address would differ each time
    assert [s.key for s in samples(source) if isinstance(s, Sample)] == ["fine"]


@pytest.mark.parametrize("names", [("a.jpg", "a.png"), ("x.y.jpg", "x_y.jpg")])
def test_two_files_of_one_key_are_an_error_naming_both_before_any_is_read(root, names):
    put(root, dict.fromkeys(names, TORN))
    with pytest.raises(InputError) as caught:
        Folder(root).source()
    assert all(f"{root}/{name}" in str(caught.value) for name in names)


def test_a_folder_without_pictures_is_an_error_naming_it(root):
    put(root, {"notes.txt": b""})
    with pytest.raises(InputError, match=root):
        Folder(root).source()


def test_a_picture_that_went_away_stops_the_build(root):
    put(root, {"a.jpg": ONE})
    source = Folder(root).source()
    with pytest.raises(InputError, match=f"{root}/gone.jpg cannot be read"):
        list(source.read(("gone.jpg", 1)))


ODD = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=50)
@given(st.lists(ODD.filter(lambda name: not name.startswith(".")), min_size=1, max_size=3))
@example(["__dunder", "v1. 2", "a\u2003b\n.c"])
@example(["a...", "\u00e9\u0301\U0001f408.jpg"])
def test_no_key_has_a_dot_or_a_space_or_begins_like_what_is_no_sample(parts):
    path = "/".join(parts) + ".jpg"
    root = f"memory://{uuid4()}"
    put(root, {path: ONE})
    (key,) = good(Folder(root).source())
    assert not any(c == "." or c.isspace() for c in key)
    assert not any(part.startswith("__") for part in key.split("/"))
    assert key == key_of(PurePosixPath(path))


def test_real_photos_are_found_and_read(real):
    source = Folder(str(real / "photos" / "imagenet")).source()
    assert len(source.units) == 1000
    for path, size in source.units[::125]:
        (sample,) = source.read((path, size))
        assert isinstance(sample, Sample)
        assert len(sample.image) == size
        assert sample.key == Path(path).stem


CLASSES = {
    "n01440764": {"n01440764_18.JPEG": ONE, "n01440764_36.JPEG": TWO},
    "n01443537": {"n01443537_2.JPEG": THREE},
}
BY_CLASS = {f"{c}/{name}": data for c, found in CLASSES.items() for name, data in found.items()}
KEYS = {name.removesuffix(".JPEG"): data for name, data in BY_CLASS.items()}


def below(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in files.items()}


@pytest.mark.parametrize("at", ["train", "ILSVRC/Data/CLS-LOC/train", "Data/CLS-LOC/train"])
def test_class_folders_and_class_tars_give_the_same_keys(root, at):
    put(root, below(at, BY_CLASS) | {"ILSVRC/Annotations/x.xml": b""})
    source = ImageNet(root).source()
    assert good(source) == KEYS
    assert list(good(source)) == sorted(KEYS)
    assert source.images_per_unit == 1
    assert source.built_from == {"kind": "imagenet", "source": root, "split": "train"}
    tars = {f"{name}.tar": packed(found) for name, found in CLASSES.items()}
    packed_source = ImageNet(put(f"{root}/packed", below(at, tars))).source()
    assert good(packed_source) == KEYS
    assert packed_source.units[0] == ("n01440764.tar", len(tars["n01440764.tar"]))
    assert packed_source.images_per_unit is None
    assert samples(packed_source)[0].source == "n01440764.tar/n01440764_18.JPEG"


def test_validation_images_lie_flat_or_by_class(root):
    flat = {"ILSVRC2012_val_00000001.JPEG": ONE, "ILSVRC2012_val_00000002.JPEG": TWO}
    put(root, below("val", flat))
    assert list(good(ImageNet(root, "val").source())) == [n.removesuffix(".JPEG") for n in flat]
    put(f"{root}/sorted", below("val", BY_CLASS))
    assert good(ImageNet(f"{root}/sorted", "val").source()) == KEYS


def test_broken_members_and_tars_are_bad_samples_naming_tar_and_member(root):
    members = {"n01440764_1.JPEG": TORN, "n01440764_2.JPEG": b"", "n01440764_3.JPEG": ONE}
    cut = packed(CLASSES["n01443537"])[:600]
    put(root, below("train", {"n01440764.tar": packed(members), "n01443537.tar": cut}))
    torn, empty, short = bad(ImageNet(root).source())
    assert torn.startswith(f"{root}/train/n01440764.tar/n01440764_1.JPEG: not a readable")
    assert empty == f"{root}/train/n01440764.tar/n01440764_2.JPEG: empty"
    assert short.startswith(f"{root}/train/n01443537.tar: not a whole tar")


@pytest.mark.parametrize(
    ("files", "split", "named"),
    [
        ({"cats/a.jpg": ONE}, "train", "no ImageNet below"),
        ({"train/readme.txt": b""}, "train", "no image in .*/train"),
        ({"train/a.jpg": ONE}, "train", "train/a.jpg does not belong"),
        ({"train/cats/a.jpg": ONE}, "train", "train/cats/a.jpg does not belong"),
        ({"val/deep/n01440764/a.jpg": ONE}, "val", "val/deep/n01440764/a.jpg does not"),
        ({"val/ILSVRC2012_img_val.tar": b""}, "val", "img_val.tar does not belong"),
    ],
)
def test_another_layout_is_an_error_that_tells_the_one_expected(root, files, split, named):
    put(root, files)
    with pytest.raises(InputError, match=rf"{named}.*expected {split} or .*/CLS-LOC/{split}"):
        ImageNet(root, split).source()


def test_a_class_as_folder_and_as_tar_is_an_error_naming_it(root):
    put(root, below("train", BY_CLASS | {"n01440764.tar": packed(CLASSES["n01440764"])}))
    with pytest.raises(InputError, match=f"{root}/train/n01440764.tar has a folder"):
        ImageNet(root).source()
