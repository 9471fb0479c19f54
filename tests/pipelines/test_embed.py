"""`zeroseg embed` as a program: several processes, killed and continued, and training from what it wrote."""

import hashlib
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import cli
from pipelines.embed import config_of
from shards import scenes
from shards.build import Limits, build
from tests.support.jobs import Job, done, program
from tests.support.selections import leave_out
from zeroseg import CLIP, CLIPConfig, Crops, DataConfig, InputError
from zeroseg.data.crops import cut
from zeroseg.data.embedding_index import open_index
from zeroseg.data.embeddings import EmbeddingReader, open_embeddings
from zeroseg.data.images import decode_image
from zeroseg.data.stream import TrainingStream
from zeroseg.data.transforms import EmbeddedCrops
from zeroseg.data.views import ViewSet
from zeroseg.store.reader import ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set
from zeroseg.training.shard_embedder import shares
from zeroseg.training.teacher import ViewEncoder

ROOT = Path(__file__).parents[2]
CACHE = ShardCache(retries=0)
CONFIG = str(ROOT / "configs/scenes_scratch.py")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    build(scenes.Scenes("train", 42).source(), str(folder), Limits(images_per_shard=8, workers=0))
    return folder


def arguments(images: Path, output: Path, *more: str) -> list[str]:
    return [CONFIG, "--shards", str(images), "--output", str(output), "--workers", "1", *more]


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory) -> Path:
    """What one process writes without being disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "e"
    done(program, "pipelines.embed", arguments(images, folder, "--index", "fp16"))
    return folder


def test_killed_in_the_middle_and_continued_it_writes_the_same_bytes(images, whole, tmp_path):
    args = arguments(images, tmp_path / "e", "--index", "fp16")
    job = Job(program, "pipelines.embed", args)
    while len(list((tmp_path / "e").glob("*.tar"))) < 2:
        assert job.running, job.said()
        time.sleep(0.01)
    job.kill()
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "e").glob("*.tar")}
    assert 2 <= len(before) < 6
    done(program, "pipelines.embed", args)
    assert digests(tmp_path / "e") == digests(whole)
    kept = [n for n, t in before.items() if (tmp_path / "e" / n).stat().st_mtime_ns == t]
    assert len(kept) >= len(before) - 1  # one may have been without its record yet


def test_two_processes_write_the_files_of_one(images, whole, tmp_path):
    done(program, "pipelines.embed", arguments(images, tmp_path / "e", "--index", "fp16"), ranks=2)
    assert digests(tmp_path / "e") == digests(whole)


def test_a_finished_set_is_left_as_it_is_and_another_teacher_refused(images, whole, capsys):
    before = digests(whole)
    cli.main(["embed", *arguments(images, whole, "--index", "fp16")])
    assert "42 images in 6 shards" in capsys.readouterr().out
    for other in (["--grids", "1", "2"], ["--storage", "int8"], ["--crops.count", "3"]):
        with pytest.raises(SystemExit):
            cli.main(["embed", *arguments(images, whole, *other)])
        assert "built from something else" in capsys.readouterr().err
    assert digests(whole) == before


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(images, tmp_path, capsys):
    cli.main(["embed", *arguments(images, tmp_path / "e", "--dry-run")])
    line = capsys.readouterr().err
    assert re.search(r"42 images to embed, 30 views each: 5\.63kB an image \(float16\)", line)
    assert not (tmp_path / "e").exists()


def test_a_full_disk_is_seen_before_anything_is_embedded(images, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Full", (), {"free": 1000}))
    with pytest.raises(SystemExit):
        cli.main(["embed", *arguments(images, tmp_path / "e")])
    assert "free: choose another --output" in capsys.readouterr().err


def test_the_teacher_has_a_short_name(images):
    for named, parts in {
        "ViT-L-14:openai": ("ViT-L-14", "openai"),
        "mine:/a/b.safetensors": ("mine", "/a/b.safetensors"),
        "local-dir:/a/b": ("local-dir:/a/b", ""),
        "zeroseg-scenes": ("zeroseg-scenes", ""),
    }.items():
        config = config_of(["--shards", "s", "--output", "o", "--teacher", named])
        assert (config.teacher.architecture, config.teacher.weights) == parts


def test_shards_are_shared_so_that_processes_have_as_much_to_do():
    parts = shares([9, 1, 1, 1, 5, 4, 3], 3)
    assert sorted(shard for part in parts for shard in part) == list(range(7))
    assert [sum([9, 1, 1, 1, 5, 4, 3][s] for s in part) for part in parts] == [9, 8, 7]
    assert shares([2], 3) == [[0], [], []]


def test_the_index_finds_each_image_by_its_own_embedding(images, whole):
    stored = open_embeddings(str(whole), CACHE)
    index = open_index(str(whole), stored)
    opened = open_set(str(images), CACHE)
    reader, embeddings = ShardReader(opened, CACHE), EmbeddingReader(stored, CACHE)
    keys = (whole / "index/shard-000000.keys").read_text().splitlines()
    assert len(index) == len(keys) == 42
    for number in (0, 7, 41):
        sample = reader.read(number // 8, number % 8)
        _, views = embeddings.read(sample, 0)
        cosines, found = index.search(views[:1].float().numpy(), 1)
        assert keys[found[0, 0]] == f"shard-{number // 8:06d}.tar\t{sample.key}"
        # Of two vectors whose values float16 rounds by 5e-4.
        assert cosines[0, 0] == pytest.approx(1, abs=2e-3)


def losses(run: Path) -> np.ndarray:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    names = ("composition", "patches", "agreement", "multi_scale", "gradient_norm")
    return np.array(
        [
            [row[name if name == "gradient_norm" else f"loss/{name}"] for name in names]
            for row in rows
        ]
    )


@pytest.mark.parametrize("crops", ["1", "3"])
def test_cached_and_online_training_have_the_same_losses(images, tmp_path, crops):
    embeddings = tmp_path / "e"
    which = ["--crops.count", crops, "--grids", "1", "2"]
    cli.main(["embed", *arguments(images, embeddings, *which)])
    small = [
        "--method.student.trunk.width",
        "32",
        "--method.student.trunk.depth",
        "1",
        "--method.student.trunk.num-heads",
        "2",
    ]
    length = [
        "--steps",
        "8",
        "--schedule.warmup",
        "2",
        "--data.batch-size",
        "8",
        "--log-every",
        "1",
    ]
    seen = [
        "--data.shards",
        str(images),
        "--method.crops.count",
        crops,
        "--method.teacher.views.grids",
        "1",
        "2",
    ]
    # In float32, by weights that hardly move: AdamW makes whole steps of what is rounding alone.
    exact = ["--precision", "no", "--optimizer.learning-rate", "1e-6"]
    common = [CONFIG, *seen, *small, *length, *exact]
    cli.main(["train", *common, "--output", str(tmp_path / "online")])
    cached = ["--embeddings", str(embeddings), "--output", str(tmp_path / "cached")]
    cli.main(["train", *common, *cached])
    online = losses(tmp_path / "online")
    assert online.shape == (8, 5)
    # float16 keeps 11 bits: 5e-4 of each value of a unit vector.
    np.testing.assert_allclose(losses(tmp_path / "cached"), online, rtol=5e-4)
    assert not np.array_equal(losses(tmp_path / "cached"), online)
    descriptions = [
        json.loads((tmp_path / name / "model/model.json").read_text())
        for name in ("cached", "online")
    ]
    assert descriptions[0]["text"] == descriptions[1]["text"]
    assert descriptions[0]["method"]["student"] == descriptions[1]["method"]["student"]


def test_the_student_sees_the_very_crop_that_the_teachers_views_divide(images, tmp_path):
    crops, which = Crops(count=4), ["--crops.count", "4", "--grids", "1", "2"]
    cli.main(["embed", *arguments(images, tmp_path / "e", *which)])
    stored = open_embeddings(str(tmp_path / "e"), CACHE)
    config = DataConfig(shards=str(images), batch_size=6, workers=0, cache=CACHE)
    transform = EmbeddedCrops(size=112, view_size=112, crops=crops, stored=stored, cache=CACHE)
    source = TrainingStream(config, transform, rank=0, world_size=1, seed=0)
    opened = open_set(str(images), CACHE)
    reader = ShardReader(opened, CACHE)
    photos = {
        reader.key(s, n): decode_image(reader.read(s, n).members["jpg"])
        for s, count in enumerate(opened.counts)
        for n in range(count)
    }
    clip = CLIP(CLIPConfig(architecture="zeroseg-scenes", weights=""))
    encode, shown = ViewEncoder(clip, ViewSet(grids=(1, 2))), {}
    for step, batch in zip(range(28), source, strict=False):
        epoch = step // 7
        for key, pixels, embeddings in zip(batch.keys, batch.images, batch.embeddings, strict=True):
            turn = crops.turn(key, epoch)
            box = crops.of(key, *photos[key].shape[1:])[turn]
            assert torch.equal(pixels, cut(photos[key], box, 112))
            shown.setdefault(key, []).append(turn)
            if epoch == 0:
                views = encode(pixels[None].float() / 255)[0]
                # float16 rounds what is below 1 by as much.
                torch.testing.assert_close(embeddings.float(), views, rtol=0, atol=5e-4)
    assert all(sorted(turns) == [0, 1, 2, 3] for turns in shown.values())
    assert len(shown) == 42


def test_only_what_a_selection_leaves_is_embedded_and_trained_on(images, whole, tmp_path):
    chosen = leave_out(str(images), tmp_path / "s", [0, 9, *range(16, 24)])
    select = ["--selection", chosen]
    cli.main(["embed", *arguments(images, tmp_path / "e", *select)])
    stored = open_embeddings(str(tmp_path / "e"), CACHE)
    assert stored.shards.counts == (7, 7, 8, 8, 2)
    config = DataConfig(shards=str(images), selection=chosen, batch_size=8, workers=0, cache=CACHE)
    crops = {"size": 112, "view_size": 112, "crops": Crops(), "cache": CACHE}
    batches = []
    for embeddings in (stored, open_embeddings(str(whole), CACHE)):
        transform = EmbeddedCrops(stored=embeddings, **crops)
        source = TrainingStream(config, transform, rank=0, world_size=1, seed=0)
        batches.append([batch for _, batch in zip(range(4), source, strict=False)])
    assert len({key for batch in batches[0] for key in batch.keys}) == 32
    for one, other in zip(*batches, strict=True):
        assert one.keys == other.keys
        torch.testing.assert_close(one.embeddings, other.embeddings, rtol=0, atol=5e-4)
    with pytest.raises(SystemExit):
        cli.main(["embed", *arguments(images, tmp_path / "e")])


def test_a_teacher_other_than_the_one_that_was_cached_is_refused(images, whole, tmp_path):
    from pipelines.train import main

    args = [CONFIG, "--data.shards", str(images), "--output", str(tmp_path / "run")]
    with pytest.raises(InputError, match="are of another teacher"):
        main([*args, "--embeddings", str(whole), "--method.teacher.clip.mean", "0.1", "0.2", "0.3"])
    with pytest.raises(InputError, match=r"has the views 1x1, 2x2, 3x3, 4x4, not 5x5"):
        main([*args, "--embeddings", str(whole), "--method.teacher.views.grids", "1", "5"])
    assert not (tmp_path / "run").exists()
