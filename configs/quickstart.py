"""The embedded default: a small student on the generator's scenes, minutes on two CPU cores.

zeroseg quickstart                               # shards, training, scores, report
zeroseg train configs/quickstart.py              # the training alone, after the shards exist

Batch, learning rate and the missing reconstruction decoder were chosen on the validation split: at
this length reconstruction took a third of the time and gained nothing (docs/quickstart.md).
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

teacher = OnlineTeacher(clip=CLIPConfig(architecture="zeroseg-scenes", weights=""))

method = Distillation(
    student=composition_student(
        image_size=112,
        trunk=ViT(patch_size=8, width=128, depth=4, num_heads=4),
        embed_dim=64,
        decoder_depth=0,
    ),
    teacher=teacher,
    losses=ViewComposition(),
)

config = RunConfig(
    method=method,
    data=DataConfig(shards="data/scenes/train", batch_size=16, workers=0, shuffle=1000),
    optimizer=AdamW(learning_rate=1.5e-3),
    schedule=Cosine(warmup=60),
    steps=600,
    log_every=50,
    save_every=600,
    output=Path("runs/quickstart/student"),
)
