"""A CLIP's own image tower as the student's trunk, and as where it starts: configs."""

from dataclasses import dataclass

from open_clip.transformer import VisionTransformer

from zeroseg.errors import InputError
from zeroseg.models.clip import CLIPConfig
from zeroseg.models.clip_loading import model_name, untrained_tower
from zeroseg.models.clip_towers import (
    AttentionPooledTower,
    ConvolutionalTower,
    Tower,
    TransformerTower,
)
from zeroseg.models.dense import pools_by_attention


@dataclass(frozen=True, kw_only=True)
class CLIPTower:
    """The image tower of a CLIP as a trunk; of a ViT or a convolutional one."""

    clip: CLIPConfig
    """Whose; its weights are taken where `method.start` is `TeacherTower()`."""
    registers: int = 0
    """New tokens beside the class token, of a ViT, that nothing reads (PH-Reg has up to 16)."""

    def __post_init__(self) -> None:
        if not 0 <= self.registers <= 16:
            raise InputError(f"student.trunk.registers is {self.registers}: it must be 0 to 16")

    def build(self, image_size: int) -> "Tower":
        """A new one with random weights. Raises InputError for towers without dense features."""
        name = model_name(self.clip.architecture, self.clip.register)
        visual = untrained_tower(name, self.clip.weights)
        if isinstance(visual, VisionTransformer):
            return TransformerTower(visual, image_size, self.registers)
        if self.registers:
            raise InputError(f"student.trunk.registers needs a ViT: {name} is none, set it to 0")
        if pools_by_attention(visual):
            return AttentionPooledTower(visual)
        return ConvolutionalTower(visual)


@dataclass(frozen=True, kw_only=True)
class TeacherTower:
    """The start of a trunk that is a copy of the teacher's image tower, weights and all (ours).

    It needs `CLIPTower` with the teacher's CLIP as the student's trunk.
    """
