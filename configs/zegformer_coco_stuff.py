"""ZegFormer on COCO-Stuff 156/15: ResNet-50, CLIP B/16 (Ding et al., CVPR 2022).

    zeroseg shards build coco-stuff coco data/coco-stuff/train --split train2017
    zeroseg shards build coco-stuff coco data/coco-stuff/val
    accelerate launch --config_file configs/accelerate/node.yaml -m pipelines.train \\
        configs/zegformer_coco_stuff.py
    zeroseg evaluate runs/zegformer_coco_stuff --benchmark coco-stuff171-156-15 --shards data/coco-stuff/val \\
        --protocol.name seen-unseen

The paper's S/U/H is 36.6 / 33.2 / 34.8, as other papers list it; its ablations have 21.4 U of the queries alone,
19.7 / 31.0 / 33.1 U with crop, mask and cropmask. Numbers here are those of its code (dingjiansw101/ZegFormer,
commit 8cb9e8f). What could not be known: the backbone of the printed row; and the eight templates that its queries
learn, of which these are the seven that OpenAI names.

Not run at this size by us: nothing here says that this file reaches the paper's numbers.
"""

import dataclasses
from pathlib import Path

from configs.zegformer_voc import config as VOC
from zeroseg import Augmentation, Supervision, ZegFormer

assert isinstance(VOC.method, ZegFormer)

config = dataclasses.replace(
    VOC,
    method=dataclasses.replace(
        VOC.method,
        labels=Supervision(
            split="coco-stuff171-156-15", augmentation=Augmentation(size=640, scale=(0.5, 1.5))
        ),
        query_templates="imagenet7",
    ),
    data=dataclasses.replace(VOC.data, shards="data/coco-stuff/train"),
    steps=60_000,
    output=Path("runs/zegformer_coco_stuff"),
)
