"""ZegCLIP's decoder on the scenes' own CLIP: minutes on two CPU cores.

    zeroseg seen-unseen --only zegclip        # shards, training, scores
    zeroseg stages configs/scenes_zegclip.py  # the training alone, after the shards exist

Ours: patches as MaskCLIP reads them, for the tower that is frozen here has only four blocks; one layer and one head. Chosen on
the validation split.
"""

from pathlib import Path

from zeroseg import (
    AdamW,
    Augmentation,
    ClassMaskLoss,
    CLIPConfig,
    DataConfig,
    Polynomial,
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
        patches="maskclip",
        zoom=1.5,
        width=64,
        layers=1,
        heads=1,
        dropout=0.0,
        templates="bare",
        loss=ClassMaskLoss(dice=10.0),
    ),
    data=DataConfig(shards="data/scenes/labelled", batch_size=8, workers=0),
    optimizer=AdamW(learning_rate=3e-3, weight_decay=0.01),
    schedule=Polynomial(warmup=30),
    steps=400,
    log_every=50,
    output=Path("runs/scenes_zegclip/seen"),
)

stages = {"seen": seen}
