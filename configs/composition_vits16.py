"""Our objective on a ViT-S/16 with CLIP B/16: the first thing to try on your own photos.

    zeroseg shards build folder photos/ data/photos
    zeroseg train configs/composition_vits16.py --data.shards data/photos

Not run at this size by us; the same objective at the quickstart's size is in docs/ablations.md.
"""

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
    ViT,
)

config = RunConfig(
    method=Distillation(
        student=composition_student(
            trunk=ViT(width=384, num_heads=6),
            embed_dim=512,
            decoder_depth=2,
            decoder_width=256,
            decoder_heads=8,
        ),
        teacher=OnlineTeacher(clip=CLIPConfig(architecture="ViT-B-16", weights="openai")),
        losses=ViewComposition(),
    ),
    data=DataConfig(shards="data/photos", batch_size=64),
    optimizer=AdamW(learning_rate=6e-4),
    schedule=Cosine(warmup=1_000),
    steps=20_000,
    output=Path("runs/composition_vits16"),
)
