"""A teacher's own small tower taught by its views of real photos, on a CPU (docs/real_photos.md).

    zeroseg shards build folder $ZEROSEG_REAL/photos/imagenet data/real/photos
    zeroseg train configs/real_photos.py

Needs ZEROSEG_REAL: a folder with `teacher/`, whose register.py makes `mnv2-cliptext` known to
open_clip. That teacher is a fixture, not CLIP: no score with it compares with a published one.

The trunk starts as the teacher's MobileNetV2 and head; each patch learns to say, in its own context, what
the fused reading of the teacher says of it: in one pass what takes the teacher fifteen.
"""

import os
from pathlib import Path

from configs.composition import composition_student
from zeroseg import (
    AdamW,
    CLIPConfig,
    CLIPTower,
    Cosine,
    DataConfig,
    DenseTarget,
    Distillation,
    OnlineTeacher,
    RunConfig,
    TeacherTower,
    Trainable,
    ViewComposition,
    ViewSet,
)

teacher = Path(os.environ.get("ZEROSEG_REAL", "../shared/real")) / "teacher"

clip = CLIPConfig(
    architecture="mnv2-cliptext",
    weights=str(teacher / "mnv2-cliptext.safetensors"),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    register=str(teacher / "register.py"),
)

config = RunConfig(
    method=Distillation(
        student=composition_student(
            image_size=224,
            trunk=CLIPTower(clip=clip),
            embed_dim=512,
            context=(1.0, 1.0),
            mask_ratio=0.0,
            decoder_depth=0,
            head_width=128,
            head_heads=4,
            detached_head=True,
        ),
        teacher=OnlineTeacher(
            clip=clip,
            views=ViewSet(grids=(1, 2, 3)),
            dense=DenseTarget(reading="fused", views=ViewSet(grids=(1,))),
        ),
        losses=ViewComposition(patches_weight=0.0, dense_weight=1.0),
        start=TeacherTower(),
        trainable=Trainable(blocks=3, patch_embedding=False, rate=0.1),
    ),
    data=DataConfig(shards="data/real/photos", batch_size=16, workers=0),
    optimizer=AdamW(learning_rate=1e-3, betas=(0.9, 0.95), weight_decay=0.0),
    schedule=Cosine(warmup=20),
    steps=200,
    save_every=200,
    output=Path("runs/real_photos"),
)
