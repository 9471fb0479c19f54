"""What is stored of the teacher, read back by key; and everything that can be wrong with it."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from pipelines.embed import EmbedConfig, embed
from shards import scenes
from shards.build import Limits, build
from shards.sample import Sample, Source, encoded
from zeroseg import CLIPConfig, Crops, DataConfig, InputError
from zeroseg.data.embeddings import (
    TeacherRecord,
    bytes_per_image,
    embedding_members,
    open_embeddings,
    quantised,
    read_teacher_record,
)
from zeroseg.data.stream import TrainingStream
from zeroseg.data.transforms import EmbeddedCrops
from zeroseg.data.views import ViewSet, Windows
from zeroseg.store.set_writer import publish_shard
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set
from zeroseg.store.storage import list_files, read_bytes

CACHE = ShardCache(retries=0)
TEACHER = CLIPConfig(architecture="zeroseg-scenes", weights="", precision="fp32")


def embedded(shards, output, **changes):
    plain = {"teacher": TEACHER, "views": ViewSet(grids=(1, 2)), "side": 64, "workers": 0}
    return embed(EmbedConfig(shards=str(shards), output=str(output), **plain | changes))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    build(scenes.Scenes("train", 12).source(), str(folder), Limits(images_per_shard=5, workers=0))
    return folder


@pytest.fixture(scope="module")
def stored(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored") / "embeddings"
    embedded(images, folder)
    return folder


def stream(images, folder, *, views=None, skip=False, workers=0, **changes):
    plain = {"batch_size": 4, "cache": CACHE, "most_lost": 0.5}
    config = DataConfig(shards=str(images), workers=workers, **plain)
    found = open_embeddings(str(folder), CACHE, views, skip=skip)
    shown = {"size": 64, "view_size": 64, "crops": Crops()} | changes
    transform = EmbeddedCrops(**shown, stored=found, cache=CACHE)
    return TrainingStream(config, transform, rank=0, world_size=1, seed=0)


def rewritten(folder, output, change):
    """A copy of a set of embeddings in which `change` has altered each sample's members."""
    output.mkdir()
    records = {}
    for name, _ in list_files(str(folder), recursive=False):
        (output / name).write_bytes(read_bytes(f"{folder}/{name}"))
    for url in open_set(str(folder), CACHE).urls:
        path = output / "scratch" / url.rpartition("/")[2]
        path.parent.mkdir(exist_ok=True)
        with tarfile.open(url) as old, tarfile.open(path, "w") as new:
            for info in old:
                data = change(info.name, old.extractfile(info).read())
                if data is not None:
                    info.size = len(data)
                    new.addfile(info, io.BytesIO(data))
        records[path.name] = vars(publish_shard(path, str(output)))
    manifest = json.loads((output / "manifest.json").read_text())
    manifest["shards"] = [records[shard["name"]] for shard in manifest["shards"]]
    (output / "manifest.json").write_text(json.dumps(manifest))
    return output


@given(st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=40))
def test_eight_bits_are_within_half_a_step_of_what_they_store(values):
    vectors = F.normalize(torch.tensor([[1.0, *values]]), dim=-1)
    rows, scales = quantised(vectors)
    assert rows.dtype == torch.int8
    assert ((rows * scales[:, None] - vectors).abs() <= scales[:, None] * 0.5001).all()


@pytest.mark.parametrize("storage", ["float16", "int8"])
@pytest.mark.parametrize("crops", [1, 3])
def test_bytes_per_image_are_those_of_the_tar(images, tmp_path, storage, crops):
    embedded(images, tmp_path / "e", storage=storage, crops=Crops(count=crops))
    record = open_embeddings(str(tmp_path / "e"), CACHE).record
    size = sum(path.stat().st_size for path in (tmp_path / "e").glob("*.tar"))
    # A tar ends with two blocks, filled up to 10 KB; JSON lengths differ by some digits.
    assert 0 <= size - 12 * bytes_per_image(record) <= 3 * 10240 + 12 * 512


