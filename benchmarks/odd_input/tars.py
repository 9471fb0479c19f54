"""Tars broken in their bytes, their headers or the list of their members, and an open-minded reading."""

import io
import posixpath
import random
import tarfile
from typing import NamedTuple

from benchmarks.odd_input.damage import NAMES, any_damage

BLOCK = tarfile.BLOCKSIZE
APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(64)


class Member(NamedTuple):
    """A file in a tar, or a link."""

    name: str
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    link: str = ""


def packed(members: list[Member], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar of these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, data, kind, link in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(data), kind, link
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def found_in(data: bytes) -> list[tuple[str, bytes]]:
    """(name, bytes) of every file that a patient reader finds, whatever lies between; a link is the file
    that it leads to."""
    found: list[tuple[str, bytes | None]] = []
    links, start = {}, 0
    while start < len(data):
        try:
            part = io.BytesIO(data[start:])
            with tarfile.open(fileobj=part, mode="r:", ignore_zeros=True) as tar:
                for info in tar:
                    if info.isfile():
                        first = start + info.offset_data
                        found.append((info.name, data[first : first + info.size]))
                    elif info.islnk() or info.issym():
                        found.append((info.name, None))
                        links[info.name] = _target(info)
            break
        except Exception:
            start += BLOCK
    files = {name: content for name, content in found if content is not None}
    followed = [
        (name, files.get(links[name]) if content is None else content) for name, content in found
    ]
    return [(name, content) for name, content in followed if content is not None]


def _target(info: tarfile.TarInfo) -> str:
    if info.islnk():
        return info.linkname
    return posixpath.normpath(posixpath.join(posixpath.dirname(info.name), info.linkname))


def broken_tar(rng: random.Random, members: list[Member]) -> bytes:
    """A tar of the members, damaged or odd."""
    action = rng.random()
    if action < 0.3:
        return any_damage(rng, packed(members))
    if action < 0.55:
        return _edited(rng, packed(members))
    changed = list(members)
    for _ in range(rng.choice((1, 1, 2))):
        changed = _another_list(rng, changed)
    return packed(changed, rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)))


def _edited(rng: random.Random, data: bytes) -> bytes:
    """One header says something else, and its checksum is right."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        offset = rng.choice(tar.getmembers()).offset
    header = bytearray(data[offset : offset + BLOCK])
    sizes = (
        b"00000000000\0",
        b"00000000001\0",
        b"77777777777\0",
        b"-0000000100\0",
        b"9z9z9z9z9z9z",
    )
    sizes += (b"\x80" + b"\xff" * 11, b"\xff" * 12, b"00000002000\0", b"\0" * 12)
    fields = {
        (0, 100): (
            b"\0" * 100,
            b"._x.jpg".ljust(100, b"\0"),
            b"\xe9" * 100,
            b"p1.png".ljust(100, b"\0"),
        ),
        (124, 136): sizes,
        (156, 157): tuple(bytes([kind]) for kind in b"0123456789xgLKSVDN\0Z"),
        (257, 265): (bytes(8), b"ustar  \0", b"garbage!"),
        (345, 500): (b"folder".ljust(155, b"\0"), b"\xff" * 155),
    }
    (first, end), values = rng.choice(sorted(fields.items()))
    header[first:end] = rng.choice(values)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return data[:offset] + bytes(header) + data[offset + BLOCK :]


def _another_list(rng: random.Random, members: list[Member]) -> list[Member]:
    place, other = rng.randrange(len(members)), rng.randrange(len(members))
    one = members[place]
    action = rng.randrange(9)
    if action == 0:
        return rng.sample(members, len(members))
    if action == 1:  # pictures first, then the rest
        return sorted(members, key=lambda member: member.name.rpartition(".")[2])
    if action == 2:
        return members[: place + 1] + members[other:]
    if action == 3:
        kind = rng.choice((tarfile.LNKTYPE, tarfile.SYMTYPE))
        target = rng.choice((members[other].name, "/nowhere", one.name))
        return members[:place] + [Member(one.name, b"", kind, target)] + members[place + 1 :]
    if action == 4:
        folder, _, name = one.name.rpartition("/")
        hidden = f"{folder}/._{name}" if folder else f"._{name}"
        return members[:place] + [Member(hidden, APPLE_DOUBLE)] + members[place:]
    if action == 5:
        extra = (
            ".DS_Store",
            "notes.txt",
            "__meta.json",
            "noext",
            "x.",
            "d/",
            "a//b.jpg",
            "./p0.jpg",
        )
        return members[:place] + [Member(rng.choice(extra), b"x")] + members[place:]
    if action == 6:
        return members[:place] + members[place + 1 :]
    if action == 7:
        return (
            members[:place] + [one._replace(data=any_damage(rng, one.data))] + members[place + 1 :]
        )
    stem, _, ending = one.name.partition(".")
    new = rng.choice((*NAMES, members[other].name.partition(".")[0], stem.upper()))
    renamed = one._replace(
        name=f"{new}.{rng.choice((ending, ending, ending.upper(), 'a.' + ending))}"
    )
    return members[:place] + [renamed] + members[place + 1 :]
