"""Sphinx configuration. Build: python -m sphinx -W -b html docs docs/_build/html."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))

from gridnorm import __version__  # noqa: E402

project = "gridnorm"
author = "The gridnorm authors"
copyright = "The gridnorm authors"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc", "gridnorm_pages"]
source_suffix = {".md": "myst-nb"}
exclude_patterns = ["_build", "jupyter_execute"]
root_doc = "index"

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
# Only studies are notebooks: what they measure is on record (studies/lab.py), so they run anew at every build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables in what a cell shows
os.environ["PYTHONSAFEPATH"] = "1"  # scripts of studies must not stand in for packages of their names
os.environ.pop("MPLBACKEND", None)  # a backend from outside would leave pages without their figures
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH"))))

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("FloatArray", "Paths", "Column")}
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "furo"
html_title = f"gridnorm {__version__}"
html_static_path = ["_static"]
html_css_files = ["gridnorm.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#6a0da8", "color-brand-content": "#6a0da8"},
    "dark_css_variables": {"color-brand-primary": "#f7a13a", "color-brand-content": "#f7a13a"},
}

# Types of other projects and of inner modules have no page here; every other reference must lead somewhere.
nitpicky = True
nitpick_ignore_regex = [("py:class", r".*"), ("py:func", r"gridnorm\.io\..*")]
