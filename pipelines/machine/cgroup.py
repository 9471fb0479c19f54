"""Limits that a container or a batch system sets: Linux's control groups, version 1 or 2."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/sys/fs/cgroup")
GROUPS = Path("/proc/self/cgroup")


UNLIMITED = 1 << 60
"""Bytes above which version 1 means no limit."""


def memory_limit(total: int | None) -> int | None:
    """Bytes that this process and those beside it may take; None where it is no less than `total`."""
    told = _settings("memory", "memory.max", "memory.limit_in_bytes")
    limits = [int(text) for text in told if text.isdigit() and int(text) < (total or UNLIMITED)]
    return min(limits, default=None)


def quota_of_cores() -> float | None:
    """Cores whose time this process and those beside it may take; None where no quota is set."""
    shares = [text.split() for text in _settings("cpu", "cpu.max", "cpu.cfs_quota_us")]
    # Version 1 has the period in a file beside it, which is 100,000 microseconds unless changed.
    periods = [*_settings("cpu", "", "cpu.cfs_period_us"), "100000"]
    quotas = [(share[0], share[1] if len(share) > 1 else periods[0]) for share in shares if share]
    cores = [int(quota) / int(period) for quota, period in quotas if quota.isdigit()]
    return min(cores, default=None)


def _settings(controller: str, version_2: str, version_1: str) -> Iterator[str]:
    """A setting of this process' group and of each above it, in either version; none elsewhere."""
    for line in _read(GROUPS).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:
            top, file = ROOT, version_2
        elif controller in controllers.split(","):
            top, file = ROOT / controllers, version_1
            top = top if top.is_dir() else ROOT / controller
        else:
            continue
        # In a container its own group is often mounted as the top, whatever its path is outside.
        path = PurePosixPath(group.lstrip("/"))
        for folder in (path, *path.parents) if file else ():
            if text := _read(top / folder / file):
                yield text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
