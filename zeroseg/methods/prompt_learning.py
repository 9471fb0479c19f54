"""Prompt learning: the first stage of zsseg (Xu et al., ECCV 2022)."""

from dataclasses import dataclass, field

import torch
from torch import nn

from zeroseg.data.regions import RegionViews
from zeroseg.errors import InputError
from zeroseg.methods.method import MethodConfig, Training
from zeroseg.methods.supervision import Supervision
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.learnt_prompt import LearntPrompt, PromptConfig
from zeroseg.models.segmenter import Segmenter
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.prompt_objective import PromptObjective


@dataclass(frozen=True, kw_only=True)
class PromptLearning(MethodConfig):
    """Vectors before a class name, by which a frozen CLIP names the true regions of seen classes best.

    The authors train them by SGD at 0.02 with a weight decay of 5e-4. They segment nothing by
    themselves: `ZSSeg.prompt_from` takes them.
    """

    clip: CLIPConfig
    """That of the model that takes the prompt."""
    labels: Supervision
    prompt: PromptConfig = field(default_factory=PromptConfig)
    regions: RegionViews = field(default_factory=RegionViews)
    """How the CLIP is shown a region; its threshold is not asked, as true masks have none."""
    logit_scale: float = 0.0
    """Of cosines in the cross entropy; 0 takes the CLIP's own, 100 for OpenAI's."""

    def __post_init__(self) -> None:
        if self.labels.unseen_labels != "hidden":
            raise InputError(
                "method.labels.unseen_labels is pseudo: a prompt is learnt from true masks, set it to hidden"
            )
        if self.logit_scale < 0:
            raise InputError(f"method.logit_scale is {self.logit_scale}: it must be at least 0")

    @property
    def image_size(self) -> int:
        """Side of the training's crops."""
        return self.labels.augmentation.size

    def model(self) -> LearntPrompt:
        """New vectors."""
        return LearntPrompt(self.prompt)

    def training(self, model: nn.Module, device: torch.device, cache: ShardCache) -> Training:
        """Label maps, the CLIP, and the words of seen classes."""
        assert isinstance(model, LearntPrompt)
        clip = CLIP(self.clip, device)
        with torch.no_grad():
            model.to(device)(clip, self.labels.names)
        objective = PromptObjective(
            clip,
            self.labels.names,
            self.labels.rows(device),
            self.regions,
            self.logit_scale or clip.logit_scale,
        )
        return Training(objective, self.labels.transform(), self.clip)

    def segmenter(self, model: nn.Module, readout: str = "", clip: CLIP | None = None) -> Segmenter:
        """Raises InputError: there are no masks."""
        raise InputError(
            "a learnt prompt segments nothing by itself: train ZSSeg with prompt_from=Trained(this run)"
        )
