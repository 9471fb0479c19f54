"""One step: the same whether taken whole or in passes, and none at all when it is not finite."""

import copy

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from zeroseg import CLIPConfig, ViewComposition, ViT, ZeroSeg, ZeroSegConfig, ZeroSegPaper
from zeroseg.data.batch import Batch
from zeroseg.data.views import ViewSet
from zeroseg.methods.method import same_rate
from zeroseg.training.average import WeightAverage
from zeroseg.training.objective import Step
from zeroseg.training.objectives import DistillationObjective
from zeroseg.training.optimization import Optimization, SkippedStep, parameter_groups
from zeroseg.training.teacher import Teacher

CONFIG = ZeroSegConfig(
    image_size=32,
    trunk=ViT(patch_size=8, width=32, depth=2, num_heads=2),
    embed_dim=16,
    decoder_depth=1,
    decoder_width=16,
    decoder_heads=2,
    assignment="soft",
    patch_embeddings=True,
)
VIEWS = ViewSet(grids=(1, 2))


def batch(seed: int = 0, images: int = 8) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8, generator=generator)
    embeddings = torch.randn(images, 5, 16, generator=generator)
    return Batch(tuple(f"{seed}-{i}" for i in range(images)), pixels, embeddings=embeddings)


def embedded(batch: Batch) -> torch.Tensor:
    assert batch.embeddings is not None
    return nn.functional.normalize(batch.embeddings, dim=-1)


class Spoilt:
    """The real objective, whose loss is spoilt for one batch."""

    def __init__(self, objective: DistillationObjective, key: str, factor: float) -> None:
        self.objective, self.key, self.factor = objective, key, factor

    def __call__(self, model, batch, step):
        said = self.objective(model, batch, step)
        factor = self.factor if self.key in batch.keys else 1.0
        return said._replace(losses={k: v * factor for k, v in said.losses.items()})


def optimization(
    passes=1, terms=None, average=0.0, spoil=None, clip=1.0, kind=torch.optim.AdamW
) -> Optimization:
    torch.manual_seed(0)
    accelerator = Accelerator()
    student = ZeroSeg(CONFIG)
    objective = DistillationObjective(
        Teacher(CLIPConfig(), VIEWS, 16, embedded), terms or ViewComposition(), 8
    )
    if spoil is not None:
        objective = Spoilt(objective, *spoil)
    optimizer = kind(parameter_groups(student, 0.05, same_rate), fused=True)
    model, optimizer = accelerator.prepare(student, optimizer)
    kept = WeightAverage(student, average) if average else None
    return Optimization(
        accelerator, model, optimizer, objective, passes=passes, clip_norm=clip, average=kept
    )


def watched(said: Step) -> dict[str, torch.Tensor]:
    """What does not jump where rounding changes which segment owns a patch."""
    return said.losses | {"gradient_norm": said.figures["gradient_norm"]}


def weights(made: Optimization) -> dict[str, torch.Tensor]:
    return {k: v.detach().clone() for k, v in made.model.named_parameters()}


@pytest.mark.parametrize("terms", [ViewComposition(), ZeroSegPaper()])
@pytest.mark.parametrize("passes", [2, 3, 8])
def test_several_passes_give_the_step_of_the_whole_batch(terms, passes):
    # A step of SGD is as large as the gradient; AdamW makes a whole step of what is rounding alone.
    whole, parts = (optimization(n, terms, kind=torch.optim.SGD) for n in (1, passes))
    for step in range(3):
        torch.manual_seed(step)
        expected = whole(batch(step), step, 0.1)
        torch.manual_seed(step)
        got = parts(batch(step), step, 0.1)
        assert expected.losses.keys() == got.losses.keys()
        for name, value in watched(expected).items():
            # Sums in another order in a dozen layers: at most a hundred roundings of 6e-8.
            torch.testing.assert_close(watched(got)[name], value, rtol=1e-5, atol=1e-5)
    # Three gradients of norm 1 at most, a tenth of each: a hundred roundings of 0.3.
    torch.testing.assert_close(weights(parts), weights(whole), rtol=0, atol=2e-6)


def test_the_gradient_norm_is_logged_as_it_was_before_clipping():
    loose, tight = optimization(clip=1e9), optimization(clip=1e-3)
    torch.manual_seed(0)
    expected = loose(batch(), 0, 1e-3).figures["gradient_norm"]
    torch.manual_seed(0)
    assert tight(batch(), 0, 1e-3).figures["gradient_norm"] == expected
    assert expected > 1e-3


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("passes", [1, 4])
def test_a_step_that_is_not_finite_changes_nothing_and_is_named(factor, passes):
    made = optimization(passes, spoil=("1-3", factor), average=0.5)
    made(batch(0), 0, 1e-3)
    before, state = weights(made), copy.deepcopy(made.optimizer.state_dict()["state"])
    assert made.average is not None
    average = made.average.tensors()
    assert made.skipped() == []
    made(batch(1), 1, 1e-3)
    for name, value in made.average.tensors().items():
        assert torch.equal(value, average[name]), name
    for name, value in weights(made).items():
        assert torch.equal(value, before[name]), name
    for number, values in made.optimizer.state_dict()["state"].items():
        assert all(torch.equal(v, state[number][k]) for k, v in values.items())
    made(batch(2), 2, 1e-3)
    assert made.skipped() == [SkippedStep(1, batch(1).keys)]
    assert made.skipped() == []
    after = weights(made)
    assert any(not torch.equal(after[name], value) for name, value in before.items())
    assert all(v.isfinite().all() for v in after.values())
    assert all(v.isfinite().all() for v in made.average.tensors().values())


def test_a_skipped_step_is_as_if_it_had_not_been():
    with_it, without = optimization(spoil=("1-0", float("nan"))), optimization()
    for number in (0, 1, 2):
        torch.manual_seed(number)
        with_it(batch(number), number, 1e-3)
        if number != 1:
            torch.manual_seed(number)
            without(batch(number), number, 1e-3)
    torch.testing.assert_close(weights(with_it), weights(without), rtol=0, atol=0)


class NoWaiting(TorchDispatchMode):
    """Fails where a value is read from the device: on a GPU, the host would wait for it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in (
            torch.ops.aten._local_scalar_dense.default,
            torch.ops.aten.nonzero.default,
            torch.ops.aten.masked_select.default,
        ):
            raise AssertionError(f"{func} waits for the device")
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("terms", [ViewComposition(), ZeroSegPaper()])
def test_a_step_reads_nothing_back_from_the_device(terms):
    made = optimization(2, terms, average=0.9)
    made(batch(0), 0, 1e-3)
    with NoWaiting():
        said = made(batch(1), 1, 1e-3)
        with pytest.raises(AssertionError, match="waits"):
            said.figures["gradient_norm"].item()


def test_the_average_of_the_weights_is_the_sum_that_it_should_be():
    made = optimization(average=0.75)
    expected = weights(made)
    for step in range(4):
        made(batch(step), step, 1e-2)
        now = weights(made)
        expected = {k: 0.75 * v + 0.25 * now[k] for k, v in expected.items()}
    assert made.average is not None
    for name, value in made.average.tensors().items():
        torch.testing.assert_close(value, expected[name])


def test_a_rate_is_scaled_by_the_group():
    made = optimization()
    for number, group in enumerate(made.optimizer.param_groups):
        group["scale"] = 0.5**number
    made(batch(), 0, 0.4)
    assert [g["lr"] for g in made.optimizer.param_groups] == [0.4, 0.2]
