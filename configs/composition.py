"""What our configs share: a student for `ViewComposition`."""

from typing import Any

from zeroseg import ZeroSegConfig


def composition_student(**shape: Any) -> ZeroSegConfig:
    """A student as our objective wants it: soft grouping by cosine, and patch embeddings.

    `shape`: the fields of `ZeroSegConfig` that a config sets itself.
    """
    return ZeroSegConfig(
        assignment="soft",
        cosine_assignment=True,
        token_std=1.0,
        patch_embeddings=True,
        **shape,
    )
