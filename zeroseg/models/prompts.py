"""Prompt templates: how a class name becomes sentences for the text encoder."""

from zeroseg.errors import InputError

SIMPLE = ("a photo of a {}.",)
"""The paper's template (section 4.1)."""

BARE = ("a photo of a {}.", "a photo of {}.", "{}")
"""Three plain phrasings, for names with and without an article."""

TEMPLATES = {"simple": SIMPLE, "bare": BARE}


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
