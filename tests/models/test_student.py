import dataclasses

import pytest
import torch
import torch.nn.functional as F

from zeroseg.data.views import ViewSet, view_overlap
from zeroseg.errors import InputError
from zeroseg.models.clip import CLIPConfig
from zeroseg.models.grouping import assign
from zeroseg.models.vit import ViT
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig
from zeroseg.training import losses
from zeroseg.training.objectives import ViewComposition, Views, ZeroSegPaper

TINY = ZeroSegConfig(
    image_size=32,
    trunk=ViT(patch_size=8, width=16, depth=1, num_heads=2),
    embed_dim=6,
    decoder_depth=1,
    decoder_width=16,
    decoder_heads=2,
    head_layers=(1, 1, 1),
    segment_tokens=(6, 4),
    patch_embeddings=True,
)
READOUTS = pytest.mark.parametrize("readout", ["segments", "patches", "combined"])
TEACHER = CLIPConfig(architecture="zeroseg-scenes", weights="", mean=(0.1, 0.2, 0.3))


def student(**changes):
    torch.manual_seed(0)
    return ZeroSeg(dataclasses.replace(TINY, **changes))


def classes(count=5):
    return F.normalize(torch.randn(count, 6, generator=torch.Generator().manual_seed(1)), dim=-1)


