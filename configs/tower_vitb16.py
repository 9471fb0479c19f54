"""CLIP B/16 distilled into its own tower, on your own photos: the first thing to try on a GPU.

    zeroseg shards build folder photos/ data/photos
    zeroseg train configs/tower_vitb16.py --data.shards data/photos
    zeroseg choose runs/tower_vitb16 --benchmark voc20 --shards data/voc/train

By the cost model, of one H100 at 40 % of its peak, the 10,000 steps take half an hour with the teacher online,
three minutes from its stored embeddings:

    python -m benchmarks.scaling configs/tower_vitb16.py --gpus 1 --images 640000 --each 64

Needs 150 MB of weights, which open_clip fetches. `--dry-run` says memory and time on your machine; with
`zeroseg embed` before it a step has no teacher in it. Not run at this size by us. What others report for
images alone and the same tower: PH-Reg 63.0 / 34.5 / 35.3 mIoU on VOC21 / Context60 / COCO-Object (NeurIPS
2025), from 32.2 to 40.7 in the mean of eight benchmarks. What this recipe does at a small size:
docs/quickstart.md and docs/ablations.md.
"""

from pathlib import Path

from configs.composition import composition_student
from zeroseg import (
    AdamW,
    CLIPConfig,
    CLIPTower,
    Cosine,
    DataConfig,
    Distillation,
    OnlineTeacher,
    RunConfig,
    TeacherTower,
    Trainable,
    ViewComposition,
)

clip = CLIPConfig(architecture="ViT-B-16", weights="openai")

config = RunConfig(
    method=Distillation(
        student=composition_student(
            image_size=336,
            trunk=CLIPTower(clip=clip),
            mask_ratio=0.8,
            detached_head=True,
            zoom=1.5,
            embed_dim=512,
            decoder_depth=0,
        ),
        teacher=OnlineTeacher(clip=clip),
        losses=ViewComposition(),
        view_size=448,
        start=TeacherTower(),
        trainable=Trainable(rate=0.1),
    ),
    data=DataConfig(shards="data/photos", batch_size=64),
    optimizer=AdamW(learning_rate=2e-4),
    schedule=Cosine(warmup=500),
    steps=10_000,
    output=Path("runs/tower_vitb16"),
)
