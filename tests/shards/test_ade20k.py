import pytest

from shards.ade20k import ADE20K
from tests.support.corpora import put, samples
from tests.support.releases import ADE, ADE_FILES, PHOTO, good, ids, label_map
from zeroseg.datasets.benchmarks import ADE150


@pytest.mark.parametrize("at", [".", ADE])
def test_ade20k_counts_from_0_and_ignores_the_rest(tmp_path, at):
    put(str(tmp_path), ADE_FILES)
    source = ADE20K(tmp_path / at).source()
    (sample,) = samples(source)
    assert (sample.key, sample.image) == ("ADE_val_00000001", PHOTO)
    assert label_map(sample).tolist() == ids(255, 0, 149).tolist()
    assert source.classes == ADE150.classes
    assert sample.source == "images/validation/ADE_val_00000001.jpg"
    assert list(good(ADE20K(tmp_path, "training").source())) == ["ADE_train_00000001"]
