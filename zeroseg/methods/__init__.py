"""Methods: each is one class, whose fields say what it is and whose functions build it."""

from zeroseg.methods.deeplab import DeepLab
from zeroseg.methods.distillation import Distillation
from zeroseg.methods.method import MethodConfig
from zeroseg.methods.prompt_learning import PromptLearning
from zeroseg.methods.zegclip import ZegCLIP
from zeroseg.methods.zegformer import ZegFormer
from zeroseg.methods.zs3net import ZS3Net
from zeroseg.methods.zsseg import ZSSeg

METHODS: tuple[type[MethodConfig], ...] = (
    Distillation,
    ZegFormer,
    PromptLearning,
    ZSSeg,
    ZegCLIP,
    DeepLab,
    ZS3Net,
)
"""Those that a stored config or model may name; a caller may pass more, and none is looked for by a
name in a file."""
