import contextlib
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator

from tests.support.jobs import done
from zeroseg.models.vit import Blocks, ViT
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig


def student(*, recompute: bool, depth: int = 4, **changes) -> ZeroSeg:
    torch.manual_seed(0)
    trunk = ViT(patch_size=8, width=16, depth=depth, num_heads=2)
    decoder = {"decoder_depth": 2, "decoder_width": 16, "decoder_heads": 2}
    parts = decoder | {
        "image_size": 32,
        "trunk": trunk,
        "embed_dim": 6,
        "segment_tokens": (6, 4),
        "patch_embeddings": True,
    }
    model = ZeroSeg(ZeroSegConfig(**parts | {"mask_ratio": 0.6} | changes))
    if recompute:
        model.checkpoint_activations()
    return model


def pictures(batch=2):
    return torch.rand(batch, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def total(output):
    parts = (output.segments, output.global_feature, output.patches, output.reconstruction)
    return torch.stack([part.square().mean() for part in parts]).sum()


def one_step(model, bf16):
    """Outputs and gradients of a step, and the random number that follows it."""
    torch.manual_seed(3)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = model(pictures())
    total(output).backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    *tensors, _ = output
    return [*tensors, *gradients, torch.rand(1)]


@contextlib.contextmanager
def held():
    """Tensors that the forward pass keeps for the backward pass, by the address of their storage."""
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


def activation_bytes(model, kept):
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in weights)


@pytest.mark.parametrize("assignment", ["hard", "soft"])
@pytest.mark.parametrize("bf16", [False, True])
def test_recomputed_activations_change_no_number_and_draw_nothing_twice(assignment, bf16):
    usual, again = (
        one_step(student(recompute=recompute, assignment=assignment), bf16)
        for recompute in (False, True)
    )
    assert len(usual) == len(again)
    assert all(torch.equal(a, b) for a, b in zip(usual, again, strict=True))


@pytest.mark.parametrize("depth", [1, 3])
def test_a_stack_that_recomputes_holds_the_input_of_each_block_and_no_more(depth):
    stack, tokens = Blocks(depth, 16, 2), torch.randn(2, 5, 16)
    stack.recompute = True
    with held() as kept:
        stack(tokens)
    assert activation_bytes(stack, kept) == depth * tokens.nbytes


def test_a_student_that_recomputes_holds_less_than_half():
    sizes = []
    for recompute in (False, True):
        model = student(recompute=recompute)
        with held() as kept:
            output = model(pictures())
        sizes.append(activation_bytes(model, kept))
        total(output).backward()
    assert sizes[1] < sizes[0] / 2


def test_names_and_answers_of_a_student_that_recomputes_are_the_usual_ones():
    usual, again = student(recompute=False), student(recompute=True)
    assert list(usual.state_dict()) == list(again.state_dict())
    classes = F.normalize(torch.randn(5, 6), dim=-1)
    with held() as kept:
        probabilities = again.predict(pictures(), classes)
    assert kept == {}
    assert torch.equal(probabilities, usual.predict(pictures(), classes))


def one_of_two(folder: Path) -> None:
    accelerator = Accelerator(cpu=True)
    rank = accelerator.process_index
    for recompute in (False, True):
        model = student(recompute=recompute, mask_ratio=0.0, assignment="soft")
        wrapped = accelerator.prepare(model)
        for image in pictures()[rank].expand(2, 1, -1, -1, -1):
            accelerator.backward(total(wrapped(image)) / 2)
        gradients = [parameter.grad for parameter in model.parameters()]
        torch.save(gradients, folder / f"{recompute}-{rank}.pt")
    accelerator.end_training()


def test_two_processes_that_recompute_share_the_gradient_of_the_whole_batch(tmp_path):
    done(one_of_two, tmp_path, ranks=2)
    names = ("False-0", "True-0", "True-1")
    usual, again, other = (torch.load(tmp_path / f"{name}.pt") for name in names)
    for ours, theirs, shared in zip(usual, other, again, strict=True):
        assert torch.equal(ours, shared)
        assert torch.equal(theirs, shared)
    model = student(recompute=False, mask_ratio=0.0, assignment="soft")
    total(model(pictures())).backward()
    for parameter, shared in zip(model.parameters(), again, strict=True):
        torch.testing.assert_close(shared, parameter.grad)


def compiled() -> None:
    model = student(recompute=False, depth=1, head_layers=(0, 0, 0), decoder_depth=1)
    names, expected = list(model.state_dict()), one_step(model, bf16=False)
    model.zero_grad()
    model.compile(backend="aot_eager")
    for got, value in zip(one_step(model, bf16=False), expected, strict=True):
        torch.testing.assert_close(got, value)
    assert list(model.state_dict()) == names
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1


def test_a_compiled_student_computes_the_same_under_the_same_names():
    """In a process of its own, where no shapes are checked. Traced, not turned into C++: minutes."""
    done(compiled)
