import zeroseg


def test_every_promised_name_exists():
    assert all(hasattr(zeroseg, name) for name in zeroseg.__all__)


def test_a_look_at_the_package_shows_the_promise():
    assert dir(zeroseg) == sorted(zeroseg.__all__)
