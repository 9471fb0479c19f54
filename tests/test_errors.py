import pickle

from zeroseg.errors import InputError


def test_an_error_is_one_line_that_any_terminal_shows_whatever_a_file_is_called():
    said = str(InputError("two\nlines\u2028and caf\udce9 in 写真/é: rename it"))
    assert said == r"two\nlines\u2028and caf\udce9 in 写真/é: rename it"
    assert str(pickle.loads(pickle.dumps(InputError("a\tb")))) == r"a\tb"
