"""A name selects all of a protocol, wherever a command takes one."""

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from configs.scenes_scratch import config
from pipelines import cli
from pipelines.command_line import read
from pipelines.evaluate import EvaluateConfig
from pipelines.train import read_command
from zeroseg import PROTOCOLS, ProtocolConfig, Watch, protocol_named
from zeroseg.datasets.benchmarks import VOC21
from zeroseg.predictor import own_classes
from zeroseg.records import to_json

NAMES = sorted(PROTOCOLS)


@pytest.mark.parametrize("name", NAMES)
def test_evaluate_takes_the_protocol_of_that_name(name):
    arguments = ["runs/x", "--benchmark", "voc21", "--shards", "x", "--protocol.name", name]
    found = read(EvaluateConfig, arguments, "zeroseg evaluate", None)
    assert found.protocol.on(VOC21) == protocol_named(name, VOC21)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("before", ["zeroseg", "scenes"])
def test_training_watches_by_the_protocol_of_that_name(name, before, tmp_path):
    watch = Watch(
        shards="x", benchmark="voc21", every=1, protocol=ProtocolConfig(name=before, window=0)
    )
    file = tmp_path / "config.json"
    file.write_text(json.dumps(to_json(dataclasses.replace(config, watch=watch))))
    found = read_command([str(file), "--watch.protocol.name", name]).run.watch
    assert found is not None
    expected = dataclasses.replace(protocol_named(name, VOC21), window=0)
    assert found.protocol.on(VOC21) == expected


@pytest.mark.parametrize("name", ["sclip", "scenes"])
def test_segment_takes_the_protocol_of_that_name_and_the_users_words(name, tmp_path):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (90, 60), "red").save(photo)
    words = ["--classes", "red ball, grass", "--output", str(tmp_path)]
    model = "clip:zeroseg-scenes::whole"
    cli.main(["segment", model, str(photo), *words, "--protocol.name", name])
    found = json.loads(Path(tmp_path / "photo.json").read_text(encoding="utf-8"))["protocol"]
    own = protocol_named(name, own_classes(["red ball", "grass"], background=False))
    expected = dataclasses.asdict(dataclasses.replace(own, names="plain"))
    assert found == json.loads(json.dumps(expected))
