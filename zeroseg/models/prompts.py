"""Prompt templates: how a class name becomes sentences for the text encoder."""

from open_clip import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES

from zeroseg.errors import InputError

SIMPLE = ("a photo of a {}.",)
"""The paper's template (section 4.1)."""

BARE = ("a photo of a {}.", "a photo of {}.", "{}")
"""Three plain phrasings, for names with and without an article."""

OPENAI80 = tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)
"""OpenAI's 80 for ImageNet, which SCLIP and its successors average."""

IMAGENET7 = tuple(template("{}") for template in SIMPLE_IMAGENET_TEMPLATES)
"""The seven of them that OpenAI found to do best together."""

TCL = (
    *(template.replace("bad photo of the", "bad photo of a") for template in IMAGENET7),
    "a photo of many {}.",
    "a photo of {}s.",
)
"""TCL's (`custom` in `datasets/templates.py` of khanrc/tcl, commit e643d68): two plural ones more,
and the seven with `a bad photo of a`, as GroupViT's code has them."""

MASKCLIP = (
    *OPENAI80,
    *(f"there is {article} {{}} in the scene." for article in ("a", "the")),
    *(f"this is {article} {{}} in the scene." for article in ("a", "the", "one")),
)
"""MaskCLIP's 85 (`full+maskclip` in TCL's file)."""

SCENE = ("A photo of a {} in the scene",)
"""ZegFormer's for the queries on PASCAL VOC."""

SCULPTURE = ("a sculpture of a {}.",)
"""zsseg's best single one."""

_SIZED = ("small {}", "medium {}", "large {}")

VILD = (
    *("a photo of a {}.", "This is a photo of a {}", "There is a {} in the scene"),
    *("There is the {} in the scene", "a photo of a {} in the scene"),
    *(f"a photo of a {noun}." for noun in _SIZED),
    *(f"This is a photo of a {noun}." for noun in _SIZED),
    *(f"There is a {noun} in the scene." for noun in _SIZED),
)
"""ViLD's 14, which zsseg averages."""

MASKED = (
    *("a bad photo of the {}.", "a photo of the large {}.", "a photo of the small {}."),
    "a cropped photo of a {}.",
    *(
        f"This is a {photo} of a {noun}"
        for photo in ("photo", "masked photo", "cropped photo")
        for noun in ("{}", *_SIZED)
    ),
    *("A photo of a {} in the scene", "a bad photo of the {} in the scene"),
    *("a photo of the large {} in the scene", "a photo of the small {} in the scene"),
    *("a cropped photo of a {} in the scene", "a photo of a masked {} in the scene"),
    *(
        f"{there} {noun} in the scene"
        for noun in ("{}", "masked {}")
        for there in ("There is a", "There is the", "This is a", "This is the", "This is one")
    ),
)
"""ZegFormer's for masked regions, as a later code lists them: 32, where ZegFormer's own may have 33."""

TEMPLATES = {
    "simple": SIMPLE,
    "bare": BARE,
    "openai80": OPENAI80,
    "imagenet7": IMAGENET7,
    "tcl": TCL,
    "maskclip": MASKCLIP,
    "scene": SCENE,
    "sculpture": SCULPTURE,
    "vild": VILD,
    "masked": MASKED,
}


def templates_named(name: str) -> tuple[str, ...]:
    """Look prompt templates up. Raises InputError naming those that exist."""
    if name not in TEMPLATES:
        raise InputError(f"templates {name!r} are unknown: choose one of {', '.join(TEMPLATES)}")
    return TEMPLATES[name]


def prompts(name: str, templates: tuple[str, ...]) -> list[str]:
    """Sentences for one class; commas in the name separate synonyms, each gets every template."""
    synonyms = [part.strip() for part in name.split(",") if part.strip()]
    if not synonyms:
        raise InputError(f"class name {name!r} holds no word")
    return [template.format(synonym) for synonym in synonyms for template in templates]
