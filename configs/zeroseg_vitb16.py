"""ZeroSeg as in the paper: ViT-B/16 on ImageNet-1k, taught by CLIP L/14 (Chen et al., ICCV 2023).

    accelerate launch --config_file configs/accelerate/node.yaml -m pipelines.train \\
        configs/zeroseg_vitb16.py --data.shards data/imagenet

The batch of 4096 is over all processes: 512 each on 8 GPUs. The paper reports 84 V100-hours with
embeddings computed beforehand, and 40.8 / 20.4 / 20.2 mIoU on VOC, Context and COCO. Not run by us:
nothing here says that this file reaches them. Field docstrings say which values are ours.
"""

from pathlib import Path

from zeroseg import (
    AdamW,
    CLIPConfig,
    Cosine,
    DataConfig,
    Distillation,
    OnlineTeacher,
    RunConfig,
    ZeroSegConfig,
    ZeroSegPaper,
)

STEPS_PER_EPOCH = 1_281_167 // 4096

config = RunConfig(
    method=Distillation(
        student=ZeroSegConfig(),
        teacher=OnlineTeacher(clip=CLIPConfig(architecture="ViT-L-14", weights="openai")),
        losses=ZeroSegPaper(),
    ),
    data=DataConfig(shards="data/imagenet", batch_size=4096, workers=8),
    # The base rate 1.5e-4 at batch 256 (section 4.1), scaled to the batch.
    optimizer=AdamW(learning_rate=2.4e-3),
    schedule=Cosine(warmup=20 * STEPS_PER_EPOCH),
    steps=80 * STEPS_PER_EPOCH,
    save_every=STEPS_PER_EPOCH,
    output=Path("runs/zeroseg_vitb16"),
)
