"""How sphinx builds the site: ``python -m sphinx -W -b html docs docs/_build``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import docstrings
import tables

import sdewm

project = "sdewm"
author = "the authors of sdewm"
release = version = sdewm.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "sdewm"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_extra_path = ["../sdewm/verdicts/report.schema.json", "../sdewm/auditing/audit.schema.json"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}

myst_enable_extensions = ["colon_fence", "substitution"]
myst_heading_anchors = 3
myst_substitutions = {
    "methods": tables.methods(),
    "field_orders": tables.field_orders(),
    "field_exceptions": tables.field_exceptions(),
    "field_size": tables.field_size(),
    "field_times": tables.field_times(),
    "hard_problems": tables.hard_problems(),
    "measured_orders": tables.measured_orders(),
    "compiled_ratios": tables.compiled_ratios(),
    "benchmark_commands": tables.benchmark_commands(),
    "gallery": tables.gallery(),
    "settings": tables.settings(),
    "perturbed": tables.perturbed(),
    "perturbed_reach": tables.perturbed_reach(),
}

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100


def setup(app):
    app.connect("autodoc-process-docstring", docstrings.process)