def test_eight_bits_point_where_sixteen_do(images, stored, tmp_path):
    embedded(images, tmp_path / "e", storage="int8")
    pairs = zip(stream(images, stored), stream(images, tmp_path / "e"), strict=False)
    for _, (fine, coarse) in zip(range(3), pairs, strict=False):
        assert fine.keys == coarse.keys
        cosine = F.cosine_similarity(fine.embeddings.float(), coarse.embeddings.float(), dim=-1)
        assert cosine.min() > 0.999


def test_some_of_the_grids_can_be_chosen(images, stored):
    whole = next(iter(stream(images, stored)))
    parts = next(iter(stream(images, stored, views=ViewSet(grids=(2,)))))
    assert torch.equal(parts.embeddings, whole.embeddings[:, 1:])
    with pytest.raises(InputError, match=r"has the views 1x1, 2x2, not 3x3"):
        stream(images, stored, views=ViewSet(grids=(1, 3)))


def test_windows_are_stored_and_chosen_as_grids_are(images, tmp_path):
    wide, fine = Windows(size=0.5, stride=0.3), Windows(size=0.25, stride=0.375)
    views = ViewSet(grids=(1, 2), windows=(wide, fine))
    embedded(images, tmp_path / "e", views=views)
    whole = next(iter(stream(images, tmp_path / "e")))
    assert whole.embeddings.shape[1] == views.count == 1 + 4 + 9 + 9
    some = ViewSet(grids=(2,), windows=(fine,))
    parts = next(iter(stream(images, tmp_path / "e", views=some)))
    assert torch.equal(parts.embeddings, whole.embeddings[:, [*range(1, 5), *range(14, 23)]])
    absent = ViewSet(grids=(1,), windows=(Windows(size=0.5, stride=0.25),))
    with pytest.raises(InputError, match=r"not windows 0\.5:0\.25: choose among them"):
        stream(images, tmp_path / "e", views=absent)


def test_embeddings_of_a_time_before_windows_are_read(images, stored, tmp_path):
    old = rewritten(stored, tmp_path / "old", lambda name, data: data)
    told = json.loads((old / "embeddings.json").read_text())
    told["grids"] = told.pop("views")["grids"]
    (old / "embeddings.json").write_text(json.dumps(told))
    assert read_teacher_record(str(old)) == read_teacher_record(str(stored))
    (old / "embeddings.json").write_text(json.dumps(told | {"grids": "all"}))
    with pytest.raises(InputError, match=r"views: grids: .*run `zeroseg embed` again"):
        read_teacher_record(str(old))


def test_embeddings_are_found_by_key_wherever_they_stand(images, stored, tmp_path):
    def backwards(url):
        with tarfile.open(url) as tar:
            return [(i, tar.extractfile(i).read()) for i in tar][::-1]

    turned = rewritten(stored, tmp_path / "turned", lambda name, data: data)
    records = {}
    for url in open_set(str(stored), CACHE).urls:
        path = tmp_path / url.rpartition("/")[2]
        with tarfile.open(path, "w") as tar:
            for info, data in backwards(url):
                tar.addfile(info, io.BytesIO(data))
        records[path.name] = vars(publish_shard(path, str(turned)))
    manifest = json.loads((turned / "manifest.json").read_text())
    manifest["shards"] = [records[shard["name"]] for shard in manifest["shards"]]
    (turned / "manifest.json").write_text(json.dumps(manifest))
    for _, one, other in zip(
        range(3), stream(images, stored), stream(images, turned), strict=False
    ):
        assert one.keys == other.keys
        assert torch.equal(one.embeddings, other.embeddings)


KEY = "train-000002"


def _without(name, data):
    return None if name.startswith(KEY) else data


def _not_a_number(name, data):
    if name != f"{KEY}.0.npy":
        return data
    array = np.load(io.BytesIO(data))
    array[1, 3] = np.nan
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _of_another_file(name, data):
    if name != f"{KEY}.json":
        return data
    return json.dumps(json.loads(data) | {"sha256": "0" * 64}).encode()


def _torn(name, data):
    return data[:100] if name == f"{KEY}.0.npy" else data


