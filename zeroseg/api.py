"""The names that `import zeroseg` gives."""

from zeroseg.config import RunConfig
from zeroseg.data.crops import Crops
from zeroseg.data.stream import DataConfig
from zeroseg.datasets.benchmarks import BENCHMARKS, Benchmark
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import evaluate, label_maps
from zeroseg.evaluation.protocols import PROTOCOLS, Protocol, protocol_named
from zeroseg.evaluation.scores import Scores
from zeroseg.evaluation.task import Task, task_for
from zeroseg.evaluation.watching import Watch
from zeroseg.models import load, save
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig
from zeroseg.training.objectives import ViewComposition, ZeroSegPaper
from zeroseg.training.teacher import CachedTeacher, OnlineTeacher

__all__ = [
    "BENCHMARKS",
    "CLIP",
    "PROTOCOLS",
    "Benchmark",
    "CLIPConfig",
    "CachedTeacher",
    "Crops",
    "DataConfig",
    "InputError",
    "OnlineTeacher",
    "Protocol",
    "RunConfig",
    "Scores",
    "Task",
    "ViewComposition",
    "Watch",
    "ZeroSeg",
    "ZeroSegConfig",
    "ZeroSegPaper",
    "evaluate",
    "label_maps",
    "load",
    "protocol_named",
    "save",
    "task_for",
]
