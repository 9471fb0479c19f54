"""A step's images, as the user states them, dealt to processes and to passes of the student."""

import itertools

from zeroseg.errors import InputError


def divide_batch(images: int, processes: int, most: int = 0) -> tuple[int, int]:
    """Images of each process in a step of `images` in all, and in how many equal passes it takes them.

    A pass has at most `most` images, 0 for no limit, and more than a quarter of it, so that an
    awkward number does not quietly become hundreds of tiny passes. Raises InputError naming the
    nearest numbers of images that can be divided so.
    """
    passes = _passes(images, processes, most)
    if passes is not None:
        return images // processes, passes
    around = (range(images - 1, 0, -1), itertools.count(images + 1))
    near = [
        next((n for n in numbers if _passes(n, processes, most) is not None), None)
        for numbers in around
    ]
    limit = f" in equal passes of at most {most}" if most else ""
    raise InputError(
        f"a step of {images} images cannot be dealt to {processes} processes{limit}: set "
        f"--data.batch-size to {' or '.join(str(n) for n in near if n)}"
    )


def _passes(images: int, processes: int, most: int) -> int | None:
    each, rest = divmod(images, processes)
    if rest or not each:
        return None
    fewest = -(-each // most) if most else 1
    return next((n for n in range(fewest, 2 * fewest + 1) if each % n == 0), None)
