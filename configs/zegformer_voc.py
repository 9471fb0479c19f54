"""ZegFormer on PASCAL VOC 15/5: ResNet-50, CLIP B/16 (Ding et al., CVPR 2022).

    zeroseg shards build voc VOCdevkit data/voc/train_aug --split train_aug --sbd benchmark_RELEASE
    zeroseg shards build voc VOCdevkit data/voc/val
    accelerate launch --config_file configs/accelerate/node.yaml -m pipelines.train configs/zegformer_voc.py
    zeroseg evaluate runs/zegformer_voc --benchmark voc20-15-5 --shards data/voc/val --protocol.name seen-unseen

The paper's S/U/H is 86.4 / 63.6 / 73.3, as other papers list it. Numbers here are those of its code
(dingjiansw101/ZegFormer, commit 8cb9e8f), whose README calls this length unstable: it has a config of 30,000
steps too. What could not be known: the backbone of the printed row (the code has ResNet-50 and 101), and whether
fusion was on: the code's config of ResNet-50 for VOC turns it off, so that regions answer alone (`--readout
regions`), without calibration.

Not run at this size by us: nothing here says that this file reaches the paper's numbers.
"""

from pathlib import Path

from zeroseg import (
    AdamW,
    Augmentation,
    CLIPConfig,
    DataConfig,
    MaskProposalsConfig,
    Polynomial,
    RunConfig,
    Supervision,
    ZegFormer,
)

config = RunConfig(
    method=ZegFormer(
        clip=CLIPConfig(architecture="ViT-B-16", weights="openai"),
        labels=Supervision(
            split="voc20-15-5", augmentation=Augmentation(size=512, scale=(0.5, 2.0))
        ),
        proposals=MaskProposalsConfig(),
    ),
    data=DataConfig(shards="data/voc/train_aug", batch_size=32),
    optimizer=AdamW(learning_rate=1e-4, weight_decay=1e-4, betas=(0.9, 0.999)),
    schedule=Polynomial(power=0.9),
    clip_norm=0.01,
    steps=10_000,
    output=Path("runs/zegformer_voc"),
)
