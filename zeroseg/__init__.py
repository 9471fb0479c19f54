"""Annotation-free open-vocabulary segmentation, distilled from a frozen CLIP's multi-scale views."""

from zeroseg.config import RunConfig
from zeroseg.data.benchmarks import BENCHMARKS, Benchmark
from zeroseg.data.crops import Crops
from zeroseg.data.stream import DataConfig
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import Protocol, Scores, evaluate
from zeroseg.evaluation.watching import Watch
from zeroseg.models import load, save
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig
from zeroseg.training.objectives import ViewComposition, ZeroSegPaper
from zeroseg.training.teacher import CachedTeacher, OnlineTeacher

__all__ = [
    "BENCHMARKS",
    "CLIP",
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
    "ViewComposition",
    "Watch",
    "ZeroSeg",
    "ZeroSegConfig",
    "ZeroSegPaper",
    "evaluate",
    "load",
    "save",
]
