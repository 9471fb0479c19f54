import pytest

from zeroseg.errors import InputError
from zeroseg.models.prompts import (
    BARE,
    IMAGENET7,
    MASKCLIP,
    OPENAI80,
    SIMPLE,
    TCL,
    TEMPLATES,
    prompts,
    templates_named,
)


def test_there_are_as_many_templates_as_each_set_has():
    sizes = {"simple": 1, "bare": 3, "openai80": 80, "imagenet7": 7, "tcl": 9, "maskclip": 85}
    sizes |= {"scene": 1, "sculpture": 1, "vild": 14, "masked": 32}
    assert {name: len(templates) for name, templates in TEMPLATES.items()} == sizes


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_has_one_place_for_the_name_and_comes_once(name):
    templates = templates_named(name)
    assert len({*templates}) == len(templates)
    for template in templates:
        assert template.count("{}") == 1
        assert template.format("hot dog") == template.replace("{}", "hot dog")


def test_sets_are_made_of_each_other_as_their_authors_made_them():
    assert {*SIMPLE} < {*BARE}
    assert {*SIMPLE, *IMAGENET7} < {*OPENAI80} < {*MASKCLIP}
    assert {*MASKCLIP} - {*OPENAI80} == {
        "there is a {} in the scene.",
        "there is the {} in the scene.",
        "this is a {} in the scene.",
        "this is the {} in the scene.",
        "this is one {} in the scene.",
    }
    assert {*TCL} - {*IMAGENET7} == {
        "a bad photo of a {}.",
        "a photo of many {}.",
        "a photo of {}s.",
    }
    assert {*IMAGENET7} - {*TCL} == {"a bad photo of the {}."}


@pytest.mark.parametrize("name", ["", " , "])
def test_a_name_without_a_word_is_an_error(name):
    with pytest.raises(InputError, match="holds no word"):
        prompts(name, SIMPLE)


def test_unknown_templates_are_an_error_naming_those_there_are():
    with pytest.raises(InputError, match=r"imagenet80.*simple, bare, openai80"):
        templates_named("imagenet80")
