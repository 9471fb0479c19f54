"""An input of a kind with one or two things broken: contents, names, lists, links."""

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.odd_input import documents, tars
from benchmarks.odd_input.corpora import Corpus, class_members, number_of, tar_members
from benchmarks.odd_input.damage import NAMES
from benchmarks.odd_input.pictures import blocks, broken_map, broken_photo, photo


class Link(NamedTuple):
    """A symbolic link in place of a file."""

    target: str


class Broken(NamedTuple):
    """An input of which something is not as it was."""

    files: Mapping[str, bytes | Link]
    touched: frozenset[str]
    """Paths whose content or name is another, or which are new."""
    sound: bool
    """Whether every name and list is as it was, so that nothing entitles to a refusal."""


def broken(rng: random.Random, corpus: Corpus) -> Broken:
    """The corpus with one or two things broken."""
    files: dict[str, bytes | Link] = dict(corpus.files)
    touched, sound = set(), True
    for _ in range(rng.choice((1, 1, 2))):
        if not files:
            break
        path = rng.choice(sorted(set(files) & set(corpus.files)) or sorted(files))
        before = files[path]
        if rng.random() < 0.65 and isinstance(before, bytes):
            files[path] = _broken_file(rng, corpus, path, before)
            sound &= number_of(path) is not None
            touched.add(path)
        else:
            touched |= _moved(rng, files, path)
            sound = False
    return Broken(files, frozenset(touched), sound)


def _broken_file(rng: random.Random, corpus: Corpus, path: str, data: bytes) -> bytes:
    number, ids = number_of(path), (corpus.ids or {}).get(path)
    if path.endswith(".mat") and ids is not None:
        return documents.broken_mat(rng, data, corpus.variable, ids)
    if path.endswith(".tar"):
        return tars.broken_tar(rng, class_members() if "n0000" in path else tar_members())
    for ending, damage in _DOCUMENTS.items():
        if path.endswith(ending):
            return damage(rng, data)
    if ids is not None:
        return broken_map(rng, data, ids) if data else b"\0"
    return broken_photo(rng, data, photo(number or 0, blocks(number or 0, (0, 1))))


_DOCUMENTS = {
    ".json": documents.broken_json,
    ".xml": documents.broken_markup,
    ".txt": documents.broken_list,
    ".parquet": documents.broken_table,
}


def _moved(rng: random.Random, files: dict[str, bytes | Link], path: str) -> set[str]:
    """A file renamed, gone, doubled, linked, or with a stranger beside it; the paths that are meant."""
    folder, _, name = path.rpartition("/")
    stem, _, ending = name.partition(".")
    beside = f"{folder}/" if folder else ""
    other = rng.choice(sorted(files))
    action = rng.randrange(7)
    if action == 0:
        new = f"{beside}{rng.choice((*NAMES, stem.upper(), stem))}.{rng.choice((ending, ending.upper()))}"
        files[new] = files.pop(path)
        return {path, new}
    if action == 1:
        del files[path]
        return {path}
    if action == 2:
        new = f"{beside}{rng.choice(NAMES)}.{ending}"
        files[new] = files[path]
        return {new}
    if action == 3:
        files[path] = Link(rng.choice(("/nowhere/x.jpg", os.path.basename(path), ".")))
        return {path}
    if action == 4:
        strangers = (
            f"._{name}",
            ".DS_Store",
            "Thumbs.db",
            "notes.txt",
            f"{stem}.jpg.part",
            f"{name}/x",
        )
        new = beside + rng.choice(
            (*strangers, f".thumbnails/{name}", f"@eaDir/{name}/s.jpg", f"{stem}.gif")
        )
        if new.startswith(f"{path}/"):
            del files[path]
        files[new] = rng.choice((tars.APPLE_DOUBLE, b"", b"x"))
        return {path, new}
    if action == 5:
        files[path], files[other] = files[other], files[path]
        return {path, other}
    files[path] = b""
    return {path}


def write(folder: Path, files: Mapping[str, bytes | Link]) -> None:
    """Put the files there, as far as the file system takes their names."""
    for path, data in files.items():
        place = folder / path
        if max(len(os.fsencode(part)) for part in place.parts) > 255:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, Link):
            place.symlink_to(data.target)
        else:
            place.write_bytes(data)
