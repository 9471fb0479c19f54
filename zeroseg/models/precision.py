"""Where bfloat16 pays."""

import torch


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices faster than float32 ones.

    True on GPUs from Ampere on and on CPUs with AMX; elsewhere a CPU emulates it, about 4 times
    slower than float32.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()
