"""`manifest.json`: what readers trust."""

import json

import pytest

from zeroseg.errors import InputError
from zeroseg.store.manifest import Manifest, ShardRecord, manifest_text, parse_manifest

SHARD = ShardRecord(name="a.tar", samples=1, bytes=10240, sha256="0" * 64)


def test_what_is_written_is_read():
    manifest = Manifest(shards=(SHARD,), classes=("cat", "dog"), built_from={"kind": "folder"})
    assert parse_manifest(manifest_text(manifest).encode(), "m") == manifest


def test_a_class_that_is_named_twice_is_refused():
    text = json.loads(manifest_text(Manifest(shards=(SHARD,), classes=("cat", "dog"))))
    text["classes"] = ["cat", "dog", "cat"]
    with pytest.raises(InputError, match=r"manifest m: classes: 'cat' is named twice: rename one"):
        parse_manifest(json.dumps(text).encode(), "m")
