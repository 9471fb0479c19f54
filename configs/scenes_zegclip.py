"""ZegCLIP's decoder on the scenes' own CLIP: minutes on two CPU cores.

    zeroseg seen-unseen --only zegclip        # shards, training, scores
    zeroseg stages configs/scenes_zegclip.py  # the training alone, after the shards exist

Ours: one layer and one head, weights drawn larger, no prompts, for a few hundred steps: with prompts such a training
costs three times the time and is not near its end after it. Chosen on the validation split.
"""

from pathlib import Path

from zeroseg import (
    AdamW,
    Augmentation,
    ClassMaskLoss,
    CLIPConfig,
    Cosine,
    DataConfig,
    RunConfig,
    Supervision,
    ZegCLIP,
)

seen = RunConfig(
    method=ZegCLIP(
        clip=CLIPConfig(architecture="zeroseg-scenes", weights=""),
        labels=Supervision(
            split="scenes", augmentation=Augmentation(size=112, scale=(1.0, 1.0), jitter=0.0)
        ),
        prompts=0,
        layers=1,
        heads=1,
        dropout=0.0,
        initial_std=0.0,
        templates="bare",
        loss=ClassMaskLoss(dice=10.0, stride=4),
        calibration=0.0,
    ),
    data=DataConfig(shards="data/scenes/labelled", batch_size=16, workers=0),
    optimizer=AdamW(learning_rate=2e-2, weight_decay=0.01),
    schedule=Cosine(warmup=20),
    steps=600,
    log_every=50,
    output=Path("runs/scenes_zegclip/seen"),
)

stages = {"seen": seen}
