"""Programs of torch.export, whose batches, sizes and words are free, and files made of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.fx.experimental._config
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from zeroseg.errors import InputError
from zeroseg.export.description import KEY, ExportedModel, ExportedText, Precision
from zeroseg.records import to_json

OPSET = 18
"""The first whose resizing is antialiased, as positions are resampled."""
BYTES = 1_900_000_000
"""Of weights; an ONNX file holds two gigabytes."""


def image_program(graph: nn.Module, multiple: int, embed_dim: int) -> ExportedProgram:
    """The graph of images, for sides that are multiples of `multiple`, at least twice."""
    images = torch.rand(2, 3, 7 * multiple, 9 * multiple)
    classes = nn.functional.normalize(torch.randn(5, embed_dim), dim=1)
    free = ({0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}, {0: Dim.DYNAMIC})
    return _program(graph, (images, classes), free)


def text_program(graph: nn.Module, context_length: int) -> ExportedProgram:
    """The graph of tokens, for any number of texts."""
    return _program(graph, (torch.ones(3, context_length, dtype=torch.int64),), ({0: Dim.DYNAMIC},))


def _program(graph: nn.Module, examples: tuple[Tensor, ...], free: Any) -> ExportedProgram:
    settings: Any = torch.fx.experimental._config
    # A size that an example happens to have, or one, must not be taken for the only one.
    with (
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
        settings.patch(backed_size_oblivious=True),
    ):
        try:
            return torch.export.export(graph.eval(), examples, dynamic_shapes=free, strict=False)
        except Exception as error:  # torch raises many kinds
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"torch cannot export this model for images of any size: {reason}"
            ) from error


def save_torch(program: ExportedProgram, path: Path, about: ExportedModel | ExportedText) -> None:
    """Write a `.pt2` file, with what it says of itself beside the program in it."""
    extra: dict[str, Any] = {f"{KEY}.json": json.dumps(to_json(about))}
    torch.export.save(program, path, extra_files=extra)


def save_onnx(
    program: ExportedProgram, path: Path, inputs: list[str], output: str, precision: Precision
) -> None:
    """Write an ONNX file. Raises InputError for a model that is too large for one, or has an operation that
    ONNX lacks."""
    size = sum(t.numel() * t.element_size() for t in program.state_dict.values())
    if size > BYTES:
        raise InputError(
            f"the weights are {size / 1e9:.1f} GB, an ONNX file holds 2: zeroseg export torch"
        )
    try:
        made = torch.onnx.export(
            program,
            input_names=inputs,
            output_names=[output],
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            custom_translation_table=_translations(),
        )
    except Exception as error:  # torch and onnxscript raise many kinds
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise InputError(f"this model cannot be written as ONNX: {reason}") from error
    assert made is not None
    made.save(path, external_data=False)
    convert(path, precision)


def convert(path: Path, precision: Precision) -> None:
    """Bring the weights of an ONNX file to another precision, in place."""
    if precision == "fp16":
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16

        onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)
    elif precision == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(
            path, path, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"]
        )


def describe(path: Path, about: ExportedModel | ExportedText) -> None:
    """Set what an ONNX file says of itself."""
    import onnx

    model = onnx.load(path)
    model.producer_name = KEY
    onnx.helper.set_model_props(model, {KEY: json.dumps(to_json(about))})
    onnx.save(model, path)


def _translations() -> dict[Callable, Callable]:
    """Of Python's own functions that sizes pass, for which torch has none."""
    from onnxscript import opset18

    def rounded(number: Any, digits: None = None) -> Any:
        return opset18.Cast(opset18.Round(number), to=7)  # int64; of halves the even one, as Python

    return {round: rounded}
