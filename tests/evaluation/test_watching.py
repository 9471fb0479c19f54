import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from shards import scenes
from shards.build import Limits, build
from tests.support.jobs import done
from tests.support.streams import write
from zeroseg import CLIP, CLIPConfig, InputError, ViT, Watch, ZeroSeg, ZeroSegConfig, evaluate
from zeroseg.data.batch import Batch
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.evaluation.labelled import open_labelled_set
from zeroseg.evaluation.pictures import coloured, enlarged
from zeroseg.evaluation.protocols import ProtocolConfig
from zeroseg.evaluation.segmenters import Student
from zeroseg.evaluation.task import task_for
from zeroseg.evaluation.watching import Watcher
from zeroseg.models.prompts import SIMPLE
from zeroseg.store.shard_cache import ShardCache

TEACHER = CLIPConfig(architecture="zeroseg-scenes", weights="")
SMALL = ZeroSegConfig(
    image_size=112,
    trunk=ViT(patch_size=8, width=32, depth=1, num_heads=2),
    embed_dim=64,
    decoder_depth=0,
)
GRASS = SCENES.classes.index("grass")
PROTOCOL = ProtocolConfig(short_side=112, window=0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("val"))
    build(scenes.Scenes("val", 10).source(), folder, Limits(images_per_shard=4, workers=0))
    return folder


def student(config: ZeroSegConfig = SMALL) -> ZeroSeg:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return ZeroSeg(config)


def segmenter(model: ZeroSeg | None = None) -> Student:
    return Student(model or student(), "segments")


def watcher(shards: str, **changes) -> Watcher:
    given = {"shards": shards, "benchmark": "scenes", "every": 2, "protocol": PROTOCOL}
    return Watcher(Watch(**given | changes), TEACHER, segmenter(), Accelerator(), ShardCache())


@pytest.fixture
def watching(shards) -> Watcher:
    return watcher(shards, pictures=3)


@pytest.fixture(scope="module")
def classes() -> torch.Tensor:
    return CLIP(TEACHER).class_embeddings(SCENES.names, SIMPLE)


def saying(embedding: torch.Tensor) -> ZeroSeg:
    """A student that gives every segment this embedding."""
    model = student()
    with torch.no_grad():
        model.segment_embedding[-1].weight.zero_()
        model.segment_embedding[-1].bias.copy_(embedding)
    return model


def first(shards: str, count: int) -> list[Batch]:
    """Images of the set in its order, one by one."""
    images = open_labelled_set(shards, SCENES, PROTOCOL.on(SCENES), ShardCache())
    return list(itertools.islice(images.batches(8, batch_size=1), count))


@pytest.mark.parametrize("images", [6, 64])
def test_scores_are_those_of_an_evaluation_of_the_first_images(shards, images):
    task = task_for(CLIP(TEACHER), SCENES, PROTOCOL.on(SCENES))
    whole = evaluate(segmenter(), first(shards, images), task, Accelerator())
    assert whole.images == min(images, 10)
    assert watcher(shards, images=images).scores(segmenter()) == {
        "watch/miou": whole.miou,
        "watch/seen_miou": whole.seen_miou,
        "watch/unseen_miou": whole.unseen_miou,
        "watch/pixel_accuracy": whole.pixel_accuracy,
    }


def test_a_student_that_always_says_grass_scores_what_grass_is_of_the_images(
    shards, watching, classes
):
    labels = torch.cat([b.labels.flatten() for b in first(shards, 10)])
    share = (labels == GRASS).double().mean().item()
    assert 0 < share < 1
    seen = watching.scores(segmenter(saying(classes[GRASS])))
    assert seen["watch/pixel_accuracy"] == pytest.approx(share)
    assert seen["watch/miou"] == pytest.approx(share / len(labels.unique()))
    assert seen["watch/unseen_miou"] == 0


def test_a_score_of_classes_that_never_occur_is_left_out(shards, classes):
    (only,) = first(shards, 1)
    unseen = {SCENES.classes.index(name) for name in SCENES.unseen}
    assert unseen.isdisjoint(only.labels.unique().tolist())
    seen = watcher(shards, images=1).scores(segmenter(saying(classes[GRASS])))
    assert seen.keys() == {"watch/miou", "watch/seen_miou", "watch/pixel_accuracy"}


def test_a_benchmark_without_unseen_classes_has_no_scores_of_them(shards, tmp_path):
    for file in Path(shards).glob("*.tar"):  # without the manifest, which has other classes
        shutil.copy(file, tmp_path)
    seen = watcher(str(tmp_path), benchmark="coco-things").scores(segmenter())
    assert seen.keys() == {"watch/miou", "watch/pixel_accuracy"}


def random_states() -> list[list[int]]:
    """Of torch and numpy; from Python's own, the checker of signatures draws in every test."""
    return [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()]  # noqa: NPY002


