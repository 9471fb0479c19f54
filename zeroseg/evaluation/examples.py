"""Rows of pictures that show what a student makes of an image."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from zeroseg.data.batch import Batch
from zeroseg.data.benchmarks import IGNORE, Benchmark
from zeroseg.evaluation.evaluate import Protocol, mapped_labels
from zeroseg.evaluation.inference import label_map, slide
from zeroseg.evaluation.pictures import Picture, coloured, pixels, side_by_side, with_legend
from zeroseg.evaluation.segmenters import Student


def examples(
    segmenter: Student,
    batches: Iterable[Batch],
    benchmark: Benchmark,
    class_embeddings: Float[Tensor, "class embed"],
    protocol: Protocol,
) -> Iterator[tuple[str, Picture]]:
    """Of every image its key and a row: image, truth, prediction, the student's segments."""
    for batch in batches:
        batch = batch.to(class_embeddings.device)
        for i, key in enumerate(batch.keys):
            image, labels = batch.pixels[i : i + 1], batch.labels
            assert labels is not None
            truth = mapped_labels(labels[i], benchmark, (key,))
            scores = slide(segmenter, image, class_embeddings, protocol.window, protocol.stride)
            shape = (truth.shape[0], truth.shape[1])
            prediction = label_map(scores, shape, protocol.background_threshold)[0]
            with torch.no_grad():
                assignment = segmenter.model.segment(image).assignment
            rows = image.shape[2] // segmenter.model.config.patch_size
            owners = label_map(assignment.unflatten(2, (rows, -1)), shape, None)[0]
            present = sorted({*truth.unique().tolist(), *prediction.unique().tolist()} - {IGNORE})
            shown = [pixels(image[0]), coloured(truth), coloured(prediction), coloured(owners)]
            legend = {c: benchmark.classes[c] for c in present}
            yield key, with_legend(side_by_side(shown), legend)
