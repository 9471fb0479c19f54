"""Random numbers inside a step, as a function of the image and the step alone."""

import hashlib

import torch


def generator_for(key: str, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of an image's numbers in a step, whatever the rank and whatever else is in the batch.

    Numbers of a CPU and of a GPU differ.
    """
    digest = hashlib.blake2b(f"{step}/{key}".encode(), digest_size=7).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest))
