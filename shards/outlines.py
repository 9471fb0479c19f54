"""COCO's outlines, polygons or run lengths, as masks.

Checked before pycocotools sees them: it takes four numbers for a box, reads past what is too short, and
numbers that are none or far away end the process.
"""

from typing import Any, TypeGuard

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from shards.sample import BadSample

_FEWEST = 6
"""Numbers of a polygon that covers anything: three points."""
_MOST_BITS = 64
"""Of a run length in text."""


def covered(outline: Any, height: int, width: int) -> Bool[ndarray, "height width"]:
    """Pixels inside an outline as COCO's JSON has it: a list of polygons `[x, y, x, y, ...]`, or run
    lengths, `{"size": [height, width], "counts": text or list}`.

    A polygon of fewer than three points covers nothing, and so does an empty list. Raises BadSample
    saying what is malformed: no list, half a point, what is no number or lies further outside than
    the picture is large, run lengths of another size.
    """
    if isinstance(outline, dict):
        return _from_runs(outline, height, width)
    if not isinstance(outline, list):
        raise BadSample(f"an outline is {shown(outline)}, no polygons and no run lengths")
    inside = np.zeros((height, width), bool)
    polygons = []
    for part in outline:
        if isinstance(part, dict):
            inside |= _from_runs(part, height, width)
        else:
            _check_polygon(part, height, width)
            polygons.append(part)
    drawable = [polygon for polygon in polygons if len(polygon) >= _FEWEST]
    return inside | _from_polygons(drawable, height, width) if drawable else inside


def _from_polygons(polygons: list[Any], height: int, width: int) -> Bool[ndarray, "height width"]:
    from pycocotools import mask

    return mask.decode(mask.merge(mask.frPyObjects(polygons, height, width))).astype(bool)


def _check_polygon(polygon: Any, height: int, width: int) -> None:
    if not isinstance(polygon, list):
        raise BadSample(f"a polygon is {shown(polygon)}, no list of numbers")
    if len(polygon) % 2:
        raise BadSample(f"a polygon has {len(polygon)} numbers, half a point")
    for place, value in enumerate(polygon):
        side = height if place % 2 else width
        if not is_number(value) or not -side <= value <= 2 * side:
            raise BadSample(
                f"a polygon has the coordinate {shown(value)}, no number near {width}x{height} pixels"
            )


def _from_runs(runs: Any, height: int, width: int) -> Bool[ndarray, "height width"]:
    """Lengths of runs down the columns, outside and inside in turn."""
    size, counts = runs.get("size"), runs.get("counts")
    if size != [height, width]:
        raise BadSample(f"run lengths are of size {shown(size)}, not of {[height, width]}")
    lengths = _unpacked(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(is_number(n) and n == int(n) for n in lengths):
        raise BadSample(f"run lengths are {shown(counts)}, no counts")
    if min(lengths, default=0) < 0 or sum(lengths) != height * width:
        raise BadSample(f"run lengths do not add up to {height * width} pixels")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, np.array(lengths, np.int64)).reshape(width, height).T


def _unpacked(text: str) -> list[int]:
    """Run lengths from COCO's text: base 32, least digit first, from the third on less the last but
    one. A character is 48 more than a digit, with 32 where another follows; 16 in the last is the
    sign."""
    lengths: list[int] = []
    value, shift = 0, 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64:
            raise BadSample(f"run lengths have the character {character!r}")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            if shift > _MOST_BITS:
                raise BadSample("run lengths have a number without end")
            continue
        value -= (1 << shift) if digit & 16 else 0
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise BadSample("run lengths end inside a number")
    return lengths


def is_number(value: Any) -> TypeGuard[float]:
    """Whether this is a number of JSON's, and finite."""
    return type(value) is int or (type(value) is float and np.isfinite(value))


def shown(value: Any) -> str:
    """A value in so many words as fit a line."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
