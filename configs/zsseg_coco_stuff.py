"""zsseg on COCO-Stuff 156/15: ResNet-50, CLIP B/16, a learnt prompt, self-training (Xu et al., ECCV 2022).

    zeroseg shards build coco-stuff coco data/coco-stuff/train --split train2017
    zeroseg shards build coco-stuff coco data/coco-stuff/val
    accelerate launch --config_file configs/accelerate/node.yaml -m pipelines.stages configs/zsseg_coco_stuff.py
    for stage in seen again; do
      zeroseg evaluate runs/zsseg_coco_stuff/$stage --benchmark coco-stuff171-156-15 \\
          --shards data/coco-stuff/val --protocol.name seen-unseen
    done

The paper's S/U/H is 39.3 / 36.3 / 37.8 (`seen`), with self-training 39.6 / 43.6 / 41.5 (`again`), as other papers list
it. Numbers here are those of its code (MendelXu/zsseg.baseline, commit d77c3af), where queries learn the sentences of the
learnt prompt, too. What could not be known is as in zsseg_voc.py, and the scale of its crops, which are MaskFormer's.

Not run at this size by us: nothing here says that this file reaches the paper's numbers.
"""

import dataclasses
from pathlib import Path

from configs.zsseg_voc import method as VOC
from configs.zsseg_voc import prompt as VOC_PROMPT
from configs.zsseg_voc import seen as VOC_SEEN
from zeroseg import Augmentation, DataConfig, PromptLearning, PseudoLabels, Supervision, Trained

OUTPUT = Path("runs/zsseg_coco_stuff")

labels = Supervision(
    split="coco-stuff171-156-15", augmentation=Augmentation(size=640, scale=(0.5, 2.0))
)
data = DataConfig(shards="data/coco-stuff/train", batch_size=32)
pseudo = dataclasses.replace(labels, unseen_labels="pseudo")

prompt = dataclasses.replace(
    VOC_PROMPT,
    method=PromptLearning(clip=VOC.clip, labels=labels),
    data=data,
    steps=16_000,
    output=OUTPUT / "prompt",
)

method = dataclasses.replace(
    VOC,
    labels=labels,
    prompt_from=Trained(path=str(OUTPUT / "prompt")),
    prompted_queries=True,
    weight=0.8,
)

seen = dataclasses.replace(VOC_SEEN, method=method, data=data, steps=60_000, output=OUTPUT / "seen")

stages = {
    "prompt": prompt,
    "seen": seen,
    "labels": PseudoLabels(
        model=str(OUTPUT / "seen"),
        shards=data.shards,
        benchmark=labels.split,
        output=str(OUTPUT / "labels"),
        unseen_only=True,
    ),
    "again": dataclasses.replace(
        seen,
        method=dataclasses.replace(method, labels=pseudo),
        data=dataclasses.replace(data, shards=str(OUTPUT / "labels")),
        output=OUTPUT / "again",
    ),
}
