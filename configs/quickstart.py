"""The embedded default: a small student on the generator's scenes, minutes on two CPU cores.

zeroseg quickstart                               # shards, training, scores, report
zeroseg train configs/quickstart.py              # the training alone, after the shards exist

Batch, learning rate and the missing reconstruction decoder were chosen on the validation split: at
this length reconstruction took a third of the time and gained nothing (docs/quickstart.md).
"""

from pathlib import Path

from zeroseg import (
    CLIPConfig,
    DataConfig,
    OnlineTeacher,
    RunConfig,
    ViewComposition,
    ZeroSegConfig,
)

teacher = OnlineTeacher(clip=CLIPConfig(architecture="zeroseg-scenes", weights=""))

config = RunConfig(
    model=ZeroSegConfig(
        image_size=112,
        patch_size=8,
        width=128,
        depth=4,
        num_heads=4,
        embed_dim=64,
        decoder_depth=0,
        assignment="soft",
        cosine_assignment=True,
        token_std=1.0,
        patch_embeddings=True,
    ),
    teacher=teacher,
    data=DataConfig(
        shards="data/scenes/train", image_size=112, batch_size=16, workers=0, shuffle=1000
    ),
    objective=ViewComposition(),
    steps=600,
    warmup=60,
    learning_rate=1.5e-3,
    log_every=50,
    save_every=600,
    output=Path("runs/quickstart/student"),
)
