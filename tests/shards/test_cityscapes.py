from shards.cityscapes import Cityscapes
from tests.support.corpora import put, samples
from tests.support.releases import CITY_FILES, FRANKFURT, STREET, first_row


def test_cityscapes_has_19_train_ids_and_ignores_the_rest(tmp_path):
    put(str(tmp_path), CITY_FILES)
    source = Cityscapes(tmp_path).source()
    (sample,) = samples(source)
    assert (sample.key, sample.image) == (FRANKFURT, STREET)
    assert first_row(sample) == [255, 0, 18, 2, 255, 255]
    assert (source.classes[0], source.classes[13], source.classes[18]) == ("road", "car", "bicycle")
    assert len(source.classes) == 19
