"""A self-contained HTML page from a template."""

from pathlib import Path
from typing import Any

import jinja2

HERE = Path(__file__).parent


def rendered(template: Path, **content: Any) -> str:
    """A template, which may include what is beside it or in this folder, filled with content. What is no
    Markup is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, HERE]), autoescape=True, trim_blocks=True
    )
    return environment.get_template(template.name).render(**content)
