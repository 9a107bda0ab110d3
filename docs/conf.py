"""Sphinx: the manual. `./dev docs` builds it."""

from importlib.metadata import version as version_of

project = "Penstock"
author = "Penstock contributors"
copyright = "2026, Penstock contributors"
version = release = version_of("penstock")

extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"Penstock {release}"
