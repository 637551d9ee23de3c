"""How the pages are built: Markdown, one theme, no network."""

from __future__ import annotations

import tomllib
from pathlib import Path

_PROJECT = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]

project = "cachepolicy"
author = "the cachepolicy authors"
copyright = f"2026, {author}"
version = release = _PROJECT["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!cachepolicy\.).*")]  # no network: others' names stay plain

html_theme = "furo"
html_title = f"cachepolicy {release}"
