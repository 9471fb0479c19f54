"""The documents: links lead somewhere, every page stands on a shelf, files that are named exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
FRONT = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "shards/README.md")
DOCUMENTS = [*(ROOT / front for front in FRONT), *PAGES]
FOLDERS = "zeroseg|pipelines|shards|configs|tests|benchmarks|docs"
LINK = re.compile(r"\]\(([^)#\s]+)")
FILE = re.compile(rf"(?<![\w/.$-])((?:{FOLDERS})/[\w./-]+\.[a-z]+)\b(?![/*<])")
"""A file of the repository by its whole path, in a sentence or in a command."""
MODULE = re.compile(r" -m ((?:pipelines|benchmarks)\.[\w.]+\w)")


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_leads_to_a_file(document):
    links = [link for link in LINK.findall(document.read_text()) if "://" not in link]
    assert [link for link in links if not (document.parent / link).is_file()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_file_and_program_that_is_named_exists(document):
    text = document.read_text()
    places = (ROOT, document.parent)
    assert [f for f in FILE.findall(text) if not any((p / f).is_file() for p in places)] == []
    programs = [ROOT / module.replace(".", "/") for module in MODULE.findall(text)]
    assert [p for p in programs if not runs(p)] == []


def runs(program: Path) -> bool:
    """Whether `python -m` finds a file for a module."""
    return program.with_suffix(".py").is_file() or (program / "__main__.py").is_file()


def test_every_page_stands_on_a_shelf_and_the_method_comes_first():
    shelves = ROOT / "docs/README.md"
    links = LINK.findall(shelves.read_text())
    found = {(shelves.parent / link).resolve() for link in links} | {shelves}
    assert [name(page) for page in PAGES if page not in found] == []
    assert links[0] == "method.md"


def test_the_readme_leads_to_the_method_first_and_to_the_shelves():
    links = LINK.findall((ROOT / "README.md").read_text())
    inside = [link for link in links if "://" not in link and link.endswith(".md")]
    assert inside[0] == "docs/method.md"
    assert "docs/README.md" in inside
