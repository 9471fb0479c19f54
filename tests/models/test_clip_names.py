"""One spelling of a CLIP, wherever one is named."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from zeroseg.errors import InputError
from zeroseg.models.clip import EMBEDDED, FOLDERS, CLIPConfig

NAMES = st.text("abAB09-_/.", min_size=1)
PATHS = st.text("abAB09-_/.:@ ", min_size=1)


@given(NAMES, PATHS)
def test_an_architecture_and_its_weights_are_read_as_written(architecture, weights):
    assume(architecture not in EMBEDDED)
    clip = CLIPConfig(architecture=architecture, weights=weights)
    assert CLIPConfig.parse(str(clip)) == clip


@given(st.sampled_from(FOLDERS), PATHS)
def test_a_folder_or_hub_name_is_read_as_written(prefix, path):
    assume(not path.endswith(":"))  # the colon after a name stands for weights that are not named
    clip = CLIPConfig(architecture=prefix + path, weights="")
    assert CLIPConfig.parse(str(clip)) == CLIPConfig.parse(f"{clip}:") == clip


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_teacher_needs_no_weights(name):
    clip = CLIPConfig(architecture=name, weights="")
    assert CLIPConfig.parse(name) == CLIPConfig.parse(f"{name}:") == clip
    assert str(clip) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "ViT-B-16",
        "ViT-B-16:",
        ":openai",
        "local-dir:",
        "hf-hub::",
        f"{next(iter(EMBEDDED))}:x",
    ],
)
def test_any_other_text_is_an_error_of_one_line_with_the_forms(text):
    with pytest.raises(InputError) as caught:
        CLIPConfig.parse(text)
    message = str(caught.value)
    assert message.startswith(repr(text))
    assert "\n" not in message
    assert all(form in message for form in ("ARCHITECTURE:WEIGHTS", *FOLDERS, *EMBEDDED))
