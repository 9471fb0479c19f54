"""The embedded default: a small student on the generator's scenes, minutes on two CPU cores.

zeroseg quickstart                               # shards, training, scores, report
zeroseg train configs/quickstart.py              # the training alone, after the shards exist
"""

from pathlib import Path

from zeroseg import CLIPConfig, DataConfig, RunConfig, ViewComposition, ZeroSegConfig

config = RunConfig(
    model=ZeroSegConfig(
        image_size=112,
        patch_size=8,
        width=128,
        depth=4,
        num_heads=4,
        embed_dim=64,
        decoder_depth=2,
        decoder_width=64,
        decoder_heads=2,
        assignment="soft",
        cosine_assignment=True,
        token_std=1.0,
        patch_embeddings=True,
    ),
    teacher=CLIPConfig(architecture="zeroseg-scenes", weights=""),
    data=DataConfig(
        shards="data/scenes/train-*.tar", image_size=112, batch_size=32, workers=0, shuffle=1000
    ),
    objective=ViewComposition(),
    remember=10_000,
    steps=300,
    warmup=30,
    learning_rate=1e-3,
    log_every=25,
    save_every=300,
    output=Path("runs/quickstart/student"),
)
