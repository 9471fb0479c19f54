"""What this machine has, and what would be slow or missing here.

    zeroseg doctor
    zeroseg doctor --json

Looks, and computes nothing. Exit status 0 when training can run, 1 when something would stop it.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.command_line import UNSET, read
from pipelines.machine.facts import Device, Facts, look
from pipelines.machine.findings import Finding, findings, size


@dataclass(frozen=True, kw_only=True)
class DoctorConfig:
    """How it is said."""

    json: bool = False
    """For programs: `facts`, `findings` and `can_train`, sizes in bytes."""


def main(arguments: Sequence[str]) -> None:
    """Read the command line, look, and say what was found. Raises SystemExit(1) when training cannot run."""
    config = read(DoctorConfig, arguments, "zeroseg doctor", __doc__, *UNSET)
    facts = look(Path.cwd())
    found = findings(facts, os.environ)
    can_train = not any(finding.stops for finding in found)
    if config.json:
        said = {
            "can_train": can_train,
            "findings": [dataclasses.asdict(finding) for finding in found],
            "facts": dataclasses.asdict(facts),
        }
        print(json.dumps(said, indent=2))
    else:
        _print(facts, found)
    if not can_train:
        raise SystemExit(1)


def _print(facts: Facts, found: Sequence[Finding]) -> None:
    table = Table(show_header=False, box=None)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _rows(facts):
        table.add_row(name, escape(text))
    console = Console(highlight=False)
    console.print(table)
    for finding in found:
        mark = "[red]stops training[/red]" if finding.stops else "[yellow]note[/yellow]"
        console.print(f"{mark}  {escape(str(finding))}", soft_wrap=True)
    stops = sum(finding.stops for finding in found)
    console.print(f"training cannot run: {stops} to mend" if stops else "training can run")


def _rows(facts: Facts) -> list[tuple[str, str]]:
    cuda = f" (CUDA {facts.cuda_of_torch})" if facts.cuda_of_torch else ""
    driver = f", NVIDIA driver {facts.nvidia_driver}" if facts.nvidia_driver else ""
    limit = facts.memory_limit_bytes
    quota = "" if facts.core_quota is None else f", a quota of {facts.core_quota:g}"
    shared, disk = facts.shared_memory, facts.disk
    packages = (f"{package.name} {package.version or 'missing'}" for package in facts.packages)
    rows = [
        ("system", f"{facts.system}, Python {facts.python}, torch {facts.torch}{cuda}{driver}"),
        *((device.name, _device(device)) for device in facts.devices),
        (
            "cores",
            f"{facts.usable_cores} of {facts.cores}{quota}; {facts.cpu_instructions}"
            f"{' with AMX' if facts.amx else ''}; threads of torch: {facts.torch_threads}",
        ),
        (
            "memory",
            f"{size(facts.memory_available_bytes)} available of {size(facts.memory_bytes)}"
            + (f", limit {size(limit)}" if limit else ""),
        ),
        ("/dev/shm", f"{size(shared.free_bytes)} free" if shared else "none"),
        ("disk", f"{size(disk.free_bytes)} free in {disk.folder}"),
        ("open files", "unlimited" if facts.open_files is None else str(facts.open_files)),
        ("faiss", _faiss(facts)),
        ("packages", ", ".join(packages)),
    ]
    for extra in facts.extras:
        there = f"missing {', '.join(extra.missing)}" if extra.missing else "there"
        remedy = f": {extra.remedy}" if extra.missing else ""
        rows.append((f"extra {extra.name}", f"{extra.gives or 'optional'}; {there}{remedy}"))
    return rows


def _device(device: Device) -> str:
    memory = "" if device.memory_bytes is None else f", {size(device.memory_bytes)}"
    return f"{device.model}{memory}, bfloat16: {device.bfloat16}"


def _faiss(facts: Facts) -> str:
    faiss = facts.faiss
    if faiss.error:
        return f"cannot be imported: {faiss.error}"
    kind = f"for GPUs, {faiss.gpus} of them" if faiss.gpu else "for CPUs"
    return f"{faiss.version} {kind}; threads: {faiss.threads}"
