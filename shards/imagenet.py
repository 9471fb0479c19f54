"""ImageNet (ILSVRC 2012) as its archives unpack, as unlabelled images: classes are not read.

Training images lie in a folder per class, named by a WordNet id (`n01440764/n01440764_10026.JPEG`),
or still in the tar per class (`n01440764.tar`) that the training archive holds. Validation and test
images lie flat, as in their archives, or moved into a folder per class.
"""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

from shards.archive import tar_members
from shards.folder import SUFFIXES, checked, distinct_keys, read_picture
from shards.sample import BadSample, Sample, Source, key_of
from zeroseg.errors import InputError
from zeroseg.store.storage import exists, join, listing

FOLDERS = ("{split}", "ILSVRC/Data/CLS-LOC/{split}", "Data/CLS-LOC/{split}")
"""Where a split may be below the source; the second is the layout of the CLS-LOC archive."""
_BY_CLASS = re.compile(r"n\d{8}(\.tar|/[^/]+)")


@dataclass(frozen=True)
class ImageNet:
    """ImageNet (ILSVRC 2012) as its archives unpack, without classes."""

    root: str
    """Folder or URL that holds `train`, or `ILSVRC/Data/CLS-LOC/train`; images in a folder or a tar
    per class."""
    split: str = "train"
    """train, val or test."""

    def source(self) -> Source:
        """Keys are the same from folders and from tars.

        Raises InputError when no such layout is found, when a picture or tar lies where the layout
        has none, or when a class is there both as a folder and as a tar.
        """
        root = _split_folder(self.root, self.split)
        units, passed_over = listing(root, SUFFIXES | {".tar"})
        paths = [path for path, _ in units]
        tars = {path for path in paths if path.endswith(".tar")}
        for path in paths:
            flat = self.split != "train" and "/" not in path and path not in tars
            if not flat and not _BY_CLASS.fullmatch(path):
                raise InputError(
                    f"{join(root, path)} does not belong there: {_expected(self.split)}"
                )
        if not units:
            raise InputError(f"no image in {root}: {_expected(self.split)}")
        if both := tars & {f"{path.partition('/')[0]}.tar" for path in paths if "/" in path}:
            raise InputError(
                f"{join(root, min(both))} has a folder of its class beside it: remove one"
            )
        distinct_keys(root, paths)
        return Source(
            units=units,
            read=partial(read, root),
            images_per_unit=None if tars else 1,
            built_from={"kind": "imagenet", "source": self.root, "split": self.split},
            passed_over=passed_over,
        )


def read(root: str, unit: tuple[str, int | None]) -> Iterator[Sample | BadSample]:
    """The images of a unit (path below the split's folder, bytes): a picture or a class's tar."""
    path, _ = unit
    if not path.endswith(".tar"):
        yield from read_picture(root, unit)
        return
    url = join(root, path)
    try:
        for name, image in tar_members(url, SUFFIXES):
            key = key_of(f"{PurePosixPath(path).stem}/{name}")
            yield checked(f"{url}/{name}", Sample(key, image, source=f"{path}/{name}"))
    except tarfile.TarError as error:
        yield BadSample(f"{url}: not a whole tar ({error})")


def _split_folder(source: str, split: str) -> str:
    for folder in FOLDERS:
        root = join(source, folder.format(split=split))
        if exists(root):
            return root
    raise InputError(f"no ImageNet below {source}: {_expected(split)}")


def _expected(split: str) -> str:
    folders = " or ".join(folder.format(split=split) for folder in FOLDERS)
    flat = "" if split == "train" else ", or pictures directly in it"
    return (
        f"expected {folders} with n01440764/*.JPEG or n01440764.tar and so on{flat}; for pictures "
        "that lie otherwise use the kind `folder`"
    )
