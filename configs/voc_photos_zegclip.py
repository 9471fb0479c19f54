"""ZegCLIP's decoder on the teacher of real photos: 15 seen and 5 unseen classes of VOC, on a CPU (docs/real_photos.md).

    zeroseg seen-unseen --world voc --only zegclip     # shards, training, scores

Needs ZEROSEG_REAL. The teacher's tower is a MobileNetV2, which has no prompts: the decoder alone learns, with what was
chosen on the scenes' validation split. Photos of 224 pixels: ours, for minutes on two cores.
"""

from pathlib import Path

from configs.real_photos import clip
from zeroseg import (
    AdamW,
    Augmentation,
    ClassMaskLoss,
    DataConfig,
    Polynomial,
    RunConfig,
    Supervision,
    ZegCLIP,
)

seen = RunConfig(
    method=ZegCLIP(
        clip=clip,
        labels=Supervision(
            split="voc20-15-5",
            augmentation=Augmentation(size=224, scale=(0.75, 1.5), jitter=0.5),
        ),
        prompts=0,
        patches="maskclip",
        layers=1,
        heads=1,
        dropout=0.0,
        initial_std=0.0,
        loss=ClassMaskLoss(dice=10.0, stride=4),
    ),
    data=DataConfig(shards="data/real/sbd", batch_size=8, workers=0),
    optimizer=AdamW(learning_rate=2e-2, weight_decay=0.01),
    schedule=Polynomial(warmup=30),
    steps=250,
    log_every=50,
    output=Path("runs/voc_photos_zegclip/seen"),
)

stages = {"seen": seen}
