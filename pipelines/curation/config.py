"""What is asked of `zeroseg curate`."""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from pipelines.curation.steps import Junk
from pipelines.curation.vocabulary import digest
from pipelines.curation.words import Words
from zeroseg.datasets.name_lists import read_names
from zeroseg.errors import InputError
from zeroseg.store.shard_cache import ShardCache

COPY = 0.93
"""Cosine from which two images are near copies unless `--duplicates` says another (docs/curation.md)."""
OPTIONAL = PrimitiveConstructorSpec[float | None](
    nargs=(0, 1),
    metavar="[COSINE]",
    instance_from_str=lambda words: float(words[0]) if words else COPY,
    is_instance=lambda value: value is None or isinstance(value, float),
    str_from_instance=lambda value: [str(value)],
)


@dataclass(frozen=True, kw_only=True)
class CurateConfig:
    """Which images, compared by which embeddings, and what is asked of them."""

    shards: tyro.conf.Positional[str]
    """As `data.shards` of a training config; the selection is of all of them."""
    output: str
    """Folder or URL of the selection."""
    embeddings: str = ""
    """Folder that `zeroseg embed` wrote of these shards, with the 1x1 view; several are joined by `::`."""
    duplicates: Annotated[float | None, OPTIONAL] = None
    """Leave one of each group of duplicates, the one of most pixels: of one file (SHA-256), of one picture
    whatever its size and file, and of near copies, as crops and mirrored ones, whose whole-image embeddings
    have at least this cosine. Without a number it is what docs/curation.md chooses; 1 needs no embeddings."""
    against: tuple[str, ...] = ()
    """Shards of benchmarks, each as for `zeroseg evaluate`: leave out their images, by file, by thumbnail
    (also mirrored), and by the embeddings of crops and mirrors of them, which the teacher of --embeddings
    makes."""
    against_cosine: float = COPY
    """Cosine from which the embedding of an image is that of a benchmark's; 1 needs no embeddings."""
    same_picture: float = 0.98
    """Cosine from which two thumbnails (16 x 16, grey, less their mean) are of one picture; 1 compares files
    alone."""
    junk: bool = False
    """Leave out what breaks a rule below."""
    balance: int = 0
    """Leave so many images, fewer of what there is much of: an even draw from a tree of clusters of their
    embeddings, after Vo et al. (2024). 0 does not."""
    seed: int = 0
    """Of what is drawn, and of clusters."""
    rules: Annotated[Junk, tyro.conf.arg(name="")] = field(default_factory=Junk)
    words: Annotated[Words, tyro.conf.arg(name="")] = field(default_factory=Words)
    workers: int = 2
    """Processes that read images, beside each one of the job; 0 reads in that one."""
    cache: ShardCache = field(default_factory=ShardCache)

    def __post_init__(self) -> None:
        for name in ("duplicates", "same_picture", "against_cosine"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                option = f"--{name.replace('_', '-')}"
                raise InputError(f"{option} is {value}: it is a cosine, above 0 and at most 1")
        if self.workers < 0:
            raise InputError(f"--workers is {self.workers}: it must be at least 0")
        if self.balance < 0 or self.seed < 0:
            raise InputError(
                f"--balance is {self.balance}, --seed {self.seed}: both are at least 0"
            )
        if not self.steps:
            raise InputError(
                "nothing is asked for: name --duplicates, --against, --like, --unlike, --names, --junk or "
                "--balance"
            )
        if self.words.steps and not self.embeddings:
            raise InputError(
                "words are compared with embeddings: name --embeddings, as `zeroseg embed` writes them"
            )
        if self.compares and not self.embeddings:
            raise InputError(
                "near copies and clusters are found by embeddings: name --embeddings, as `zeroseg embed` "
                "writes them, or --duplicates 1, --against-cosine 1 and no --balance"
            )

    @property
    def compares(self) -> bool:
        """Whether embeddings are compared."""
        near = self.duplicates is not None and self.duplicates < 1
        against = bool(self.against and self.against_cosine < 1)
        return near or against or self.balance > 0 or bool(self.words.steps)

    @property
    def steps(self) -> dict[str, Any]:
        """What is asked for, as plain values."""
        steps: dict[str, Any] = {}
        if self.junk:
            steps["junk"] = asdict(self.rules)
        if self.duplicates is not None:
            steps["duplicates"] = self.duplicates
        if self.against:
            steps["against"] = dict.fromkeys(self.against, "")
            steps["against_cosine"] = self.against_cosine
        if steps.keys() - {"junk"}:
            steps["same_picture"] = self.same_picture
        steps |= self.words.steps
        if self.words.names:
            steps["names"] = digest(read_names(self.words.names, "--names"))
        if self.balance:
            steps["balance"] = self.balance
        if self.balance or self.words.names_at_most:
            steps["seed"] = self.seed
        return steps
