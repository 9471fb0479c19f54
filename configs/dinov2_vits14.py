"""Our objective on a student that starts from DINOv2 ViT-S/14 with registers, with CLIP B/16 as teacher.

    zeroseg shards build folder photos/ data/photos
    zeroseg train configs/dinov2_vits14.py --data.shards data/photos

DINOv2's features know which patches belong together, and no words; the teacher's views bring these.
Needs the network once, for both models' weights (22 and 86 million parameters), or their files:
`--method.start.source FILE` and `--method.teacher.clip.weights FILE`. Another trunk of timm:
`--method.student.trunk.name vit_small_patch16_dinov3`, and `--method.student.image-size` where 224 is no
multiple of its patch.

Not run at this size by us: no number is promised. Length and rate are those of composition_vits16.py; the
trunk learns at a tenth of that and sees every patch, which is a guess.
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
    TimmTrunk,
    Trainable,
    TrunkWeights,
    ViewComposition,
)

config = RunConfig(
    method=Distillation(
        student=composition_student(
            image_size=224,
            trunk=TimmTrunk(name="vit_small_patch14_reg4_dinov2.lvd142m"),
            embed_dim=512,
            mask_ratio=0.0,
            decoder_depth=0,
        ),
        teacher=OnlineTeacher(clip=CLIPConfig(architecture="ViT-B-16", weights="openai")),
        losses=ViewComposition(),
        start=TrunkWeights(),
        trainable=Trainable(rate=0.1),
    ),
    data=DataConfig(shards="data/photos", batch_size=64),
    optimizer=AdamW(learning_rate=6e-4),
    schedule=Cosine(warmup=1_000),
    steps=20_000,
    output=Path("runs/dinov2_vits14"),
)
