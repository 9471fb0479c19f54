import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shards import coco, folder
from shards.writer import Sample, encoded, write_shards
from zeroseg.data.benchmarks import COCO_OBJECT
from zeroseg.data.shards import evaluation_batches, shard_list
from zeroseg.errors import InputError

PHOTO = encoded(np.arange(192, dtype=np.uint8).reshape(8, 8, 3), "jpeg")


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers()}


def put(path: Path, data: bytes = PHOTO) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_samples_are_written_in_order_into_numbered_shards(tmp_path):
    samples = [Sample(f"k{i}", PHOTO, b"labels" if i else None) for i in range(5)]
    paths = write_shards(samples, tmp_path / "deep" / "down", "t", per_shard=2)
    assert [p.name for p in paths] == ["t-000000.tar", "t-000001.tar", "t-000002.tar"]
    assert list(members(paths[0])) == ["k0.jpg", "k1.jpg", "k1.png"]
    assert members(paths[2]) == {"k4.jpg": PHOTO, "k4.png": b"labels"}


def test_the_same_samples_give_the_same_shard_bytes(tmp_path):
    samples = [Sample("a", PHOTO), Sample("b", PHOTO)]
    one, two = (write_shards(samples, tmp_path / d, "t", per_shard=9)[0] for d in "12")
    assert one.read_bytes() == two.read_bytes()


def test_a_failing_source_leaves_complete_shards_and_nothing_of_the_unfinished_one(tmp_path):
    def samples():
        for i in range(5):
            yield Sample(f"k{i}", PHOTO)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_shards(samples(), tmp_path, "t", per_shard=3)
    (shard,) = tmp_path.iterdir()
    assert shard.name == "t-000000.tar"
    assert list(members(shard)) == ["k0.jpg", "k1.jpg", "k2.jpg"]


def test_a_failure_while_a_shard_is_written_leaves_no_tar(tmp_path):
    broken = Sample("bad", object())
    with pytest.raises(Exception, match="object"):
        write_shards([Sample("good", PHOTO), broken], tmp_path, "t", per_shard=2)
    assert not list(tmp_path.glob("*.tar"))


def test_two_samples_of_one_key_are_an_error_naming_it(tmp_path):
    with pytest.raises(InputError, match="'twin'"):
        write_shards([Sample("twin", PHOTO), Sample("twin", PHOTO)], tmp_path, "t", per_shard=1)


def test_no_sample_at_all_is_an_error_naming_the_destination(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        write_shards([], tmp_path, "t", per_shard=1)


def test_a_folder_is_written_in_order_of_path_with_its_bytes_untouched(tmp_path):
    png = encoded(np.zeros((4, 4, 3), np.uint8), "png")
    put(tmp_path / "in" / "b" / "photo.jpg")
    put(tmp_path / "in" / "a" / "photo.PNG", png)
    put(tmp_path / "in" / "v1.2" / "my.holiday.jpeg")
    put(tmp_path / "in" / "notes.txt", b"no picture")
    folder.write(tmp_path / "in", tmp_path / "out", "t")
    assert members(tmp_path / "out" / "t-000000.tar") == {
        "a/photo.jpg": png,
        "b/photo.jpg": PHOTO,
        "v1_2/my_holiday.jpg": PHOTO,
    }
    assert shard_list(str(tmp_path / "out" / "t-*.tar"))


def test_a_broken_picture_is_an_error_naming_the_file_and_leaves_no_shard(tmp_path):
    put(tmp_path / "in" / "fine.jpg")
    bad = put(tmp_path / "in" / "deep" / "torn.jpg", b"\xff\xd8 torn")
    with pytest.raises(InputError, match=str(bad)):
        folder.write(tmp_path / "in", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_without_pictures_is_an_error_naming_it(tmp_path):
    put(tmp_path / "notes.txt")
    with pytest.raises(InputError, match=str(tmp_path)):
        folder.write(tmp_path, tmp_path / "out")


def test_two_pictures_that_differ_in_suffix_only_are_an_error(tmp_path):
    put(tmp_path / "in" / "cat.jpg")
    put(tmp_path / "in" / "cat.png")
    with pytest.raises(InputError, match="'cat'"):
        folder.write(tmp_path / "in", tmp_path / "out")


def test_coco_ids_become_80_things_in_order_and_all_else_background():
    table = coco.object_table()
    things = np.flatnonzero((table > 0) & (table < 255))
    assert table[things].tolist() == list(range(1, 81))
    assert things.min() == 1
    assert things.max() == 90
    assert not table[[0, *coco.ABSENT_IDS, *range(91, 255)]].any()
    assert table[255] == 255


@pytest.mark.parametrize(
    ("coco_id", "name"),
    [(1, "person"), (13, "stop sign"), (27, "backpack"), (67, "dining table"), (90, "toothbrush")],
)
def test_known_coco_ids_keep_their_names(coco_id, name):
    assert COCO_OBJECT.classes[coco.object_table()[coco_id]] == name


def test_coco_photos_and_masks_become_labelled_shards(tmp_path):
    ids = np.array([[1, 90, 12, 255]] * 4, np.uint8)
    photo = encoded(np.zeros((4, 4, 3), np.uint8), "png")
    put(tmp_path / "images" / "val" / "000.jpg", photo)
    put(tmp_path / "masks" / "val" / "000.png", encoded(ids, "png"))
    coco.write(tmp_path / "images", tmp_path / "masks", tmp_path / "out")
    shard = tmp_path / "out" / "val-000000.tar"
    labels = np.array(Image.open(io.BytesIO(members(shard)["val/000.png"])))
    assert labels.tolist() == [[1, 80, 0, 255]] * 4
    assert members(shard)["val/000.jpg"] == photo
    (batch,) = evaluation_batches(str(shard), short_side=4, multiple=1, batch_size=1)
    assert batch.labels[0, 0].tolist() == [1, 80, 0, 255]


def test_a_photo_without_mask_is_an_error_naming_both(tmp_path):
    photo = put(tmp_path / "images" / "000.jpg")
    with pytest.raises(InputError) as caught:
        coco.write(tmp_path / "images", tmp_path / "masks", tmp_path / "out")
    assert str(photo) in str(caught.value)
    assert str(tmp_path / "masks" / "000.png") in str(caught.value)


def test_a_coloured_mask_is_an_error_naming_it(tmp_path):
    put(tmp_path / "images" / "000.jpg")
    colours = encoded(np.zeros((8, 8, 3), np.uint8), "png")
    mask = put(tmp_path / "masks" / "000.png", colours)
    with pytest.raises(InputError, match=str(mask)):
        coco.write(tmp_path / "images", tmp_path / "masks", tmp_path / "out")
