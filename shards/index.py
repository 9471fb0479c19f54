"""Index files and a manifest for shards that another program wrote."""

import hashlib
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from shards.duplicates import refuse_duplicates
from zeroseg.errors import InputError
from zeroseg.store.counting import say_passed_over, without_image
from zeroseg.store.manifest import NAME, Manifest, ShardRecord, manifest_text
from zeroseg.store.storage import write_atomically
from zeroseg.store.tar_index import image_extension, index_path, index_text, scan


def index(folder: Path) -> None:
    """Write an index beside every shard of a local folder, then the manifest.

    Reading needs neither, but counts every shard at each start without them. Raises InputError
    when there is no shard, one is cut short or holds no image, or two samples share a key.
    """
    paths = sorted(path for path in folder.glob("*.tar") if not path.name.startswith("."))
    if not paths:
        raise InputError(f"{folder} holds no .tar file: check the folder")
    shards, passed_over = [], Counter[str]()
    for path in tqdm(paths, desc="index", unit="shard"):
        found = scan(path)
        passed_over.update(found.passed_over)
        if not any(image_extension(members) for members in found.members):
            raise InputError(f"shard {path} {without_image(found)}")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        write_atomically(str(index_path(path)), index_text(found).encode())
        size = path.stat().st_size
        shards.append(ShardRecord(name=path.name, samples=len(found), bytes=size, sha256=digest))
    say_passed_over(str(folder), passed_over)
    refuse_duplicates(str(folder), [s.name for s in shards])
    manifest = Manifest(shards=tuple(shards), built_from={"kind": "index"})
    write_atomically(str(folder / NAME), manifest_text(manifest).encode())
