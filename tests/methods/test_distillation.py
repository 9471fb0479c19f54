"""What a distillation refuses before anything expensive starts, and what it offers."""

import dataclasses

import pytest
import torch

from configs.scenes_scratch import method as QUICKSTART
from pipelines.embed import EmbedConfig
from zeroseg import (
    CachedTeacher,
    CLIPConfig,
    InputError,
    OnlineTeacher,
    ViewComposition,
    ZeroSegPaper,
)
from zeroseg.data.views import ViewSet
from zeroseg.store.shard_cache import ShardCache

CLIP = CLIPConfig(architecture="zeroseg-scenes", weights="")
PLAIN = dataclasses.replace(QUICKSTART.student, patch_embeddings=False)


def changed(**fields):
    return dataclasses.replace(QUICKSTART, **fields)


def test_composition_without_patch_embeddings_is_refused():
    with pytest.raises(InputError, match=r"needs method\.student\.patch_embeddings"):
        changed(student=PLAIN, losses=ViewComposition())


@pytest.mark.parametrize("grids", [(2, 1), (1, 1, 2), (0, 2), ()])
@pytest.mark.parametrize(
    "made",
    [
        lambda grids: OnlineTeacher(clip=CLIP, views=ViewSet(grids=grids)),
        lambda grids: CachedTeacher(path="x", views=ViewSet(grids=grids)),
        lambda grids: EmbedConfig(shards="x", output="y", views=ViewSet(grids=grids)),
    ],
)
def test_grids_out_of_order_are_refused_wherever_they_are_named(made, grids):
    with pytest.raises(InputError, match="grids"):
        made(grids)


def test_the_full_image_alone_cannot_be_distilled_where_it_is_no_view():
    method = changed(
        losses=ZeroSegPaper(multi_scale=False),
        teacher=OnlineTeacher(clip=CLIP, views=ViewSet(grids=(2, 3))),
    )
    with pytest.raises(InputError, match="begin it with 1"):
        method.training(method.model(), torch.device("cpu"), ShardCache())


def test_a_dense_target_is_there_only_for_a_loss_that_asks_for_it():
    for weight in (0.0, 1.0):
        method = changed(losses=ViewComposition(dense_weight=weight))
        training = method.training(method.model(), torch.device("cpu"), ShardCache())
        assert (training.objective.teacher.dense is not None) == bool(weight)


def test_a_student_of_another_space_than_its_teachers_is_refused():
    method = changed(student=dataclasses.replace(QUICKSTART.student, embed_dim=32))
    with pytest.raises(InputError, match=r"64 dimensions: set method\.student\.embed_dim"):
        method.training(method.model(), torch.device("cpu"), ShardCache())


def test_the_student_sees_crops_of_the_size_that_it_is_made_for():
    method = changed(student=dataclasses.replace(QUICKSTART.student, image_size=56))
    training = method.training(method.model(), torch.device("cpu"), ShardCache())
    assert training.transform.size == method.image_size == 56
    assert training.transform.view_size == 56


def test_a_student_without_patch_embeddings_has_one_readout():
    method = changed(student=PLAIN, losses=ZeroSegPaper())
    assert method.readouts == ("segments",)
    assert method.segmenter(method.model()).readout == "segments"
    with pytest.raises(InputError, match="readout 'patches': this student has segments"):
        method.segmenter(method.model(), "patches")


def test_a_student_is_read_by_its_best_readout_unless_another_is_named():
    model = QUICKSTART.model()
    assert QUICKSTART.segmenter(model).readout == "patches"
    assert QUICKSTART.segmenter(model, "segments").readout == "segments"
