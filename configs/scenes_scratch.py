"""The quickstart's student with a small ViT from scratch in place of its teacher's tower, to compare.

zeroseg train configs/scenes_scratch.py          # after `zeroseg quickstart` made the shards

A row of docs/ablations.md, where it is far behind after 80 steps.
"""

import dataclasses
from pathlib import Path

from configs.quickstart import config as QUICKSTART
from configs.quickstart import method as METHOD
from zeroseg import Trainable, ViT

method = dataclasses.replace(
    METHOD,
    student=dataclasses.replace(
        METHOD.student,
        trunk=ViT(patch_size=8, width=128, depth=4, num_heads=4),
        image_size=112,
        zoom=1.0,
        mask_ratio=0.6,
        detached_head=False,
    ),
    view_size=0,
    start=None,
    trainable=Trainable(),
)

config = dataclasses.replace(QUICKSTART, method=method, output=Path("runs/scenes_scratch"))
