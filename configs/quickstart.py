"""The embedded default: a student on the generator's scenes, minutes on two CPU cores.

zeroseg quickstart                               # shards, training, scores, report
zeroseg train configs/quickstart.py              # the training alone, after the shards exist

The trunk is the teacher's own tower and starts as it; the student reads the scenes, of 112 pixels, enlarged
to 168, for finer patches. Batch, rates and the missing reconstruction decoder
were chosen on the validation split (docs/quickstart.md, docs/ablations.md).
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

teacher = OnlineTeacher(clip=CLIPConfig(architecture="zeroseg-scenes", weights=""))

method = Distillation(
    student=composition_student(
        image_size=168,
        zoom=1.5,
        trunk=CLIPTower(clip=teacher.clip),
        mask_ratio=0.8,
        detached_head=True,
        embed_dim=64,
        decoder_depth=0,
    ),
    teacher=teacher,
    view_size=112,
    losses=ViewComposition(),
    start=TeacherTower(),
    trainable=Trainable(rate=0.3),
)

config = RunConfig(
    method=method,
    data=DataConfig(shards="data/scenes/train", batch_size=16, workers=0),
    optimizer=AdamW(learning_rate=1.5e-3),
    schedule=Cosine(warmup=60),
    steps=600,
    log_every=50,
    save_every=600,
    output=Path("runs/quickstart/student"),
)
