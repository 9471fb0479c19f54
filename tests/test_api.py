from pathlib import Path

import zeroseg

ROOT = Path(__file__).parents[1]


def test_every_promised_name_exists():
    assert all(hasattr(zeroseg, name) for name in zeroseg.__all__)


def test_the_readme_lists_every_module():
    readme = (ROOT / "README.md").read_text()
    folders = [ROOT / f for f in ("zeroseg", "pipelines", "shards", "configs")]
    files = [p for f in folders for p in f.rglob("*.py") if p.name != "__init__.py"]
    missing = [str(p.relative_to(ROOT)) for p in files if p.name not in readme]
    assert not missing