def test_watching_draws_no_random_number(shards):
    model, before = student(), random_states()
    watching = watcher(shards, images=2)
    assert random_states() == before
    watching.scores(segmenter(model))
    watching.pictures(segmenter(model))
    assert random_states() == before


def test_the_model_is_left_in_its_mode_and_with_its_gradients(watching):
    model = student()
    model.segment(torch.rand(1, 3, 112, 112)).segments.sum().backward()
    gradients = {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}
    watching.scores(segmenter(model))
    watching.pictures(segmenter(model))
    assert {m.training for m in model.modules()} == {True}
    after = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    assert gradients.keys() == after.keys()
    assert all(torch.equal(after[k], v) for k, v in gradients.items())


def trained(watching: Watcher | None) -> dict[str, torch.Tensor]:
    torch.manual_seed(9)
    model = student().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(3):
        model(torch.rand(2, 3, 112, 112)).segments.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        if watching is not None:
            watching.scores(segmenter(model))
            watching.pictures(segmenter(model))
    return model.state_dict()


def test_a_watched_run_ends_with_the_weights_of_one_that_is_not(watching):
    watched, alone = trained(watching), trained(None)
    assert all(torch.equal(watched[name], value) for name, value in alone.items())


def test_a_picture_has_a_row_for_each_of_the_first_images_with_its_truth(shards, watching):
    picture, top = watching.pictures(segmenter()), 0
    assert picture.shape[1] == 4 * 224 + 3 * 6
    for batch in first(shards, 3):
        truth = enlarged(coloured(batch.labels[0]), 224)
        starts = [y for y in range(top, len(picture) - 223) if matches(picture, y, truth)]
        assert len(starts) == 1
        top = starts[0] + 224


def matches(picture: np.ndarray, top: int, truth: np.ndarray) -> bool:
    """Whether the second column of pictures holds it there."""
    return np.array_equal(picture[top : top + 224, 230:454], truth)


def test_there_are_no_more_rows_than_watched_images(shards):
    model = segmenter()
    few, all_of_them = (watcher(shards, images=2, pictures=n) for n in (9, 2))
    assert np.array_equal(few.pictures(model), all_of_them.pictures(model))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"benchmark": "voc"}, "benchmark 'voc' is unknown: .*scenes"),
        ({"shards": "/nowhere"}, "/nowhere"),
        ({"benchmark": "scenes-objects"}, "set the background threshold"),
        (
            {"benchmark": "scenes-objects", "protocol": ProtocolConfig(name="honest")},
            "'honest' takes a threshold chosen on other data: set",
        ),
        ({"protocol": ProtocolConfig(name="fancy")}, "protocol 'fancy' is unknown"),
        (
            {"protocol": ProtocolConfig(background_threshold=0.5)},
            "leave out the background threshold",
        ),
        ({"protocol": ProtocolConfig(templates="fancy")}, "templates 'fancy' are unknown"),
        ({"protocol": ProtocolConfig(window=60, stride=30)}, "window is 60: .* multiples of 8"),
        (
            {"benchmark": "voc21", "protocol": ProtocolConfig(background_threshold=0.5)},
            "have 24 classes",
        ),
        ({"every": 0}, "watch.every is 0"),
        ({"images": 0}, "watch.images is 0"),
        ({"pictures": 0}, "watch.pictures is 0"),
    ],
)
def test_what_is_wrong_is_named_before_training(shards, changes, names):
    with pytest.raises(InputError, match=names):
        watcher(**{"shards": shards} | changes)


def test_the_cache_of_remote_shards_is_the_one_that_is_given(shards, tmp_path):
    watch = Watch(
        shards=Path(shards).as_uri(), benchmark="scenes", every=1, images=2, protocol=PROTOCOL
    )
    Watcher(watch, TEACHER, segmenter(), Accelerator(), ShardCache(folder=tmp_path / "cache"))
    assert list((tmp_path / "cache").glob("*.tar"))


def test_images_without_label_maps_cannot_be_watched(tmp_path):
    with pytest.raises(InputError, match=r"k000.*needs a label map"):
        watcher(write(tmp_path / "unlabelled", 4))


def watched(shards: str, folder: Path) -> None:
    accelerator = Accelerator()
    watch = Watch(shards=shards, benchmark="scenes", every=1, images=5, protocol=PROTOCOL)
    watching, model = Watcher(watch, TEACHER, segmenter(), accelerator, ShardCache()), segmenter()
    assert accelerator.num_processes == 2
    scores = watching.scores(model)
    (folder / f"{accelerator.process_index}.json").write_text(json.dumps(scores))
    if accelerator.is_main_process:
        np.save(folder / "picture.npy", watching.pictures(model))
    accelerator.end_training()


def test_two_processes_give_the_scores_and_the_picture_of_one(shards, tmp_path):
    done(watched, shards, tmp_path, ranks=2)
    alone = watcher(shards, images=5)
    for rank in (0, 1):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == alone.scores(segmenter())
    assert np.array_equal(np.load(tmp_path / "picture.npy"), alone.pictures(segmenter()))
