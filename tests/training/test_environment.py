"""What is left in the environment changes no numbers: it is refused by name, or without effect."""

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from zeroseg import InputError
from zeroseg.training.environment import check_environment, check_training_environment
from zeroseg.training.processes import make_accelerator

LAUNCHED = {
    "ACCELERATE_USE_CPU": "False",
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_DYNAMO_BACKEND": "NO",
    "ACCELERATE_DYNAMO_MODE": "default",
    "ACCELERATE_DYNAMO_USE_FULLGRAPH": "False",
    "ACCELERATE_DYNAMO_USE_DYNAMIC": "False",
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "OMP_NUM_THREADS": "1",
}
"""What `accelerate launch` itself says with the files of configs/accelerate."""


def test_what_accelerate_launch_says_by_itself_is_no_wish():
    for environment in ({}, LAUNCHED, LAUNCHED | {"ACCELERATE_MIXED_PRECISION": "no"}):
        check_environment(environment, gpu=True)
        check_training_environment(environment, main=True)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4", "--micro-batch"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "auto", "--micro-batch"),
        ("ACCELERATE_MIXED_PRECISION", "fp16", "--precision"),
        ("ACCELERATE_MIXED_PRECISION", "FP8", "--precision"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "--compile"),
        ("FSDP_IGNORED_MODULES", "head", "alike"),
    ],
)
def test_another_training_is_refused_by_the_variable_and_the_field(name, value, field):
    check_environment({name: value}, gpu=True)  # nothing to programs that do not train
    with pytest.raises(InputError, match=f"^{name}={value} .*{field}") as caught:
        check_training_environment({name: value}, main=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCELERATE_USE_DEEPSPEED", "true"),
        ("ACCELERATE_USE_MEGATRON_LM", "1"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true"),
        ("ACCELERATE_USE_SAGEMAKER", "True"),
        ("ACCELERATE_USE_IPEX", "yes"),
        ("ACCELERATE_FP8_BACKEND", "TE"),
        ("ACCELERATE_DOWNCAST_BF16", "1"),
        ("XLA_USE_BF16", "1"),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16"),
        ("NVIDIA_TF32_OVERRIDE", "1"),
        ("NVIDIA_TF32_OVERRIDE", "0"),
        ("ACCELERATE_USE_CPU", "perhaps"),
        ("ACCELERATE_TORCH_DEVICE", "gpu"),
    ],
)
def test_other_numbers_are_refused_by_the_variable(name, value):
    with pytest.raises(InputError, match=f"^{name}={value} "):
        check_environment({name: value}, gpu=True)
    if name == "NVIDIA_TF32_OVERRIDE":
        check_environment({name: value}, gpu=False)


def test_a_wish_without_effect_is_said_by_the_main_process(capsys):
    for main in (False, True):
        check_training_environment({"ACCELERATE_GRADIENT_CLIPPING": "0.5"}, main=main)
        assert ("has no effect: --clip-norm" in capsys.readouterr().err) == main


def test_nothing_is_taken_from_the_environment_that_is_not_refused(monkeypatch, capsys):
    wishes = {
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
        "ACCELERATE_DYNAMO_BACKEND": "INDUCTOR",
        "ACCELERATE_MIXED_PRECISION": "fp16",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
    }
    for name, value in wishes.items():
        monkeypatch.setenv(name, value)
    torch.set_float32_matmul_precision("high")  # as torch does when it is imported
    accelerator = make_accelerator("no")
    assert accelerator.mixed_precision == "no"
    assert GradientState().num_steps == 1
    assert AcceleratorState().dynamo_plugin.backend == "NO"
    assert torch.get_float32_matmul_precision() == "highest"
    said = capsys.readouterr().err
    assert "ACCELERATE_MIXED_PRECISION=fp16 is not followed: this is computed in float32" in said
    assert "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE is not followed" in said
