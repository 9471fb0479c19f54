"""The teacher: a frozen CLIP from open_clip, its text embeddings and its dense patch features.

With `clip_loading.py`, `dense.py`, and `prompts.py` for its templates, all that knows open_clip. The towers are frozen, in eval mode and outside
autocast, which would make a frozen open_clip tower many times slower on a CPU; on devices where
bfloat16 pays, the weights themselves are bfloat16.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import open_clip
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from zeroseg.errors import InputError
from zeroseg.models.clip_loading import EMBEDDED, FOLDERS, model_name, trained_model
from zeroseg.models.dense import Dense, dense_features, patch_size
from zeroseg.models.precision import has_fast_bfloat16
from zeroseg.models.prompts import prompts

PASS_PIXELS = {"cpu": 200_000, "cuda": 512 * 224 * 224}
"""Pixels of the views in one pass of the image tower: what fits a CPU's caches, what fills a GPU."""


@dataclass(frozen=True, kw_only=True)
class CLIPConfig:
    """Which CLIP, and how it computes."""

    architecture: str = "ViT-L-14"
    """An open_clip name, `local-dir:FOLDER`, `hf-hub:OWNER/NAME`, or `zeroseg-scenes`. The paper
    says "CLIP-L"; that this is OpenAI's L/14 at 224 is our reading."""
    weights: str = "openai"
    """An open_clip tag, or a path to .safetensors or .pt; empty for folders and the hub. A tag brings
    its activation; for a file of OpenAI's weights name the architecture `ViT-L-14-quickgelu`."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the image tower. `auto` takes bf16 where the device is faster with it."""
    mean: tuple[float, float, float] | None = None
    """Pixel mean; none takes the weights' own."""
    std: tuple[float, float, float] | None = None
    """Pixel standard deviation; none takes the weights' own."""
    register: str = ""
    """A Python file to run first, which makes a custom architecture known to open_clip."""

    @classmethod
    def parse(cls, text: str) -> "CLIPConfig":
        """The CLIP that `ARCHITECTURE:WEIGHTS` names.

        What brings its weights is named alone, with or without a colon after it:
        `local-dir:FOLDER`, `hf-hub:OWNER/NAME`, `zeroseg-scenes`. Weights may be a path with colons
        in it. Raises InputError for any other form.
        """
        alone = text.removesuffix(":")
        if alone in EMBEDDED or (alone.startswith(FOLDERS) and alone not in FOLDERS):
            return cls(architecture=alone, weights="")
        architecture, _, weights = text.partition(":")
        if not architecture or not weights or architecture in EMBEDDED or text.startswith(FOLDERS):
            raise InputError(
                f"{text!r} names no CLIP: write ARCHITECTURE:WEIGHTS, or local-dir:FOLDER, "
                f"hf-hub:OWNER/NAME or {', '.join(EMBEDDED)}, which bring their weights"
            )
        return cls(architecture=architecture, weights=weights)

    def __str__(self) -> str:
        """The text that `parse` reads; it leaves the other fields out."""
        return f"{self.architecture}:{self.weights}" if self.weights else self.architecture


class TextEncoder(ABC):
    """Whatever embeds words in the space of a CLIP."""

    mean: Float[Tensor, "1 3 1 1"]
    """Of the pixels of its images, on its device."""
    embed_dim: int
    weights_sha256: str
    """Says which it is."""

    @abstractmethod
    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "text embed"]:
        """Unit-norm float32 embeddings of sentences."""

    def class_embeddings(
        self, names: Sequence[str], templates: tuple[str, ...]
    ) -> Float[Tensor, "class embed"]:
        """One unit vector per class: the mean over its prompt templates and synonyms.

        Raises InputError for a name without a word.
        """
        rows = [self.encode_text(prompts(name, templates)).mean(dim=0) for name in names]
        return F.normalize(torch.stack(rows), dim=-1)


