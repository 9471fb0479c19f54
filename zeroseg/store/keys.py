"""Keys of samples: what an index can hold of them, how the rest is written, and file names made of them."""

import hashlib
import re

LONGEST = 4096
"""Bytes of a key in UTF-8; no file system takes a longer path."""
_UNFIT = re.compile("[^\\S ]|[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Separators of fields and lines but for the plain space, control characters, bytes that are no UTF-8."""


def unfit(name: str) -> str:
    """What keeps a name of a member out of an index, in words; empty where nothing does.

    A plain space is let through: such shards are read, though no index is written for them.
    """
    if found := _UNFIT.search(name):
        character = found[0]
        if "\ud800" <= character <= "\udfff":
            return "has bytes that are no UTF-8"
        return f"has U+{ord(character):04X}, a separator or control character"
    return f"is longer than {LONGEST} bytes" if len(name.encode()) > LONGEST else ""


def escaped(name: str) -> str:
    """The name in characters that an index holds: others become `%` and their bytes, as `%E9`."""
    return cut(_UNFIT.sub(_percent, name), LONGEST)


def cut(name: str, longest: int) -> str:
    """The name, or where it has more bytes than `longest` its beginning, `-`, and a digest of it all."""
    data = name.encode(errors="surrogatepass")
    if len(data) <= longest:
        return name
    digest = hashlib.sha256(data).hexdigest()[:12]
    return f"{data[: longest - 13].decode(errors='ignore')}-{digest}"


def file_name(key: str) -> str:
    """A name for files of one sample, which leaves room for 25 bytes more within a file system's 255."""
    return cut(key.replace("/", "_"), 230)


def _percent(found: re.Match[str]) -> str:
    character = found[0]
    raw = "\udc80" <= character <= "\udcff"  # how Python holds a byte that it cannot decode
    data = character.encode(errors="surrogateescape" if raw else "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in data)
