"""The files inside a tar, wherever the tar is."""

import tarfile
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath

from zeroseg.store.storage import open_file


def tar_members(url: str, suffixes: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the files of these suffixes in an uncompressed tar, in its order.

    Suffixes are given in lower case with their dot and match either case; other members are passed
    over unread. Raises tarfile.TarError, after the members before the damage, when the file is no
    tar or is cut short, and InputError when it cannot be read.
    """
    with open_file(url) as file:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.isfile() and PurePosixPath(member.name).suffix.lower() in suffixes:
                    content = tar.extractfile(member)
                    assert content is not None  # it is a file
                    yield member.name, content.read()
        file.seek(tar.offset)
        # Cut between two members, a tar differs from a shorter one by this mark alone.
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no end mark")
