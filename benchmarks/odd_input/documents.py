"""Lists, JSON, `.mat` and Parquet files broken at random, and a strict reading of `.mat`."""

import io
import json
import random
import struct
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.io import loadmat, savemat

from benchmarks.odd_input.damage import NAMES, any_damage, deep, other_value
from benchmarks.odd_input.pictures import IGNORED, Ids


def broken_json(rng: random.Random, data: bytes) -> bytes:
    """JSON with other values, deeper, in another encoding, or damaged."""
    action = rng.random()
    if action < 0.25:
        return any_damage(rng, data)
    if action < 0.35:
        wide = data.decode(errors="replace").encode("utf-16")
        encodings = (b"\xef\xbb\xbf" + data, wide, b"\xe9" + data)
        return rng.choice((deep(rng), b"9" * 5000, data + b"\n" + data, *encodings))
    try:
        value = json.loads(data)
    except ValueError:  # it was broken before
        return any_damage(rng, data)
    for _ in range(rng.choice((1, 1, 3))):
        value = other_value(rng, value)
    return json.dumps(value).encode()


def broken_markup(rng: random.Random, data: bytes) -> bytes:
    """XML with other attributes, or damaged."""
    if rng.random() < 0.4:
        return any_damage(rng, data)
    words = data.split(b'"')
    odd = (
        b"",
        b"nan",
        b"inf",
        b"-1e308",
        b"1e9",
        b"x",
        b"1;2",
        b"9" * 400,
        b"../p0.jpg",
        b"&#x2028;",
    )
    words[rng.randrange(1, len(words), 2) if len(words) > 1 else 0] = rng.choice(odd)
    return b'"'.join(words)


def broken_list(rng: random.Random, data: bytes) -> bytes:
    """A list of names with odd lines, or damaged."""
    action, lines = rng.random(), data.split(b"\n")
    if action < 0.4:
        return any_damage(rng, data)
    if action < 0.6:
        wide = data.decode(errors="replace").encode("utf-16")
        options = (data.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + data, wide)
        return rng.choice((*options, data.rstrip(b"\n"), b"\n\n" + data, data.upper()))
    place = rng.randrange(len(lines))
    odd = (
        b"",
        lines[place],
        b"../p0",
        b"/etc/passwd",
        b"\0",
        b"caf\xe9",
        b"p0 1",
        b"nowhere",
        b"p" * 300,
    )
    lines.insert(place, rng.choice((*odd, rng.choice(NAMES).encode(errors="surrogateescape"))))
    return b"\n".join(lines)


def mat(name: str, value: object, *, packed: bool = True) -> bytes:
    """A MATLAB file of one variable."""
    buffer = io.BytesIO()
    savemat(buffer, {name: value}, do_compression=packed)
    return buffer.getvalue()


def segmentation(ids: Ids) -> dict[str, object]:
    """SBD's struct around ids."""
    return {"Boundaries": np.zeros((1, 1)), "Segmentation": ids.astype(np.uint8)}


def broken_mat(rng: random.Random, data: bytes, name: str, ids: Ids) -> bytes:
    """A MATLAB file damaged, or of other variables, types and shapes."""
    if rng.random() < 0.5:
        return any_damage(rng, data)
    floats = ids.astype(float)
    floats[0, 0] = rng.choice((0.5, np.nan, np.inf, -1.0, 1e30))
    values = (floats, ids[None], ids[:, 0], np.array("text"), np.zeros((0, 0)), ids * 1j, ids - 5)
    value = rng.choice(
        (*values, np.array([[ids, "x"]], object), ids.astype(np.uint16) + 300, {"a": 1})
    )
    if name == "GTcls" and rng.random() < 0.7:
        value = {
            **segmentation(np.zeros((1, 1), int)),
            rng.choice(("Segmentation", "Other")): value,
        }
    return mat(rng.choice((name, name, name, "Other")), value, packed=rng.random() < 0.5)


def mat_ids(data: bytes, name: str) -> Ids | None:
    """Ids of a compressed MATLAB file; None where a checksum is wrong or it holds no such ids."""
    try:
        kind, length = struct.unpack("<II", data[128:136])
        if kind != 15 or len(data) != 136 + length:
            return None
        zlib.decompress(data[136:])
        value = loadmat(io.BytesIO(data), variable_names=[name])[name]
        ids = np.asarray(value["Segmentation"][0, 0] if name == "GTcls" else value)
        return np.where(ids == 255, IGNORED, ids.astype(np.int64)) if ids.ndim == 2 else None
    except Exception:
        return None


def table(pictures: list[bytes]) -> bytes:
    """A Parquet file of two row groups, as Hugging Face's data sets store pictures."""
    rows = [{"bytes": data, "path": f"p{n}.jpg"} for n, data in enumerate(pictures)]
    return _written(pa.table({"image": rows, "label": list(range(len(rows)))}))


def broken_table(rng: random.Random, data: bytes) -> bytes:
    """A Parquet file damaged, or of other rows and columns."""
    if rng.random() < 0.7:
        return any_damage(rng, data)
    try:
        rows = pq.read_table(io.BytesIO(data)).column("image").to_pylist() or [None]
    except (OSError, ValueError):  # it was broken before
        return any_damage(rng, data)
    place = rng.randrange(len(rows))
    rows[place] = rng.choice((None, {"bytes": None, "path": "x"}, {"bytes": b"", "path": None}))
    plain = [row["bytes"] if isinstance(row, dict) else row for row in rows]
    columns = ({"image": rows}, {"image": plain}, {"image": plain, "other": plain})
    chosen = rng.choice((*columns, {"image": ["text"] * len(rows)}, {"image": []}))
    try:
        return _written(pa.table(chosen))
    except TypeError:  # it was broken before, so that bytes stand beside structs
        return any_damage(rng, data)


def _written(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, row_group_size=2)
    return buffer.getvalue()
