"""The files inside a tar, wherever the tar is."""

import tarfile
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath

from zeroseg.errors import InputError
from zeroseg.store.storage import open_file
from zeroseg.store.tar_index import headers, link_target, open_tar


def tar_members(url: str, suffixes: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the files of these suffixes in an uncompressed tar, in its order.

    Suffixes are given in lower case with their dot and match either case; other members, and those
    whose names begin with a dot, are passed over unread. A link is the file before it that it leads
    to, and empty where there is none. Raises tarfile.TarError, after the members before the damage,
    when the file is no tar or is cut short, and InputError when it cannot be read.
    """
    try:
        with open_file(url) as file:
            with open_tar(file) as tar:
                files: dict[str, tarfile.TarInfo] = {}
                for member in headers(tar):
                    name, linked = PurePosixPath(member.name), member.islnk() or member.issym()
                    found = files.get(link_target(member)) if linked else member
                    if found is not None and found.isfile():
                        files[member.name] = found
                    if name.suffix.lower() not in suffixes or name.name.startswith("."):
                        continue
                    if linked or member.isfile():
                        content = tar.extractfile(found) if found is not None else None
                        yield member.name, content.read() if content is not None else b""
            file.seek(tar.offset)
            # Cut between two members, a tar differs from a shorter one by this mark alone.
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("no end mark")
    except (InputError, tarfile.TarError):
        raise
    except Exception as error:  # a damaged extended header can raise nearly anything
        raise tarfile.ReadError(f"{type(error).__name__}: {error}") from error
