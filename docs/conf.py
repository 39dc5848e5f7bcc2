"""The documentation site: Sphinx, MyST-NB and furo. `make docs` builds it."""

import importlib.metadata
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

project = "Saccade"
version = release = importlib.metadata.version("saccade")
extensions = ["myst_nb", "saccade_pages"]
exclude_patterns = ["_build"]
nitpicky = True
highlight_language = "text"
smartquotes = False  # -- is the beginning of an option

# Notebooks appear with the outputs that they were committed with.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Nothing comes from another host: the scripts of widgets and MathJax would. A browser
# shows formulas by itself, as MathML.
nb_ipywidgets_js = {}
html_math_renderer = "mathml"

html_theme = "furo"
pygments_dark_style = "monokai"
html_title = "Saccade"
html_static_path = ["_static"]
html_css_files = ["saccade.css"]
html_copy_source = False
html_use_index = False
html_show_copyright = False
