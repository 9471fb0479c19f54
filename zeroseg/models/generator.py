"""Generators of ZS3Net (Bucher et al., NeurIPS 2019): features of a class from its embedding and noise."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from zeroseg.errors import InputError

SLOPE = 0.2
"""Of leaky rectified units below 0."""


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """A generator but for the width of what it makes. Raises InputError for sizes that are none."""

    embed_dim: int = 300
    """Of class embeddings: word2vec's."""
    noise_dim: int = 300
    noise: Literal["gaussian", "uniform"] = "gaussian"
    """The paper's; the authors' code draws from [0, 1)."""
    noise_scale: float = 1.0
    """Ours: multiplies the noise. Unit embeddings are short beside 300 numbers of variance 1."""
    embedding_scale: float = 1.0
    """Ours: multiplies the class embeddings."""
    hidden: int = 256
    """Width of the hidden layer; 0 (ours) leaves it out, and what is made is linear in its input."""
    dropout: float = 0.5

    def __post_init__(self) -> None:
        least = {"embed_dim": 1, "noise_dim": 1, "hidden": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise InputError(
                    f"generator.{name} is {getattr(self, name)}: it must be at least {value}"
                )

    def draw(self, *shape: int, generator: torch.Generator) -> Float[Tensor, "*shape noise"]:
        """Noise for so many features, on the generator's device."""
        draw = torch.randn if self.noise == "gaussian" else torch.rand
        return draw(*shape, self.noise_dim, generator=generator, device=generator.device)


class Generator(nn.Module):
    """Features of single pixels: a perceptron of [noise; class embedding] (GMMN)."""

    def __init__(self, config: GeneratorConfig, width: int) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden or config.noise_dim + config.embed_dim
        self.hidden = nn.Sequential()
        if config.hidden:
            self.hidden = nn.Sequential(
                nn.Linear(config.noise_dim + config.embed_dim, hidden),
                nn.LeakyReLU(SLOPE),
                nn.Dropout(config.dropout),
            )
        self.out = nn.Linear(hidden, width)
        self.apply(initialise)

    def forward(
        self, embeddings: Float[Tensor, "*sample embed"], noise: Float[Tensor, "*sample noise"]
    ) -> Float[Tensor, "*sample width"]:
        """A feature for each embedding and noise."""
        return self.out(self.hidden(conditions(self.config, embeddings, noise)))


class GraphGenerator(nn.Module):
    """Features of regions that know their neighbours: two layers of a graph convolution network
    (Kipf and Welling, ICLR 2017) over [noise; class embedding] of every region."""

    def __init__(self, config: GeneratorConfig, width: int) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden or width
        self.first = nn.Linear(config.noise_dim + config.embed_dim, hidden)
        self.second = nn.Linear(hidden, width)
        self.between = nn.Sequential(nn.LeakyReLU(SLOPE), nn.Dropout(config.dropout))
        self.apply(initialise)

    def forward(
        self,
        embeddings: Float[Tensor, "*batch node embed"],
        noise: Float[Tensor, "*batch node noise"],
        adjacency: Bool[Tensor, "*#batch node node"],
    ) -> Float[Tensor, "*batch node width"]:
        """A feature for each region; adjacency is symmetric, and of itself without meaning."""
        share = propagation(adjacency)
        hidden = self.between(share @ self.first(conditions(self.config, embeddings, noise)))
        return share @ self.second(hidden)


def conditions(
    config: GeneratorConfig,
    embeddings: Float[Tensor, "*sample embed"],
    noise: Float[Tensor, "*sample noise"],
) -> Float[Tensor, "*sample both"]:
    """What a generator reads."""
    return torch.cat([config.noise_scale * noise, config.embedding_scale * embeddings], dim=-1)


def propagation(adjacency: Bool[Tensor, "*batch node node"]) -> Float[Tensor, "*batch node node"]:
    """D^-1/2 (A + I) D^-1/2 with D the degrees of A + I (Kipf and Welling, Eq. 2)."""
    itself = torch.eye(adjacency.shape[-1], dtype=torch.bool, device=adjacency.device)
    linked = (adjacency | itself).float()
    scale = linked.sum(dim=-1).rsqrt()
    return scale[..., :, None] * linked * scale[..., None, :]


def initialise(module: nn.Module) -> None:
    """Xavier's weights and biases of 0.01 (the authors' code)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.constant_(module.bias, 0.01)
