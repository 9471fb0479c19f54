"""A segmenter with a text encoder of its own, which treats seen and unseen classes apart."""

import zlib
from dataclasses import replace

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from tests.support.queries import queries
from zeroseg.data.batch import Batch
from zeroseg.datasets.benchmarks import SCENES, SCENES_OBJECTS, Benchmark
from zeroseg.datasets.queries import Queries
from zeroseg.evaluation.evaluate import evaluate
from zeroseg.evaluation.protocols import Protocol, scenes
from zeroseg.evaluation.task import Task, task_for
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.segmenter import Segmenter

TEMPLATES = ("a photo of a {}.", "{}", "there is a {} in the scene.")
COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}
BENCHMARK = Benchmark(
    name="colours", classes=tuple(COLOURS), background=False, unseen=frozenset({"blue"})
)


def embedded(sentence: str) -> Tensor:
    """A text encoder: the colours that a sentence names, and a little of all its other words."""
    noise = torch.Generator().manual_seed(zlib.crc32(sentence.encode()))
    named = torch.tensor([colour for word, colour in COLOURS.items() if word in sentence]).sum(0)
    return F.normalize(named + 0.01 * torch.randn(3, generator=noise), dim=0)


class TwoEncoders:
    """ZegFormer's way: masks classified by queries in few templates, crops by all templates, and
    exponents of either that differ between seen and unseen classes; needs nothing but `Queries`."""

    multiple = 1

    def __init__(self, seen: float, unseen: float) -> None:
        self.exponents = seen, unseen

    def predict(self, images: Tensor, queries: Queries) -> Tensor:
        exponent = torch.where(queries.seen, *self.exponents)[:, None, None]
        masks, crops = (
            torch.stack(
                [
                    F.normalize(sum(embedded(t.format(name)) for t in templates), dim=0)
                    for name in queries.names
                ]
            )
            for templates in (TEMPLATES[:1], TEMPLATES)
        )
        by_mask, by_crop = (
            torch.einsum("bchw,qc->bqhw", images, words).softmax(dim=1) for words in (masks, crops)
        )
        return (by_mask * by_crop) ** exponent


def asked(benchmark: Benchmark = BENCHMARK) -> Task:
    """Words alone: the embeddings say nothing."""
    unseen = [i for i, name in enumerate(benchmark.classes) if name in benchmark.unseen]
    return Task(
        benchmark=benchmark,
        protocol=Protocol(window=0, softmax="none"),
        queries=queries(torch.zeros(3, 1), names=benchmark.classes, unseen=unseen),
        threshold=None,
    )


def test_a_segmenter_that_embeds_the_names_itself_and_fuses_seen_and_unseen_apart_is_evaluated():
    assert isinstance(TwoEncoders(0.5, 0.5), Segmenter)
    labels = torch.randint(3, (2, 4, 6), generator=torch.Generator().manual_seed(0))
    pixels = torch.tensor(list(COLOURS.values()))[labels].movedim(3, 1)
    batch = Batch(("a", "b"), (255 * pixels).byte(), labels)
    accelerator = Accelerator(cpu=True)
    alike, unlike = (
        evaluate(TwoEncoders(*exponents), [batch], asked(), accelerator)
        for exponents in ((0.5, 0.5), (0.5, 5.0))
    )
    assert alike.miou == alike.hiou == 1
    assert unlike.unseen_miou == 0  # so little is an unseen class trusted
    everything_seen = asked(replace(BENCHMARK, unseen=frozenset()))
    assert evaluate(TwoEncoders(0.5, 5.0), [batch], everything_seen, accelerator).miou == 1


def test_the_queries_of_a_task_have_its_words_owners_and_unseen_classes():
    clip = CLIP(CLIPConfig(architecture="zeroseg-scenes", weights=""))
    for benchmark in (SCENES, SCENES_OBJECTS):
        found = task_for(clip, benchmark, scenes(benchmark), 0.5).queries
        assert found.names == benchmark.names
        assert [benchmark.classes[i] for i in found.owners] == list(benchmark.names)
        unseen = {n for n, seen in zip(found.names, found.seen, strict=True) if not seen}
        assert unseen == benchmark.unseen
        assert torch.allclose(found.embeddings.norm(dim=1), torch.ones(len(found.names)))
