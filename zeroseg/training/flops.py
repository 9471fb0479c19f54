"""Floating-point operations, as torch counts them on tensors that have shapes and no values.

Two operations a multiply-add; matrix products, convolutions and attention alone, which are all but a
few thousandths.
"""

import copy
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensor, FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from zeroseg.data.batch import Batch
from zeroseg.errors import InputError
from zeroseg.training.objective import Objective


class WithoutValues(FakeTensorMode):
    """Mode in which nothing is computed: tensors have shapes and no values, real ones included."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> Any:
        """One operation. Torch's own would do a sum of real tensors alone, even one in place."""
        kwargs = kwargs or {}
        if func not in self.lift_fns:  # those make constants, whose values may be asked for
            args, kwargs = tree_map_only(Tensor, self._fake, (args, kwargs))
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _fake(self, tensor: Tensor) -> Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self.from_tensor(tensor)


@contextmanager
def flop_counter(mode: WithoutValues | None = None) -> Iterator[FlopCounterMode]:
    """Counter of what is called inside, none of which is computed: `get_total_flops()` is the sum.

    Real tensors stay as they are and no random number is drawn. Tensors without values that are to be
    used inside must be of the same mode.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    # nn.MultiheadAttention's fast path is one operation that the counter does not look into.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            mode or WithoutValues(),
            FlopCounterMode(display=False) as counter,
            # As products: a fused kernel makes one of them twice, which a model does not ask for.
            sdpa_kernel(SDPBackend.MATH),
        ):
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class StepFlops:
    """Counter of an image's share of a training step, for any model and objective.

    It keeps a copy of the model without values, so it is made before the model is told to compute
    activations again, compiled, or shared by FSDP2: what is counted is the model's arithmetic,
    however it is carried out.
    """

    def __init__(self, model: nn.Module) -> None:
        self._mode = WithoutValues()
        with FakeCopyMode(self._mode):
            self._model = copy.deepcopy(model)

    def __call__(self, objective: Objective, batch: Batch) -> float | None:
        """FLOPs of the forward pass, a teacher's included, and of the backward pass, an image.

        None, and the reason on standard error, for an objective that cannot do without values, such
        as one that branches on them.
        """
        few = batch.split(len(batch.keys) // 2)[0]  # one image alone is no batch to a batch norm
        try:
            with flop_counter(self._mode) as counter:
                losses = objective(self._model.train(), few, 0).losses
                loss = torch.stack(list(losses.values())).sum()
                trained = [p for p in self._model.parameters() if p.requires_grad]
                torch.autograd.grad(loss, trained, allow_unused=True)
        except InputError:
            raise
        except Exception as error:  # whatever the objective's code makes of tensors without values
            tqdm.write(f"MFU is not shown, operations cannot be counted: {error}", file=sys.stderr)
            return None
        return counter.get_total_flops() / len(few.keys)
