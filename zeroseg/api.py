"""The names that `import zeroseg` gives."""

from zeroseg.config import RunConfig
from zeroseg.data.augmentation import Augmentation
from zeroseg.data.crops import Crops
from zeroseg.data.regions import RegionViews
from zeroseg.data.stream import DataConfig
from zeroseg.data.views import ViewSet, Windows
from zeroseg.datasets.benchmarks import BENCHMARKS, Benchmark
from zeroseg.datasets.word_vectors import WordVectors
from zeroseg.errors import InputError
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.evaluate import evaluate
from zeroseg.evaluation.protocols import PROTOCOLS, Protocol, ProtocolConfig, protocol_named
from zeroseg.evaluation.pseudo_labels import PseudoLabels
from zeroseg.evaluation.results import Result, read_result
from zeroseg.evaluation.scores import Scores
from zeroseg.evaluation.task import Task, task_for
from zeroseg.evaluation.watching import Watch
from zeroseg.methods import METHODS, MethodConfig
from zeroseg.methods.deeplab import DeepLab
from zeroseg.methods.distillation import Distillation
from zeroseg.methods.prompt_learning import PromptLearning
from zeroseg.methods.supervision import Supervision
from zeroseg.methods.trained import Trained
from zeroseg.methods.zegclip import ZegCLIP
from zeroseg.methods.zegformer import ZegFormer
from zeroseg.methods.zs3net import ZS3Net
from zeroseg.methods.zsseg import ZSSeg
from zeroseg.models.backbone import Backbone
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.deeplab import DeepLabConfig
from zeroseg.models.generator import GeneratorConfig
from zeroseg.models.learnt_prompt import PromptConfig
from zeroseg.models.proposals import MaskProposalsConfig
from zeroseg.models.timm_trunk import TimmTrunk
from zeroseg.models.tower import CLIPTower, TeacherTower
from zeroseg.models.trunk import Trainable
from zeroseg.models.trunk_weights import TrunkWeights
from zeroseg.models.vit import ViT
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig
from zeroseg.predictor import Predictor, load
from zeroseg.training.class_masks import ClassMaskLoss
from zeroseg.training.dense_target import DenseTarget
from zeroseg.training.generative_objective import Generation
from zeroseg.training.mask_objective import MaskLosses
from zeroseg.training.matching import Costs
from zeroseg.training.objectives import ViewComposition, ZeroSegPaper
from zeroseg.training.optimization import SGD, AdamW, Cosine, Polynomial
from zeroseg.training.teacher import CachedTeacher, OnlineTeacher

__all__ = [
    "BENCHMARKS",
    "CLIP",
    "METHODS",
    "PROTOCOLS",
    "SGD",
    "AdamW",
    "Augmentation",
    "Backbone",
    "Benchmark",
    "CLIPConfig",
    "CLIPTower",
    "CachedTeacher",
    "ClassMaskLoss",
    "Correction",
    "Cosine",
    "Costs",
    "Crops",
    "DataConfig",
    "DeepLab",
    "DeepLabConfig",
    "DenseTarget",
    "Distillation",
    "Generation",
    "GeneratorConfig",
    "InputError",
    "MaskLosses",
    "MaskProposalsConfig",
    "MethodConfig",
    "OnlineTeacher",
    "Polynomial",
    "Predictor",
    "PromptConfig",
    "PromptLearning",
    "Protocol",
    "ProtocolConfig",
    "PseudoLabels",
    "RegionViews",
    "Result",
    "RunConfig",
    "Scores",
    "Supervision",
    "Task",
    "TeacherTower",
    "TimmTrunk",
    "Trainable",
    "Trained",
    "TrunkWeights",
    "ViT",
    "ViewComposition",
    "ViewSet",
    "Watch",
    "Windows",
    "WordVectors",
    "ZS3Net",
    "ZSSeg",
    "ZegCLIP",
    "ZegFormer",
    "ZeroSeg",
    "ZeroSegConfig",
    "ZeroSegPaper",
    "evaluate",
    "load",
    "protocol_named",
    "read_result",
    "task_for",
]
