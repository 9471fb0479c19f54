"""What img2dataset downloads (its webdataset format), as unlabelled images.

For each of its shards it writes `00000.tar`, with `<key>.jpg` (or png, webp), `<key>.json` and
perhaps a caption `<key>.txt` side by side, then `00000.parquet`, and last `00000_stats.json`, so a
tar without the last was not finished. Captions are never read. A key is the shard's number followed
by the image's, padded so that keys are unique in one output.
"""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import PurePosixPath

from shards.archive import tar_members
from shards.folder import SUFFIXES, checked, distinct_keys
from shards.sample import BadSample, Sample, Source, key_of
from zeroseg.errors import InputError
from zeroseg.store.storage import exists, join, list_files, read_bytes


@dataclass(frozen=True)
class Img2Dataset:
    """What img2dataset downloaded as webdataset, without captions."""

    downloads: str
    """Folder or URL; with several outputs in folders below it they are read as one."""
    incomplete: bool = False
    """Take tars too that img2dataset did not finish."""

    def source(self) -> Source:
        """The tars, in order of path, each a unit.

        A key that begins with the name of its tar, as img2dataset's do, is kept; any other gets
        that name and `_` before it. A folder between the root and the tar goes before both. Raises
        InputError when there is no tar, or when one lacks its stats and `incomplete` is not set.
        """
        tars = list_files(self.downloads, {".tar"})
        if not tars:
            raise InputError(
                f"no .tar below {self.downloads}: expected 00000.tar, 00000_stats.json and so on"
            )
        distinct_keys(self.downloads, (path for path, _ in tars))
        finished = {path for path, _ in list_files(self.downloads, {".json"})}
        missing = [path for path, _ in tars if _stats(path) not in finished]
        if missing and not self.incomplete:
            raise InputError(
                f"{join(self.downloads, missing[0])} (of {len(missing)} such) has no "
                f"{PurePosixPath(_stats(missing[0])).name} beside it, so img2dataset did not finish "
                "it: run img2dataset again, or set `incomplete` to take what is there"
            )
        return Source(
            units=tars,
            read=partial(read, self.downloads),
            images_per_unit=None,
            built_from={
                "kind": "img2dataset",
                "source": self.downloads,
                "incomplete": str(self.incomplete),
            },
        )


def read(source: str, unit: tuple[str, int | None]) -> Iterator[Sample | BadSample]:
    """The images of one tar (path below the source, bytes).

    Last comes a BadSample when they are not as many as the successes in the stats, or when the tar
    is damaged; the image right before the damage is then lost too, since what follows an image
    tells where it came from. Of a tar without stats only damage can be seen.
    """
    path, _ = unit
    url = join(source, path)
    images = 0
    members = tar_members(url, SUFFIXES | {".json"})
    try:
        for _, files in groupby(members, lambda member: PurePosixPath(member[0]).stem):
            found = list(files)
            link = next((_link(data) for file, data in found if file.endswith(".json")), "")
            for file, data in found:
                if not file.endswith(".json"):
                    images += 1
                    sample = Sample(_key(path, file), data, source=link or f"{path}/{file}")
                    yield checked(f"{url}/{file}", sample)
        if wrong := _miscount(url, images):
            yield wrong
    except tarfile.TarError as error:
        yield BadSample(f"{url}: not a whole tar ({error})")


def _miscount(url: str, images: int) -> BadSample | None:
    stats = _stats(url)
    if not exists(stats):
        return None
    try:
        successes = json.loads(read_bytes(stats))["successes"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        return BadSample(f"{stats}: no count of successes ({type(error).__name__}: {error})")
    if successes == images:
        return None
    return BadSample(f"{url}: {images} images, but its stats tell of {successes}")


def _key(path: str, file: str) -> str:
    tar = PurePosixPath(path)
    return key_of(tar.parent / (file if file.startswith(tar.stem) else f"{tar.stem}_{file}"))


def _link(data: bytes) -> str:
    """The URL that an image came from, as its `.json` tells; empty where it does not."""
    try:
        link = json.loads(data)["url"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return link if isinstance(link, str) else ""


def _stats(tar: str) -> str:
    return f"{tar.removesuffix('.tar')}_stats.json"
