"""A small student on real photos with a small real teacher, on a CPU (docs/real_photos.md).

    zeroseg shards build folder $ZEROSEG_REAL/photos/imagenet data/real/photos
    zeroseg train configs/real_photos.py

Needs ZEROSEG_REAL: a folder with `teacher/`, whose register.py makes `mnv2-cliptext` known to
open_clip. That teacher is a fixture, not CLIP: no score with it compares with a published one.
"""

import os
from pathlib import Path

from configs.composition import composition_student
from zeroseg import (
    AdamW,
    CLIPConfig,
    Cosine,
    DataConfig,
    Distillation,
    OnlineTeacher,
    RunConfig,
    ViewComposition,
    ViewSet,
    ViT,
)

teacher = Path(os.environ.get("ZEROSEG_REAL", "../shared/real")) / "teacher"

config = RunConfig(
    method=Distillation(
        student=composition_student(
            image_size=160,
            trunk=ViT(width=128, depth=4, num_heads=4),
            embed_dim=512,
            mask_ratio=0.3,
            decoder_depth=1,
            decoder_width=64,
            decoder_heads=2,
        ),
        teacher=OnlineTeacher(
            views=ViewSet(grids=(1, 2, 3)),
            clip=CLIPConfig(
                architecture="mnv2-cliptext",
                weights=str(teacher / "mnv2-cliptext.safetensors"),
                mean=(0.5, 0.5, 0.5),
                std=(0.5, 0.5, 0.5),
                register=str(teacher / "register.py"),
            ),
        ),
        losses=ViewComposition(),
    ),
    data=DataConfig(shards="data/real/photos", batch_size=16, workers=0),
    optimizer=AdamW(learning_rate=1e-3),
    schedule=Cosine(warmup=25),
    steps=250,
    save_every=250,
    output=Path("runs/real_photos"),
)
