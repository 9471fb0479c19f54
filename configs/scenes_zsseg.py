"""zsseg on the generator's scenes, from scratch, with self-training: minutes on two CPU cores.

    zeroseg seen-unseen --only zsseg        # shards, stages, scores
    zeroseg stages configs/scenes_zsseg.py  # the stages alone, after the shards exist

The proposals are those of scenes_zegformer.py with zsseg's class head; self-training goes on from them, on the first 1,000
scenes, for to label one takes as long as three steps of training on it. Chosen on the validation split.
"""

import dataclasses
from pathlib import Path

from configs.scenes_zegformer import clip, labels, losses, proposals
from configs.scenes_zegformer import seen as ZEGFORMER
from zeroseg import (
    SGD,
    Cosine,
    PromptConfig,
    PromptLearning,
    PseudoLabels,
    Trained,
    ZSSeg,
)

OUTPUT = Path("runs/scenes_zsseg")

pseudo = dataclasses.replace(labels, unseen_labels="pseudo")
shape = PromptConfig(width=64)

prompt = dataclasses.replace(
    ZEGFORMER,
    method=PromptLearning(clip=clip, labels=labels, prompt=shape),
    optimizer=SGD(learning_rate=0.02, weight_decay=5e-4),
    schedule=Cosine(),
    steps=200,
    output=OUTPUT / "prompt",
)

method = ZSSeg(
    clip=clip,
    labels=labels,
    proposals=dataclasses.replace(proposals, head="mlp", unit_no_object=True),
    losses=losses,
    backbone_rate=1.0,
    prompt_from=Trained(path=str(OUTPUT / "prompt")),
    prompt=shape,
)

seen = dataclasses.replace(ZEGFORMER, method=method, output=OUTPUT / "seen")

stages = {
    "prompt": prompt,
    "seen": seen,
    "labels": PseudoLabels(
        model=str(OUTPUT / "seen"),
        shards=f"{seen.data.shards}/shard-{{000000..000001}}.tar",
        benchmark=labels.split,
        output=str(OUTPUT / "labels"),
        unseen_only=True,
    ),
    "again": dataclasses.replace(
        seen,
        method=dataclasses.replace(method, labels=pseudo, start=Trained(path=str(OUTPUT / "seen"))),
        data=dataclasses.replace(seen.data, shards=str(OUTPUT / "labels")),
        steps=400,
        output=OUTPUT / "again",
    ),
}
