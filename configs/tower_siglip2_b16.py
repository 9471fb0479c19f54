"""SigLIP 2 B/16 distilled into its own tower, on your own photos.

    zeroseg shards build folder photos/ data/photos
    zeroseg train configs/tower_siglip2_b16.py --data.shards data/photos
    zeroseg choose runs/tower_siglip2_b16 --benchmark voc20 --shards data/voc/train

By the cost model, of one H100 at 40 % of its peak, the 10,000 steps take half an hour with the teacher online,
three minutes from its stored embeddings:

    python -m benchmarks.scaling configs/tower_siglip2_b16.py --gpus 1 --images 640000 --each 64

Needs 1.5 GB of weights, which open_clip fetches (text tower included). A patch is read by the tower's own
pooling head over that patch alone. Not run at this size by us. What SPAR (CVPR 2026) reports for the same
tower and 25,000 unlabelled images: from 33.1 to 43.6 mIoU in the mean of six benchmarks.
"""

import dataclasses
from pathlib import Path

from configs.tower_vitb16 import config as VITB16
from zeroseg import CLIPConfig, CLIPTower, Distillation, OnlineTeacher

clip = CLIPConfig(architecture="ViT-B-16-SigLIP2", weights="webli")

assert isinstance(VITB16.method, Distillation)

config = dataclasses.replace(
    VITB16,
    method=dataclasses.replace(
        VITB16.method,
        student=dataclasses.replace(
            VITB16.method.student, trunk=CLIPTower(clip=clip), embed_dim=768
        ),
        teacher=OnlineTeacher(clip=clip),
    ),
    output=Path("runs/tower_siglip2_b16"),
)