FAULTS = pytest.mark.parametrize(
    ("change", "what"),
    [
        (_without, "missing"),
        (_not_a_number, "not 5 finite vectors"),
        (_of_another_file, "stale"),
        (_torn, "unreadable"),
    ],
)


@FAULTS
@pytest.mark.parametrize("workers", [0, 1])
def test_an_unusable_embedding_stops_the_run_and_is_named(
    images, stored, tmp_path, change, what, workers
):
    spoilt = rewritten(stored, tmp_path / "spoilt", change)
    source = stream(images, spoilt, workers=workers)
    with pytest.raises(
        InputError, match=rf"^the embedding of {KEY} of \S*shard-000000\.tar is {what}"
    ):
        for _, _ in zip(range(3), source, strict=False):
            pass


@FAULTS
def test_an_unusable_embedding_is_skipped_and_counted_where_that_is_asked_for(
    images, stored, tmp_path, change, what
):
    spoilt = rewritten(stored, tmp_path / "spoilt", change)
    source = stream(images, spoilt, skip=True)
    seen = [k for _, batch in zip(range(3), source, strict=False) for k in batch.keys]
    assert len(seen) == 11
    assert KEY not in seen
    assert source.lost == {"UnusableEmbedding": 1}


def test_embeddings_must_be_whole_and_fit_the_images_and_their_crops(images, stored, tmp_path):
    for changes, field in (
        ({"view_size": 128}, "method.view_size"),
        ({"crops": Crops(count=2)}, "method.crops"),
    ):
        with pytest.raises(InputError, match=field):
            stream(images, stored, **changes)
    with pytest.raises(InputError, match="holds no embeddings"):
        stream(images, images)
    more = tmp_path / "more"
    build(scenes.Scenes("train", 17).source(), str(more), Limits(images_per_shard=5, workers=0))
    with pytest.raises(InputError, match=r"no embeddings for 1 of 4 shards.*shard-000003\.tar"):
        stream(more, stored)
    (first, *_) = sorted(stored.glob("*.tar"))
    cut = rewritten(stored, tmp_path / "cut", lambda name, data: data)
    (cut / first.name).write_bytes(first.read_bytes()[:-1000])
    with pytest.raises(InputError, match=rf"{first.name} has \d+ bytes but its manifest says"):
        stream(images, cut)
    (cut / "manifest.json").unlink()
    with pytest.raises(InputError, match="is not finished"):
        stream(images, cut)


def test_members_are_named_by_their_crop():
    record = TeacherRecord(
        teacher={},
        weights_sha256="",
        preprocessing={},
        precision="float32",
        embed_dim=4,
        views=ViewSet(grids=(1, 2)),
        crops=Crops(count=2),
        side=8,
        storage="float16",
    )
    vectors = torch.randn(2, record.views.count, 4)
    members = embedding_members("k", "f" * 64, [None, None], vectors, "float16")
    assert list(members) == ["__key__", "0.npy", "1.npy", "json"]
    assert np.load(io.BytesIO(members["1.npy"])).shape == (5, 4)
    assert json.loads(members["json"]) == {"sha256": "f" * 64, "crops": [None, None]}


def _torn_first(number: int):
    if number == 0:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        whole = encoded(noise, "jpeg")
        yield Sample("torn", whole[:-200])
    else:
        yield from scenes.Scenes("train", 4).source().read(number)


def test_a_corrupt_image_is_left_out_counted_and_named(tmp_path, capsys):
    build(Source(units=range(4), read=_torn_first), str(tmp_path / "some"), Limits(workers=0))
    manifest = embedded(tmp_path / "some", tmp_path / "e")
    assert (manifest.samples, manifest.left_out) == (3, 1)
    assert "shard-000000.tar torn: " in capsys.readouterr().err
    assert "shard-000000.tar torn: " in (tmp_path / "e/left-out.jsonl").read_text()


def test_a_set_without_any_image_that_can_be_embedded_is_an_error(tmp_path):
    build(Source(units=range(1), read=_torn_first), str(tmp_path / "none"), Limits(workers=0))
    with pytest.raises(InputError, match=r"no image could be embedded, the first: .* torn: "):
        embedded(tmp_path / "none", tmp_path / "e")
