"""ZS3Net and ZS5Net on real VOC photos of 15 seen and 5 unseen classes, on a CPU (docs/real_photos.md).

    zeroseg seen-unseen --world voc --only zs3net     # shards, stages, scores

Needs ZEROSEG_REAL: a folder with `teacher/`, whose register.py makes its MobileNetV2 known to timm. The backbone
starts as that teacher's trunk, whose weights are ImageNet's, unseen classes among them; classes are embedded by its
text tower. Photos of 224 pixels, a narrow decoder, AdamW, pseudo labels of the first 1,000 photos: ours, for minutes
on two cores.
"""

import dataclasses
from pathlib import Path

from configs.real_photos import clip, teacher
from zeroseg import (
    AdamW,
    Augmentation,
    Backbone,
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

OUTPUT = Path("runs/voc_photos_zs3net")

labels = Supervision(
    split="voc20-15-5", augmentation=Augmentation(size=224, scale=(0.75, 1.5), jitter=0.5)
)
pseudo = dataclasses.replace(labels, unseen_labels="pseudo")
network = DeepLabConfig(
    backbone=Backbone(
        name="mobilenetv2_same_100",
        weights=str(teacher / "mnv2-cliptext.safetensors"),
        prefix="visual.trunk.",
        register=str(teacher / "register.py"),
        output_stride=16,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
    width=64,
    low_level_width=32,
    rates=(2, 4, 6),
    dropout=(0.0, 0.0, 0.0),
)

seen = RunConfig(
    method=DeepLab(labels=labels, network=network, clip=clip),
    data=DataConfig(shards="data/real/sbd", batch_size=8, workers=0),
    optimizer=AdamW(learning_rate=1e-4),
    schedule=Polynomial(warmup=30),
    steps=200,
    log_every=50,
    output=OUTPUT / "seen",
)

generator = dataclasses.replace(
    seen,
    method=ZS3Net(
        labels=labels,
        network=network,
        start=Trained(path=str(OUTPUT / "seen")),
        generator=GeneratorConfig(embed_dim=512, dropout=0.0),
        generation=Generation(pixels=16, slots=4, unseen_pixels=16),
        clip=clip,
    ),
    optimizer=AdamW(learning_rate=3e-3),
    steps=300,
    output=OUTPUT / "generator",
)

stages = {
    "seen": seen,
    "generator": generator,
    "labels": PseudoLabels(
        model=str(OUTPUT / "generator"),
        shards=f"{seen.data.shards}/shard-{{000000..000001}}.tar",
        benchmark=labels.split,
        output=str(OUTPUT / "labels"),
        share=0.25,
    ),
    "again": dataclasses.replace(
        seen,
        method=DeepLab(
            labels=pseudo,
            network=network,
            start=Trained(path=str(OUTPUT / "generator")),
            clip=clip,
        ),
        data=dataclasses.replace(seen.data, shards=str(OUTPUT / "labels")),
        steps=100,
        output=OUTPUT / "again",
    ),
}
