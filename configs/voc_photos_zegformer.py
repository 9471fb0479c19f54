"""ZegFormer on real VOC photos of 15 seen and 5 unseen classes, on a CPU (docs/real_photos.md).

    zeroseg seen-unseen --world voc --only zegformer     # shards, training, scores

Needs ZEROSEG_REAL: a folder with `teacher/`, whose register.py makes its MobileNetV2 known to timm. The backbone
starts as that teacher's trunk, whose weights are ImageNet's, unseen classes among them; the teacher says words and looks
at regions. A small decoder, AdamW at a higher rate and photos of 224 pixels: ours, for minutes on two cores.
"""

from pathlib import Path

from configs.real_photos import clip, teacher
from zeroseg import (
    AdamW,
    Augmentation,
    Backbone,
    Costs,
    DataConfig,
    MaskLosses,
    MaskProposalsConfig,
    Polynomial,
    RunConfig,
    Supervision,
    ZegFormer,
)

labels = Supervision(
    split="voc20-15-5", augmentation=Augmentation(size=224, scale=(0.75, 1.5), jitter=0.5)
)
backbone = Backbone(
    name="mobilenetv2_same_100",
    weights=str(teacher / "mnv2-cliptext.safetensors"),
    prefix="visual.trunk.",
    register=str(teacher / "register.py"),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
proposals = MaskProposalsConfig(
    backbone=backbone,
    queries=24,
    width=64,
    layers=3,
    heads=4,
    feedforward=256,
    dropout=0.0,
    memory_stride=16,
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
        query_templates="simple",
        region_templates="simple",
    ),
    data=DataConfig(shards="data/real/sbd", batch_size=8, workers=0),
    optimizer=AdamW(learning_rate=1e-3, weight_decay=1e-4),
    schedule=Polynomial(warmup=30),
    steps=300,
    log_every=50,
    output=Path("runs/voc_photos_zegformer/seen"),
)

stages = {"seen": seen}
