"""ZS3Net and ZS5Net on the generator's scenes, from scratch: four stages, minutes on two CPU cores.

    zeroseg seen-unseen --only zs3net        # shards, stages, scores
    zeroseg stages configs/scenes_zs3net.py  # the stages alone, after the shards exist

The first stages train on scenes in which no unseen object is; pseudo labels are of scenes with all objects. Ours:
GroupNorm, for there is no backbone to start from, a narrow decoder, AdamW, and few generated pixels an image, for
an unseen one weighs 100 times what a real one does. The share of pseudo labels is the paper's for Context: with a
quarter, its for VOC, unseen classes gain 3 points on the validation split, with this one 23. Chosen there.
"""

import dataclasses
from pathlib import Path

from zeroseg import (
    AdamW,
    Augmentation,
    Backbone,
    CLIPConfig,
    DataConfig,
    DeepLab,
    DeepLabConfig,
    Generation,
    GeneratorConfig,
    Polynomial,
    PseudoLabels,
    RunConfig,
    Supervision,
    Trained,
    ZS3Net,
)

OUTPUT = Path("runs/scenes_zs3net")

clip = CLIPConfig(architecture="zeroseg-scenes", weights="")
labels = Supervision(
    split="scenes", augmentation=Augmentation(size=112, scale=(0.8, 1.4), jitter=0.0)
)
pseudo = dataclasses.replace(labels, unseen_labels="pseudo")
network = DeepLabConfig(
    backbone=Backbone(name="test_resnet", weights="", norm="group", output_stride=16),
    width=64,
    low_level_width=32,
    rates=(1, 2, 3),
    dropout=(0.0, 0.0, 0.0),
)

seen = RunConfig(
    method=DeepLab(labels=labels, network=network, clip=clip, head_rate=1.0),
    data=DataConfig(shards="data/scenes/train", batch_size=16, workers=0),
    optimizer=AdamW(learning_rate=3e-3),
    schedule=Polynomial(warmup=30),
    steps=400,
    log_every=50,
    output=OUTPUT / "seen",
)

generator = dataclasses.replace(
    seen,
    method=ZS3Net(
        labels=labels,
        network=network,
        start=Trained(path=str(OUTPUT / "seen")),
        generator=GeneratorConfig(embed_dim=64, dropout=0.0),
        generation=Generation(pixels=16, slots=8, unseen_pixels=16),
        templates="bare",
        clip=clip,
    ),
    data=dataclasses.replace(seen.data, batch_size=8),
    steps=400,
    output=OUTPUT / "generator",
)

stages = {
    "seen": seen,
    "generator": generator,
    "labels": PseudoLabels(
        model=str(OUTPUT / "generator"),
        shards="data/scenes/labelled",
        benchmark=labels.split,
        output=str(OUTPUT / "labels"),
        share=0.75,
    ),
    "again": dataclasses.replace(
        seen,
        method=DeepLab(
            labels=pseudo,
            network=network,
            start=Trained(path=str(OUTPUT / "generator")),
            head_rate=1.0,
            clip=clip,
        ),
        data=dataclasses.replace(seen.data, shards=str(OUTPUT / "labels")),
        optimizer=AdamW(learning_rate=1e-3),
        steps=150,
        output=OUTPUT / "again",
    ),
}
