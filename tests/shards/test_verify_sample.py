import io

import numpy as np
import pytest
from PIL import Image

from shards.sample import encoded
from shards.verify_sample import Cause
from tests.support.damage import (
    CLASSES,
    JPEG,
    LABEL_MAP,
    Run,
    facts,
    label_map,
    packed,
    picture,
    shard,
)

WRONG = {
    "white space": (Cause.KEY, [("x x.jpg", JPEG)], False),
    "no utf-8": (Cause.KEY, [("x\udcff.jpg", JPEG)], False),
    "one member twice": (Cause.DUPLICATE, [("x.jpg", JPEG), ("x.jpg", JPEG)], False),
    "split": (Cause.SPLIT, [("x.jpg", JPEG), ("b.jpg", JPEG), ("x.jpg", JPEG)], False),
    "no image": (Cause.NO_IMAGE, [("b.jpg", JPEG), ("x.txt", b"text")], False),
    "label map alone": (Cause.NO_IMAGE, [("x.png", LABEL_MAP)], True),
    "empty image": (Cause.EMPTY, [("x.jpg", b"")], False),
    "empty label map": (Cause.EMPTY, [("x.jpg", JPEG), ("x.png", b"")], False),
    "no picture": (Cause.IMAGE, [("x.jpg", b"no picture")], False),
    "half a jpeg": (Cause.IMAGE, [("x.jpg", JPEG[: len(JPEG) // 2])], False),
    "half a webp": (Cause.IMAGE, [("x.webp", picture(0, kind="webp")[:-200])], False),
    "bomb": (Cause.IMAGE, [("x.jpg", encoded(np.zeros((9999, 9999), np.uint8), "png"))], False),
    "other sha": (Cause.FACTS, [("x.jpg", JPEG), ("x.json", facts(picture(0)))], False),
    "other size": (Cause.FACTS, [("x.jpg", JPEG), ("x.json", facts(JPEG, width=9))], False),
    "no json": (Cause.FACTS, [("x.jpg", JPEG), ("x.json", b"{")], False),
    "no label map": (Cause.NO_LABELS, [("x.jpg", JPEG)], True),
    "small label map": (
        Cause.LABEL_SIZE,
        [("x.jpg", JPEG), ("x.png", label_map(0, (8, 12)))],
        False,
    ),
    "no map": (Cause.LABELS, [("x.jpg", JPEG), ("x.png", b"no picture")], False),
    "colours": (Cause.LABELS, [("x.jpg", JPEG), ("x.png", picture(0, kind="png"))], False),
    "half a map": (Cause.LABELS, [("x.jpg", JPEG), ("x.png", LABEL_MAP[:-30])], False),
    "class 3 of 3": (
        Cause.LABEL_VALUE,
        [("x.jpg", JPEG), ("x.png", label_map(0, most=3))],
        True,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_sample_is_told_with_its_shard_and_key(tmp_path, capsys, name):
    cause, members, has_classes = WRONG[name]
    right = [("good.jpg", JPEG), ("good.png", LABEL_MAP), ("good.json", facts(JPEG))]
    folder = packed(tmp_path / "set", right, members, classes=CLASSES if has_classes else ())
    run = Run(capsys, folder)
    key = members[-1][0].partition(".")[0].replace("\udcff", "\\udcff")
    assert run.tells(cause, shard(folder, 1), key)
    assert list(run.told) == [cause]
    assert len(run.told[cause]) == (2 if cause is Cause.SPLIT else 1)  # each of its pieces


RIGHT = {
    "palette": [("x.jpg", JPEG), ("x.png", LABEL_MAP)],
    "an image that is a png": [("x.png", picture(0, kind="png"))],
    "facts of another program": [("x.jpg", JPEG), ("x.json", b'{"sha256": "of another"}')],
    "an empty caption": [("x.jpg", JPEG), ("x.txt", b"")],
    "members that are no sample": [("__x.txt", b""), ("folder/noextension", b""), ("x.jpg", JPEG)],
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_other_programs_write_is_not_wrong(tmp_path, capsys, name):
    run = Run(capsys, packed(tmp_path / "set", RIGHT[name]))
    assert run.status == 0, run.text


def test_a_label_map_and_the_json_fit_the_image_as_it_is_stored(tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    buffer = io.BytesIO()
    Image.open(io.BytesIO(JPEG)).save(buffer, "jpeg", exif=exif)
    image = buffer.getvalue()
    lying = [("x.jpg", image), ("x.png", label_map(0, (16, 24))), ("x.json", facts(image))]
    upright = [("y.jpg", image), ("y.png", label_map(0, (24, 16))), ("y.json", facts(image))]
    folder = packed(tmp_path / "set", lying, upright, classes=CLASSES)
    run = Run(capsys, folder)
    assert run.tells(Cause.LABEL_SIZE, shard(folder, 1), "y")
    assert len(run.told) == 1
