"""Two hosts on one machine: network namespaces with an address each, and a link that can be cut.

What crosses between them crosses that link; they share the disk, as the hosts of a cluster do.
"""

import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

INTERFACE = "eth0"


@dataclass(frozen=True)
class Host:
    """A network namespace."""

    name: str
    address: str

    def start(self, command: Sequence[str], log: Path, **environment: str) -> subprocess.Popen:
        """A process of this host, in a session of its own; what it prints goes to `log`."""
        with log.open("w", encoding="utf-8") as file:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command],
                env=os.environ | environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def link(self, state: str) -> None:
        """Turn this end of the link `up` or `down`."""
        _ip("-n", self.name, "link", "set", INTERFACE, state)

    def kill(self) -> None:
        """End whatever runs here, by the namespace's own list: launchers start sessions anew."""
        for process in _ip("netns", "pids", self.name).split():
            try:
                os.kill(int(process), signal.SIGKILL)
            except ProcessLookupError:
                continue


def why_not() -> str:
    """Why this machine cannot have two hosts; empty when it can."""
    if shutil.which("ip") is None:
        return "no `ip` (iproute2)"
    try:
        with two_hosts():
            return ""
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made: {error.stderr.strip()}"


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts that are linked; afterwards they and their processes are gone.

    Interfaces and addresses are a namespace's own, so only the names need to be unique.
    """
    run = uuid.uuid4().hex[:8]
    hosts = (Host(f"zeroseg-{run}-a", "10.0.0.1"), Host(f"zeroseg-{run}-b", "10.0.0.2"))
    made: list[Host] = []
    try:
        for host in hosts:
            _ip("netns", "add", host.name)
            made.append(host)
        ends = [("name", INTERFACE, "netns", host.name) for host in hosts]
        _ip("link", "add", *ends[0], "type", "veth", "peer", *ends[1])
        for host in hosts:
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", INTERFACE)
            _ip("-n", host.name, "link", "set", "lo", "up")
            host.link("up")
        yield hosts
    finally:
        for host in made:
            host.kill()
            _ip("netns", "delete", host.name)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)
    return done.stdout
