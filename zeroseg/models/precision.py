"""Where bfloat16 pays."""

import torch


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices faster than float32 ones.

    True on GPUs from Ampere on and on CPUs with AMX that torch may use; elsewhere a CPU emulates it,
    about 4 times slower than float32.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    # What torch itself may use, as $ATEN_CPU_CAPABILITY can hold it to less than there is: below AVX-512
    # its bfloat16 kernels are slow, and its attention has none.
    may_use_amx = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return device.type == "cpu" and may_use_amx and torch.cpu._is_amx_tile_supported()