def pictures(batch=2, height=32, width=32):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 48)])
@pytest.mark.parametrize("assignment", ["hard", "soft"])
def test_outputs_have_the_shapes_of_the_image(height, width, assignment):
    output = student(assignment=assignment)(pictures(3, height, width))
    patches = (height // 8) * (width // 8)
    visible = round(0.4 * patches)
    assert output.segments.shape == (3, 4, 6)
    assert output.assignment.shape == (3, 4, visible)
    assert output.global_feature.shape == (3, 6)
    assert output.patches.shape == (3, visible, 6)
    assert output.visible.shape == (3, visible)
    assert output.reconstruction.shape == (3, patches, 3 * 8 * 8)


def test_parts_that_are_left_out_give_nothing():
    output = student(decoder_depth=0, patch_embeddings=False)(pictures())
    assert output.reconstruction is None
    assert output.patches is None


@pytest.mark.parametrize(("ratio", "visible"), [(0.0, 16), (0.25, 12), (0.6, 6), (0.9, 2)])
def test_the_mask_ratio_sets_the_number_of_visible_patches(ratio, visible):
    assert student(mask_ratio=ratio)(pictures()).visible.shape == (2, visible)


def test_answering_sees_every_patch_and_reconstructs_nothing():
    output = student().segment(pictures(2, 16, 40))
    assert output.visible.tolist() == [list(range(10))] * 2
    assert output.reconstruction is None


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("how", ["hard", "soft"])
def test_every_patch_is_assigned_once_in_all(how, cosine):
    output = student(assignment=how, cosine_assignment=cosine)(pictures())
    total = output.assignment.sum(dim=1)
    torch.testing.assert_close(total, torch.ones_like(total))
    assert output.assignment.min() >= 0


def test_hard_assignment_gives_every_patch_to_one_segment():
    assignment = student(assignment="hard")(pictures()).assignment
    one_hot = F.one_hot(assignment.argmax(dim=1), 4).mT.float()
    torch.testing.assert_close(assignment, one_hot)


def test_soft_assignment_is_the_softmax_over_segments():
    logits = torch.randn(2, 3, 5)
    torch.testing.assert_close(assign(logits, "soft"), logits.softmax(dim=1))


def test_hard_assignment_follows_the_softmax_on_average():
    torch.manual_seed(0)
    logits = torch.tensor([1.0, 0.0, -1.0])[None, :, None].expand(1, -1, 20_000)
    share = assign(logits, "hard").mean(dim=2)[0]
    # A share of 20,000 draws is off by 0.0035 at most, on average; 0.02 is more than five times that.
    torch.testing.assert_close(share, logits[0, :, 0].softmax(dim=0), rtol=0, atol=0.02)


def test_hard_assignment_lets_gradients_through():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    (assign(logits, "hard") * torch.randn(2, 3, 5)).sum().backward()
    assert logits.grad.abs().sum() > 0


@READOUTS
def test_predictions_are_cosines_at_every_pixel_or_patch(readout):
    cosines = student().eval().predict(pictures(2, 24, 40), classes(), readout)
    assert cosines.shape == (2, 5, *((24, 40) if readout == "segments" else (3, 5)))
    assert cosines.abs().max() <= 1 + 1e-6  # a few roundings of float32


def test_a_patch_scores_its_cosine_with_each_class():
    model, images = student(), pictures(2, 24, 40)
    patches = F.normalize(model.segment(images).patches, dim=-1).unflatten(1, (3, 5))
    expected = torch.einsum("bhwe,ce->bchw", patches, classes())
    torch.testing.assert_close(model.predict(images, classes(), "patches"), expected)


def test_a_pixel_scores_as_the_segment_that_owns_it_most():
    model, images = student(), pictures(2, 24, 40)
    output = model.segment(images)
    owners = output.assignment.unflatten(2, (3, 5))
    owners = F.interpolate(owners, (24, 40), mode="bilinear").argmax(dim=1)
    cosines = F.normalize(output.segments, dim=-1) @ classes().T
    found = model.predict(images, classes(), "segments")
    for image, y, x in ((0, 0, 0), (0, 23, 39), (1, 11, 20), (1, 5, 33)):
        expected = cosines[image, owners[image, y, x]]
        torch.testing.assert_close(found[image, :, y, x], expected)


@READOUTS
def test_predictions_are_the_same_each_time_and_in_either_mode(readout):
    model = student()
    first = model.train().predict(pictures(), classes(), readout)
    assert torch.equal(model.predict(pictures(), classes(), readout), first)
    assert torch.equal(model.eval().predict(pictures(), classes(), readout), first)


@READOUTS
def test_permuted_classes_give_permuted_predictions(readout):
    model, order = student(), torch.tensor([3, 0, 4, 1, 2])
    straight = model.predict(pictures(), classes(), readout)
    permuted = model.predict(pictures(), classes()[order], readout)
    torch.testing.assert_close(permuted, straight[:, order])


@READOUTS
def test_images_of_a_batch_do_not_see_each_other(readout):
    model, images = student(), pictures(3)
    together = model.predict(images, classes(), readout)
    alone = torch.cat([model.predict(image[None], classes(), readout) for image in images])
    torch.testing.assert_close(together, alone)


def test_combined_readout_with_all_weight_on_patches_is_the_patches_readout():
    model = student(patch_share=1.0)
    combined, alone = (model.predict(pictures(), classes(), r) for r in ("combined", "patches"))
    torch.testing.assert_close(combined, alone)


@pytest.mark.parametrize("readout", ["patches", "combined"])
def test_readouts_by_patch_need_patch_embeddings(readout):
    with pytest.raises(InputError, match="patch_embeddings"):
        student(patch_embeddings=False).predict(pictures(), classes(), readout)


def test_sizes_that_patches_do_not_divide_are_refused():
    for use in (student(), student().segment, lambda x: student().predict(x, classes())):
        with pytest.raises(InputError, match="20 x 32"):
            use(pictures(1, 20, 32))
    with pytest.raises(InputError, match="multiples of 8"):
        student(image_size=30)


@pytest.mark.parametrize("terms", [ZeroSegPaper(), ViewComposition()])
def test_a_tiny_student_overfits_one_batch(terms):
    model, images, chosen = (
        student(mask_ratio=0.25, assignment="soft"),
        pictures(4),
        ViewSet(grids=(1, 2)),
    )
    embeddings = F.normalize(torch.randn(4, 5, 6), dim=-1)
    views = Views(embeddings, chosen, view_overlap(chosen, (32, 32), 8))
    target = losses.patchify(images, 8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    totals = []
    for step in range(40):
        output = model(images)
        parts = terms(output, views, step)
        painted = losses.reconstruction_loss(output.reconstruction, target, output.visible)
        total = sum(parts.values()) + painted
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert sum(totals[-5:]) < 0.7 * sum(totals[:5])


def test_every_parameter_is_reached_by_some_loss():
    model = student()
    output = model(pictures())
    parts = [output.segments, output.global_feature, output.patches, output.reconstruction]
    sum(part.square().sum() for part in parts).backward()
    unreached = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert unreached == []


def test_every_parameter_has_an_axis_to_be_divided_by():
    parameters = dict(student(cosine_assignment=True).named_parameters())
    assert parameters["head.grouping_1.scale"].tolist() == [10.0]
    assert [name for name, parameter in parameters.items() if parameter.ndim == 0] == []


@pytest.mark.parametrize("readout", ["segments", "patches", "combined"])
def test_zoom_reads_the_picture_enlarged_and_answers_for_the_same_places(readout):
    usual, zoomed = student(), student(zoom=1.5)
    images = pictures(2, 32, 48)
    enlarged = F.interpolate(images, (48, 72), mode="bicubic", antialias=True).clamp(0, 1)
    output = zoomed.eval().segment(images)
    assert output.grid == (6, 9)
    torch.testing.assert_close(output.patches, usual.eval().segment(enlarged).patches)
    answers = zoomed.predict(images, classes(), readout)
    assert answers.shape[2:] == ((32, 48) if readout == "segments" else (6, 9))


def test_zoom_changes_nothing_of_training():
    torch.manual_seed(3)
    expected = student()(pictures())
    torch.manual_seed(3)
    zoomed = student(zoom=2.0)(pictures())
    assert torch.equal(expected.segments, zoomed.segments)


def test_a_zoom_of_nothing_is_refused():
    with pytest.raises(InputError, match=r"student\.zoom is 0\.0"):
        student(zoom=0.0)


def test_a_detached_head_moves_neither_trunk_nor_patch_embeddings():
    model = student(detached_head=True, decoder_depth=0)
    output = model(pictures())
    (output.segments.sum() + output.global_feature.sum()).backward()
    assert all(p.grad is None for p in model.trunk.parameters())
    assert all(p.grad is not None for p in model.head.parameters())
    model(pictures()).patches.sum().backward()
    assert all(p.grad is not None for p in model.trunk.parameters())


def test_detaching_changes_no_output():
    usual, detached = (
        student(detached_head=how).eval().segment(pictures()) for how in (False, True)
    )
    assert torch.equal(usual.segments, detached.segments)


def test_reading_assigns_patches_by_what_they_are():
    model, images = student(regrouping=20.0).eval(), pictures()
    bare, read = model.segment(images), model.read(images)
    unit = F.normalize(bare.patches, dim=-1)
    logits = bare.assignment.log() + 20 * F.normalize(bare.segments, dim=-1) @ unit.mT
    torch.testing.assert_close(read.assignment, logits.softmax(dim=1))
    torch.testing.assert_close(read.segments, F.normalize(read.assignment @ unit, dim=-1))
    assert torch.equal(student().eval().read(images).assignment, bare.assignment)
