"""ZegFormer on the generator's scenes, from scratch: minutes on two CPU cores.

    zeroseg seen-unseen --only zegformer        # shards, training, scores
    zeroseg stages configs/scenes_zegformer.py  # the training alone, after the shards exist

A small network with GroupNorm, for there is no backbone to start from; masks weigh more than in the paper, which starts
from ImageNet's weights, and classes are softer, for the same reason. Chosen on the validation split.
"""

from pathlib import Path

from zeroseg import (
    AdamW,
    Augmentation,
    Backbone,
    CLIPConfig,
    Costs,
    DataConfig,
    MaskLosses,
    MaskProposalsConfig,
    Polynomial,
    RunConfig,
    Supervision,
    ZegFormer,
)

clip = CLIPConfig(architecture="zeroseg-scenes", weights="")
labels = Supervision(
    split="scenes", augmentation=Augmentation(size=112, scale=(1.0, 1.0), jitter=0.0)
)
proposals = MaskProposalsConfig(
    backbone=Backbone(name="test_resnet", weights="", norm="group"),
    queries=24,
    width=64,
    layers=3,
    heads=4,
    feedforward=256,
    dropout=0.0,
    memory_stride=16,
    embed_dim=64,
    temperature=0.03,
)
losses = MaskLosses(
    class_weight=2.0,
    dice_weight=5.0,
    costs=Costs(class_weight=2.0, dice_weight=5.0),
    full_size=False,
)

seen = RunConfig(
    method=ZegFormer(
        clip=clip,
        labels=labels,
        proposals=proposals,
        losses=losses,
        query_templates="bare",
        region_templates="bare",
        backbone_rate=1.0,
    ),
    data=DataConfig(shards="data/scenes/labelled", batch_size=8, workers=0),
    optimizer=AdamW(learning_rate=1e-3, weight_decay=1e-4),
    schedule=Polynomial(warmup=60),
    steps=1_200,
    log_every=50,
    output=Path("runs/scenes_zegformer/seen"),
)

stages = {"seen": seen}
