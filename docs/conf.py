"""Sphinx: `make docs` builds docs/_build/html, with warnings as errors and without the network."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))  # tuner_command

project = "tuner"
author = "the contributors of tuner"
project_copyright = "the contributors of tuner; Apache-2.0"
release = version = metadata.version("tuner")

extensions = ["myst_nb", "sphinx.ext.autodoc", "tuner_command"]
exclude_patterns = ["_build"]
default_role = "literal"  # docstrings write `like this`

myst_heading_anchors = 4
nb_execution_mode = "off"  # tests/test_docs_notebook.py runs it; what is shown is what was stored
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"tuner {release}"
html_static_path = ["_static"]
html_css_files = ["tuner.css"]
html_copy_source = False
html_show_sphinx = False


def _take_stars_as_they_are(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]
) -> None:
    """Docstrings are words, not reStructuredText: `[B, *input shape]` begins no emphasis."""
    lines[:] = [line.replace("*", "\\*") for line in lines]


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", _take_stars_as_they_are)