class CLIP(nn.Module, TextEncoder):
    """Frozen image and text towers that share one embedding space.

    Raises InputError when the architecture is unknown, weights are missing or do not fit.
    """

    mean: Float[Tensor, "1 3 1 1"]
    std: Float[Tensor, "1 3 1 1"]

    def __init__(self, config: CLIPConfig, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.config = config
        self.name = model_name(config.architecture, config.register)
        model = trained_model(self.name, config.weights)
        preprocessing = open_clip.get_model_preprocess_cfg(model)
        device = torch.device(device)
        bf16 = (
            has_fast_bfloat16(device) if config.precision == "auto" else config.precision == "bf16"
        )
        self.weights_sha256 = _digest(model.visual)
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        self.model = model.to(device).eval().requires_grad_(False)
        # The layout that convolutional towers are fastest in; a ViT does not mind.
        self.model.visual.to(self.dtype, memory_format=torch.channels_last)
        self.tokenizer = open_clip.get_tokenizer(self.name)
        size = preprocessing["size"]
        self.image_size: int = size if isinstance(size, int) else size[0]
        for key in ("mean", "std"):
            values = torch.tensor(getattr(config, key) or preprocessing[key], device=device)
            self.register_buffer(key, values.view(1, 3, 1, 1), persistent=False)
        with torch.no_grad():
            self.embed_dim: int = self.encode_text(["a"]).shape[1]

    def _normalised(self, images: Tensor) -> Tensor:
        normalised = (images - self.mean) / self.std
        return normalised.to(self.dtype, memory_format=torch.channels_last)

    @torch.no_grad()
    def encode_image(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> Float[Tensor, "batch embed"]:
        """Unit-norm float32 embeddings of images in [0, 1] at the teacher's own size."""
        with torch.autocast(images.device.type, enabled=False):
            embeddings = self.model.encode_image(self._normalised(images))
        return F.normalize(embeddings.float(), dim=-1)

    @property
    def logit_scale(self) -> float:
        """What this CLIP multiplies cosines by before a softmax: 100 for OpenAI's."""
        return float(self.model.logit_scale.exp())

    @property
    def views_of_a_pass(self) -> int:
        """How many views at once suit the device."""
        pixels = PASS_PIXELS.get(self.mean.device.type, PASS_PIXELS["cuda"])
        return max(1, pixels // self.image_size**2)

    def encode_views(
        self, views: Float[Tensor, "batch view 3 size size"], chunk: int = 0
    ) -> Float[Tensor, "batch view embed"]:
        """As `encode_image`, in passes of `chunk` views each; 0 takes what suits the device.

        There may be no view at all.
        """
        if not views.numel():
            return views.new_zeros(*views.shape[:2], self.embed_dim)
        chunk = chunk or self.views_of_a_pass
        parts = [self.encode_image(part) for part in views.flatten(0, 1).split(chunk)]
        return torch.cat(parts).unflatten(0, views.shape[:2])

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "text embed"]:
        """Unit-norm float32 embeddings of sentences."""
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, enabled=False):
            embeddings = self.model.encode_text(self.tokenizer(list(texts)).to(device))
        return F.normalize(embeddings.float(), dim=-1)

    @property
    def patch_size(self) -> int:
        """Pixels a side of what one dense embedding stands for: what sides of images divide by.

        Raises InputError where it is unknown.
        """
        return patch_size(self.model.visual)

    @torch.no_grad()
    def dense(
        self, images: Float[Tensor, "batch 3 height width"], method: Dense = "maskclip"
    ) -> Float[Tensor, "batch embed rows columns"]:
        """Unit-norm float32 embeddings of patches of images in [0, 1], by a method of `dense.py`.

        Raises InputError for sides that `patch_size` does not divide, and for towers that have no
        dense features or not these.
        """
        with torch.autocast(images.device.type, enabled=False):
            features = dense_features(self.model.visual, self._normalised(images), method)
        return F.normalize(features.float(), dim=1)


def _digest(tower: nn.Module) -> str:
    """SHA-256 of every tensor of a tower as it was loaded, with its name and shape."""
    digest = hashlib.sha256()
    for name, value in sorted(tower.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
