"""What zeroseg says that it needs, by the metadata it was installed with, and what is there of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

PURPOSES = {
    "gpu": "faiss on the GPU",
    "build": "shards of parquet, .mat and COCO's files",
    "remote": "shards and pictures at http(s), s3 and gs",
    "heic": "pictures of iPhones",
    "supervision": "label maps as its detections",
    "onnx": "a model as a file of ONNX",
    "wandb": "a run's metrics at Weights & Biases",
}
"""What an extra gives."""
FAISS_GPU = "uv sync --extra gpu --no-install-package faiss-cpu"
"""faiss-gpu in the place of faiss-cpu, which installs the same module."""


@dataclass(frozen=True)
class Package:
    """A package that is needed, the versions that are, and the one that is there."""

    name: str
    needed: str
    version: str | None

    @property
    def fits(self) -> bool:
        """Whether a version is there that is among those needed."""
        wanted = Requirement(self.name + self.needed).specifier
        return self.version is not None and wanted.contains(self.version, prereleases=True)


@dataclass(frozen=True)
class Extra:
    """An extra of zeroseg, what it gives, those of its packages that are not there, and what adds them."""

    name: str
    gives: str
    packages: list[Package]
    missing: list[str]
    remedy: str


def required() -> list[Package]:
    """The packages that zeroseg always needs."""
    found = [_package(requirement) for requirement in _requirements("zeroseg", "")]
    return sorted(found, key=lambda package: package.name.lower())


def extras() -> list[Extra]:
    """Every extra of zeroseg."""
    names = metadata.metadata("zeroseg").get_all("Provides-Extra") or []
    return [_extra(name) for name in names]


def _extra(name: str) -> Extra:
    always = {str(requirement) for requirement in _requirements("zeroseg", "")}
    added = [one for one in _requirements("zeroseg", name) if str(one) not in always]
    packages = [_package(one) for one in added]
    # `fsspec[s3]` is there with fsspec alone; what it brings is what its own extra needs.
    packages += [
        _package(deeper)
        for one in added
        for extra in sorted(one.extras)
        for deeper in _requirements(one.name, extra)
        if deeper.marker and "extra" in str(deeper.marker)
    ]
    missing = [package.name for package in packages if not package.fits]
    remedy = FAISS_GPU if name == "gpu" else f"pip install 'zeroseg[{name}]'"
    return Extra(name, PURPOSES.get(name, ""), packages, missing, remedy)


def _requirements(package: str, extra: str) -> Iterator[Requirement]:
    """What a package needs here with one extra, or with none; nothing where it is not there itself."""
    try:
        told = metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return
    for text in told:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def _package(requirement: Requirement) -> Package:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        version = None
    return Package(requirement.name, str(requirement.specifier), version)
