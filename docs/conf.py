"""Sphinx's settings; `make docs` writes `generated/` first."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tools.site.examples import RUN  # noqa: E402

import etastar  # noqa: E402

project = "etastar"
author = "the authors of etastar"
copyright = "2026, the authors of etastar; Apache-2.0"
version = release = etastar.__version__

extensions = ["myst_parser", "sphinx.ext.viewcode", "sphinx_gallery.gen_gallery", "tools.site.extension"]
exclude_patterns = ["generated/examples", "constraints.txt"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
python_maximum_signature_line_length = 100
add_module_names = False
toc_object_entries = False

sphinx_gallery_conf = {
    "examples_dirs": ["generated/examples"],
    "gallery_dirs": ["generated/gallery"],
    "filename_pattern": rf"/({'|'.join(RUN)})\.py$",
    "image_scrapers": ("tools.site.extension.answers_pictures",),
    "reset_modules": (),
    "default_thumb_file": str(Path(__file__).parent / "generated/pictures/schedule.png"),
    "abort_on_example_error": True,
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
    "download_all_examples": False,
    "within_subsection_order": "FileNameSortKey",
    "remove_config_comments": True,
}

nitpicky = True
nitpick_ignore_regex = [("py:(class|exc)", ".*")]  # annotations name what other projects document
smartquotes = False
html_theme = "furo"
html_title = "etastar"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = True
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f5fa8", "color-brand-content": "#1f5fa8"},
    "dark_css_variables": {"color-brand-primary": "#7fb2ee", "color-brand-content": "#7fb2ee"},
}
pygments_style = "friendly"
pygments_dark_style = "native"
