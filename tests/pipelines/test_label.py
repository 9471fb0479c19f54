"""`zeroseg label`: what it writes, that it cannot know, and that it goes on where it was stopped."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from pipelines import label as labelling
from pipelines.label import label, main
from shards.build import Limits, build, do
from shards.sample import Source
from shards.scenes import Scenes
from tests.support.jobs import done
from zeroseg.data.augmentation import Augmentation
from zeroseg.data.images import decode_image
from zeroseg.data.label_files import decode_labels, encode_labels
from zeroseg.data.picture_files import turned_back
from zeroseg.data.transforms import LabelledCrops
from zeroseg.datasets.benchmarks import IGNORE, SCENES
from zeroseg.errors import InputError
from zeroseg.evaluation.protocols import ProtocolConfig
from zeroseg.evaluation.pseudo_labels import PseudoLabels
from zeroseg.store.reader import ShardReader
from zeroseg.store.set_writer import read_left_out
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set

CLIP = "clip:zeroseg-scenes:maskclip"
COUNT = 11
WIDE = (*(f"zzqx{i}" for i in range(300)), *SCENES.classes)
HIDDEN = [SCENES.classes.index(name) for name in sorted(SCENES.unseen)]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    limits = Limits(images_per_shard=6, workers=0)
    source = Scenes("labelled", COUNT).source()
    build(source, str(folder / "truth"), limits)
    build(painted(source), str(folder / "painted"), limits)
    return folder


def painted(source: Source) -> Source:
    """The same with pixels of unseen classes painted at random: other unseen classes, or none."""

    def read(number: int):
        for sample in source.read(number):
            labels = decode_labels(sample.labels).numpy()
            rng = np.random.default_rng(number)
            other = rng.choice([*HIDDEN, IGNORE], labels.shape)
            labels = np.where(np.isin(labels, [*HIDDEN, IGNORE]), other, labels)
            yield replace(sample, labels=encode_labels(labels))

    return replace(source, read=read, built_from={"kind": "painted"})


def widened(source: Source) -> Source:
    """The same with labels that count from 300, after as many classes that nothing is."""

    def read(number: int):
        for sample in source.read(number):
            yield replace(sample, labels=encode_labels(decode_labels(sample.labels).numpy() + 300))

    return replace(source, read=read, classes=WIDE, built_from={"kind": "wide"})


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(labelling, "IMAGES_PER_SHARD", 4)


def config(data: Path, output: Path, shards: str = "truth", **fields) -> PseudoLabels:
    asked = {"model": CLIP, "shards": f"{data}/{shards}", "benchmark": "scenes"}
    return PseudoLabels(**asked | {"output": str(output), "batch_size": 3} | fields)


def stored(folder: Path | str) -> dict[str, dict[str, bytes]]:
    shards = open_set(str(folder), ShardCache())
    reader = ShardReader(shards, ShardCache())
    raw = [reader.read(s, n) for s, count in enumerate(shards.counts) for n in range(count)]
    return {sample.key: sample.members for sample in raw}


def tars(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"}


@pytest.mark.parametrize("unseen_only", [False, True])
def test_seen_truth_and_every_other_byte_stay_and_unseen_classes_are_predicted(
    data, tmp_path, unseen_only
):
    manifest = label(config(data, tmp_path / "out", unseen_only=unseen_only))
    assert [shard.samples for shard in manifest.shards] == [4, 4, 3]
    assert manifest.classes == SCENES.classes
    before, after = stored(data / "truth"), stored(tmp_path / "out")
    assert list(after) == list(before)
    hits, filled = [], []
    for key, members in after.items():
        assert members["jpg"] == before[key]["jpg"]
        assert members["json"] == before[key]["json"]
        truth, found = decode_labels(before[key]["png"]), decode_labels(members["png"])
        hidden = torch.isin(truth, torch.tensor(HIDDEN))
        assert torch.equal(found[~hidden], truth[~hidden])
        assert set(found[hidden].unique().tolist()) <= {*HIDDEN, IGNORE}
        filled.append((found != IGNORE)[hidden])
        hits.append((found == truth)[hidden & (found != IGNORE)])
    assert torch.cat(hits).float().mean() > 0.5  # of four classes
    assert torch.cat(filled).all() == unseen_only
    told = manifest.built_from
    assert len(told["model_sha256"]) == 64
    assert [told[k] for k in ("kind", "benchmark", "share", "protocol", "unseen_only")] == (
        ["pseudo labels", "scenes", "1.0", "seen-unseen", str(unseen_only)]
    )


def test_labels_of_turned_photos_lie_over_their_stored_pixels(data, tmp_path):
    scenes = Scenes("labelled", COUNT).source()
    limits = Limits(images_per_shard=6, workers=0)
    build(replace(scenes, read=lying(scenes)), str(tmp_path / "lying"), limits)
    label(config(tmp_path, tmp_path / "out", "lying"))
    label(config(data, tmp_path / "upright"))
    upright = stored(tmp_path / "upright")
    for key, members in stored(tmp_path / "out").items():
        expected = turned_back(decode_labels(upright[key]["png"]).numpy(), 6)
        assert np.array_equal(decode_labels(members["png"]).numpy(), expected)


def lying(source: Source):
    """Photos stored with their right side up, as EXIF tells, and their label maps with them."""

    def read(number: int):
        for sample in source.read(number):
            pixels = decode_image(sample.image).permute(1, 2, 0).numpy()
            labels = turned_back(decode_labels(sample.labels).numpy(), 6)
            exif, buffer = Image.Exif(), io.BytesIO()
            exif[ExifTags.Base.Orientation] = 6
            Image.fromarray(turned_back(pixels, 6)).save(buffer, "png", exif=exif)
            yield replace(sample, image=buffer.getvalue(), labels=encode_labels(labels))

    return read


@pytest.mark.parametrize("fields", [{"share": 0.4}, {"unseen_only": True}])
def test_which_unseen_class_a_pixel_is_of_changes_no_byte(data, tmp_path, fields):
    for shards in ("truth", "painted"):
        label(config(data, tmp_path / shards, shards, **fields))
    assert tars(tmp_path / "truth") == tars(tmp_path / "painted")


def test_a_share_labels_fewer_pixels_and_training_takes_the_set(data, tmp_path):
    label(config(data, tmp_path / "all"))
    label(config(data, tmp_path / "half", share=0.5))
    pixels = []
    for name in ("all", "half"):
        maps = [decode_labels(members["png"]) for members in stored(tmp_path / name).values()]
        pixels.append(sum(int(torch.isin(m, torch.tensor(HIDDEN)).sum()) for m in maps))
    assert pixels[1] == pytest.approx(pixels[0] / 2, abs=COUNT)
    shards = open_set(str(tmp_path / "half"), ShardCache())
    transform = LabelledCrops(Augmentation(size=112), SCENES, "pseudo")
    sample = ShardReader(shards, ShardCache()).read(0, 0)
    assert transform.on(shards)(sample, 0)["labels"].shape == (112, 112)
    with pytest.raises(InputError, match="these shards have kind 'scenes'"):
        transform.on(open_set(str(data / "truth"), ShardCache()))


def test_stopped_it_goes_on_and_ends_as_if_it_had_not_been(data, tmp_path, monkeypatch):
    whole = label(config(data, tmp_path / "whole"))

    def stop(job):
        if job.number == 2:
            raise KeyboardInterrupt
        do(job)

    monkeypatch.setattr(labelling, "do", stop)
    with pytest.raises(KeyboardInterrupt):
        label(config(data, tmp_path / "out"))
    monkeypatch.setattr(labelling, "do", do)
    done = (tmp_path / "out/shard-000001.tar").stat().st_mtime_ns
    assert label(config(data, tmp_path / "out")) == whole
    assert (tmp_path / "out/shard-000001.tar").stat().st_mtime_ns == done
    assert tars(tmp_path / "out") == tars(tmp_path / "whole")
    assert label(config(data, tmp_path / "out")) == whole
    with pytest.raises(InputError, match="holds a set that was built from something else"):
        label(config(data, tmp_path / "out", share=0.5))


def test_the_command_says_what_it_wrote_and_names_what_is_lost(capsys, tmp_path):
    def read(number: int):
        (sample,) = Scenes("labelled", 3).source().read(number)
        yield sample if number else replace(sample, labels=b"no picture")

    source = replace(Scenes("labelled", 3).source(), read=read)
    build(source, str(tmp_path / "in"), Limits(workers=0))
    out = str(tmp_path / "out")
    main([CLIP, "--shards", str(tmp_path / "in"), "--benchmark", "scenes", "--output", out])
    told = capsys.readouterr().out.splitlines()
    assert told == [
        f"{out}: 2 images in 1 shards",
        f"1 left out, named in {out}/left-out.jsonl",
    ]
    assert "labelled-000000: UnidentifiedImageError" in read_left_out(out)[0]


def test_two_processes_share_the_shards(data, tmp_path):
    label(config(data, tmp_path / "one"))
    done(label_four_a_shard, config(data, tmp_path / "two"), ranks=2)
    assert tars(tmp_path / "two") == tars(tmp_path / "one")


def label_four_a_shard(config: PseudoLabels) -> None:
    labelling.IMAGES_PER_SHARD = 4
    label(config)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model": "runs/nowhere"}, "runs/nowhere"),
        ({"benchmark": "voc20-15-5"}, "not all of benchmark 'voc20-15-5'"),
        ({"benchmark": "scenes-objects", "protocol": ProtocolConfig(name="scenes")}, "state it"),
    ],
)
def test_what_does_not_fit_is_an_error_before_anything_is_written(data, tmp_path, fields, says):
    with pytest.raises(InputError, match=says):
        label(config(data, tmp_path / "out", **fields))
    assert not (tmp_path / "out").exists()


def test_classes_beyond_255_are_kept_and_predicted(tmp_path):
    build(widened(Scenes("labelled", 2).source()), str(tmp_path / "truth"), Limits(workers=0))
    split = {"name": "wide", "classes": WIDE, "unseen": sorted(SCENES.unseen)}
    (tmp_path / "split.json").write_text(json.dumps(split))
    small = ProtocolConfig(name="seen-unseen", short_side=112, templates="bare")
    asked = config(tmp_path, tmp_path / "out", unseen_only=True, protocol=small)
    label(replace(asked, benchmark=str(tmp_path / "split.json")))
    before, after = stored(tmp_path / "truth"), stored(tmp_path / "out")
    for key, members in after.items():
        truth, found = decode_labels(before[key]["png"]), decode_labels(members["png"])
        hidden = torch.isin(truth, torch.tensor(HIDDEN) + 300)
        assert torch.equal(found[~hidden], truth[~hidden])
        assert set(found[hidden].unique().tolist()) <= {300 + i for i in HIDDEN}
