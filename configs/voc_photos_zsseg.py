"""zsseg on real VOC photos of 15 seen and 5 unseen classes, with self-training, on a CPU (docs/real_photos.md).

    zeroseg seen-unseen --world voc --only zsseg     # shards, stages, scores

Needs ZEROSEG_REAL. The proposals are those of voc_photos_zegformer.py with zsseg's class head; self-training goes on from
them, on the first 500 photos, for to label one takes long. The prompt has 4 vectors, for the teacher's text tower reads
20 tokens, and learns briefly: more fits seen classes alone.
"""

import dataclasses
from pathlib import Path

from configs.voc_photos_zegformer import clip, labels, losses, proposals
from configs.voc_photos_zegformer import seen as ZEGFORMER
from zeroseg import (
    SGD,
    Cosine,
    PromptConfig,
    PromptLearning,
    PseudoLabels,
    Trained,
    ZSSeg,
)

OUTPUT = Path("runs/voc_photos_zsseg")

pseudo = dataclasses.replace(labels, unseen_labels="pseudo")
shape = PromptConfig(length=4, width=128)

prompt = dataclasses.replace(
    ZEGFORMER,
    method=PromptLearning(clip=clip, labels=labels, prompt=shape),
    data=dataclasses.replace(ZEGFORMER.data, batch_size=16),
    optimizer=SGD(learning_rate=0.02, weight_decay=5e-4),
    schedule=Cosine(),
    steps=50,
    output=OUTPUT / "prompt",
)

method = ZSSeg(
    clip=clip,
    labels=labels,
    proposals=dataclasses.replace(proposals, head="mlp", unit_no_object=True),
    losses=losses,
    query_templates="simple",
    prompt_from=Trained(path=str(OUTPUT / "prompt")),
    prompt=shape,
)

seen = dataclasses.replace(ZEGFORMER, method=method, output=OUTPUT / "seen")

stages = {
    "prompt": prompt,
    "seen": seen,
    "labels": PseudoLabels(
        model=str(OUTPUT / "seen"),
        shards=f"{seen.data.shards}/shard-000000.tar",
        benchmark=labels.split,
        output=str(OUTPUT / "labels"),
        unseen_only=True,
    ),
    "again": dataclasses.replace(
        seen,
        method=dataclasses.replace(method, labels=pseudo, start=Trained(path=str(OUTPUT / "seen"))),
        data=dataclasses.replace(seen.data, shards=str(OUTPUT / "labels")),
        steps=100,
        output=OUTPUT / "again",
    ),
}
