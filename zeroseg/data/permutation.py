"""A permutation as a function: where any one place goes, without a table of all of them."""

import numpy as np
from jaxtyping import Int
from numpy import ndarray

ROUNDS = 6
"""Of the network. Two mix too little, four are indistinguishable from chance in theory (Luby and Rackoff,
1988); the rest is for small sizes."""
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def permuted(places: Int[ndarray, " n"], size: int, key: tuple[int, ...]) -> Int[ndarray, " n"]:
    """Where each of the places 0 to size - 1 goes, no two to the same. Equal on every machine.

    A Feistel network over the cells of a near-square table, whose few cells too many are walked past
    (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002, sections 3 and 4); its
    rounds are those of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). For shuffling, not for secrets.
    `key` is numbers of at least 0.
    """
    width = max(1, round(size**0.5))
    height = -(-size // width)
    keys = np.random.SeedSequence(key).generate_state(ROUNDS, np.uint64)
    found = np.asarray(places, np.uint64)
    outside = slice(None)
    while True:
        found[outside] = _network(found[outside], np.uint64(width), np.uint64(height), keys)
        outside = np.flatnonzero(found >= size)
        if not outside.size:
            return found.astype(np.int64)


def _network(cells: ndarray, width: np.uint64, height: np.uint64, keys: ndarray) -> ndarray:
    row, column = np.divmod(cells, width)
    for number, key in enumerate(keys):
        if number % 2:
            column = (column + _mixed(row + key)) % width
        else:
            row = (row + _mixed(column + key)) % height
    return row * width + column


def _mixed(values: ndarray) -> ndarray:
    """SplitMix64's finisher, without the bits that a sum with a place could carry out of 64."""
    for shift, multiplier in zip((np.uint64(30), np.uint64(27)), _MULTIPLIERS, strict=True):
        values = (values ^ (values >> shift)) * multiplier
    return (values ^ (values >> np.uint64(31))) >> np.uint64(16)
