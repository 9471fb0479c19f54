"""A student with its teacher at test: any size, any readout, windows, and its cost."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from tests.support.queries import queries
from zeroseg.data.views import ViewSet, Windows, cut_views, view_overlap
from zeroseg.datasets.queries import Queries
from zeroseg.errors import InputError
from zeroseg.evaluation.corrected import CorrectedStudent, Cost
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.inference import window_scores
from zeroseg.evaluation.segmenters import Student
from zeroseg.methods.distillation import Distillation
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.prompts import SIMPLE
from zeroseg.models.readouts import Readout
from zeroseg.models.segmenter import Segmenter, ShowsSegments
from zeroseg.models.vit import ViT
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig
from zeroseg.training.objectives import ViewComposition
from zeroseg.training.teacher import OnlineTeacher

READOUTS: tuple[Readout, ...] = ("segments", "patches", "combined")
VIEWS = ViewSet(grids=(1, 2), windows=(Windows(size=0.5, stride=0.3),))
TEACHER = CLIPConfig(architecture="zeroseg-scenes", weights="", precision="fp32")
TRUNK = ViT(patch_size=8, width=16, depth=1, num_heads=2)
CONFIG = ZeroSegConfig(
    image_size=32, trunk=TRUNK, embed_dim=64, decoder_depth=0, patch_embeddings=True
)


@pytest.fixture(scope="module")
def clip() -> CLIP:
    return CLIP(TEACHER)


@pytest.fixture(scope="module")
def asked(clip) -> Queries:
    return queries(clip.class_embeddings(("red ball", "grass", "sky"), SIMPLE))


@pytest.fixture(scope="module")
def model() -> ZeroSeg:
    return ZeroSeg(CONFIG).eval()


def images(size: tuple[int, int], count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1))


def corrected(model, clip, readout: Readout = "patches", **fields) -> CorrectedStudent:
    return CorrectedStudent(Student(model, readout), clip, Correction(views=VIEWS, **fields))


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["mean", "solve", "fused"])
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("size", [(32, 32), (48, 72)])
def test_it_answers_where_its_student_does(model, clip, asked, kind, readout, size):
    segmenter = corrected(model, clip, readout, kind=kind)
    assert isinstance(segmenter, Segmenter)
    assert isinstance(segmenter, ShowsSegments)
    alone = Student(model, readout)
    assert segmenter.multiple == alone.multiple
    found, before = segmenter.predict(images(size), asked), alone.predict(images(size), asked)
    assert found.shape == before.shape
    assert (found - before).abs().max() > 0.01
    assert found.abs().max() <= 1 + 1e-5
    owner = segmenter.segments(images(size), size)
    assert owner.shape == (2, *size)
    assert int(owner.max()) < 8


def test_with_ever_more_noise_it_is_its_student_alone(model, clip, asked):
    segmenter, picture = corrected(model, clip, kind="solve", noise=1e9), images((48, 72))
    close(segmenter.predict(picture, asked), Student(model, "patches").predict(picture, asked))


def test_a_student_without_patch_embeddings_has_its_segments_corrected(clip, asked):
    plain = ZeroSeg(dataclasses.replace(CONFIG, patch_embeddings=False)).eval()
    picture, alone = images((48, 72)), Student(plain, "segments")
    found = CorrectedStudent(alone, clip, Correction(kind="solve")).predict(picture, asked)
    assert (found - alone.predict(picture, asked)).abs().max() > 0.01
    much = Correction(kind="solve", segment_noise=1e9)
    close(
        CorrectedStudent(alone, clip, much).predict(picture, asked), alone.predict(picture, asked)
    )


@pytest.mark.parametrize("readout", READOUTS)
def test_an_image_is_answered_alike_alone_and_in_a_batch(model, clip, asked, readout):
    segmenter, pair = corrected(model, clip, readout, kind="solve"), images((48, 64))
    alone = torch.cat([segmenter.predict(image[None], asked) for image in pair])
    close(segmenter.predict(pair, asked), alone)


def test_each_window_is_corrected_by_views_of_its_own(model, clip, asked):
    segmenter, picture = corrected(model, clip, kind="solve"), images((32, 48), 1)
    found = window_scores(segmenter, picture, asked, window=32, stride=16)
    left, right = (segmenter.predict(picture[..., x : x + 32], asked) for x in (0, 16))
    close(found.grids, torch.cat([left, right], dim=3))


def test_what_the_views_say_together_comes_nearer_to_the_teacher(model, clip, asked):
    """Of a student that knows nothing: the solved patches agree with the views more, by far."""
    picture, size = images((48, 64)), (48, 64)
    seen = clip.encode_views(cut_views(picture, VIEWS, clip.image_size))
    overlap = view_overlap(VIEWS, size, 8)
    shares = overlap / overlap.sum(dim=1, keepdim=True)
    before = model.segment(picture)
    after = Correction(kind="solve", views=VIEWS).corrected(before, overlap, seen)
    agreement = [
        F.cosine_similarity(shares @ F.normalize(output.patches, dim=-1), seen, dim=-1).mean()
        for output in (before, after)
    ]
    assert agreement[1] > 0.8 > agreement[0]


def test_a_student_that_reads_the_picture_enlarged_is_corrected_at_its_own_patches(clip, asked):
    finer = ZeroSeg(dataclasses.replace(CONFIG, zoom=1.5)).eval()
    found = corrected(finer, clip, kind="solve").predict(images((32, 48)), asked)
    assert found.shape == Student(finer, "patches").predict(images((32, 48)), asked).shape
    assert found.shape[2] > 4


def test_its_cost_is_told_by_its_parts(model, clip, asked):
    segmenter = corrected(model, clip, kind="solve")
    assert str(segmenter.cost) == ""
    segmenter.predict(images((32, 32), 3), asked)
    segmenter.predict(images((32, 32), 2), asked)
    assert segmenter.cost.images == 5
    assert list(segmenter.cost.seconds) == ["student", "teacher's views", "correction"]
    assert all(seconds > 0 for seconds in segmenter.cost.seconds.values())
    assert str(Cost(4, {"student": 0.1, "solve": 0.02})) == "student 25.00 ms, solve 5.00 ms"


def method(config: ZeroSegConfig = CONFIG) -> Distillation:
    return Distillation(
        student=config, teacher=OnlineTeacher(clip=TEACHER), losses=ViewComposition()
    )


def test_a_distilled_student_is_corrected_by_its_best_readout_unless_another_is_named(model, clip):
    solve = Correction(kind="solve")
    found = method().corrected(model, "", clip, solve)
    assert found == CorrectedStudent(Student(model, "patches"), clip, solve)
    assert method().corrected(model, "segments", clip, solve).student.readout == "segments"
    assert method().corrected(model, "segments", clip, Correction()) == Student(model, "segments")


def test_a_correction_that_is_not_chosen_yet_is_refused(model, clip):
    with pytest.raises(
        InputError, match=r"correction\.kind is held-out: choose mean, solve, fused or"
    ):
        method().corrected(model, "", clip, Correction(kind="held-out"))
