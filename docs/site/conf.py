"""Configure Sphinx for the site. `docs/build.py` assembles the pages and starts it."""

import re

project = "rsuda"
author = "The rsuda developers"
project_copyright = "The rsuda developers"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
nb_execution_mode = "off"
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # pages begin with one heading and may skip a level in a generated part

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": False}
maximum_signature_line_length = 88
napoleon_use_ivar = True  # attributes as fields, since the dataclass documents them too
napoleon_use_rtype = False
napoleon_custom_sections = [
    (f"Attributes of {which}", "Attributes")
    for which in ("the class", "a method that it may set", "a method that training sets")
]
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_title = "rsuda"
html_static_path = ["rsuda.css"]
html_css_files = ["rsuda.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
html_permalinks_icon = "#"
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_nav_level": 2,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "search_bar_text": "Search",
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_context = {"default_mode": "auto"}
html_sidebars = {"index": []}
copybutton_prompt_text = "$ "


def escape_stars(app, what, name, obj, options, lines):
    """Keep patterns such as 'masks/*' as they are; docstrings here have no emphasis."""
    lines[:] = [line.replace("*", "\\*") for line in lines]


def keep_options_whole(app, pagename, templatename, context, doctree):
    """Let no line end inside of an option such as --target, where a browser breaks at its hyphens. Mark blocks of commands."""
    blocks = re.split(r"(<pre>.*?</pre>)", context.get("body") or "", flags=re.S)
    option = re.compile(r"(?<=[ \n>])--?[a-z][a-z0-9-]*")
    command = re.compile(r"<pre>(?=(?:<span></span>)?(?:rsuda|python|pip|docker|\.venv/bin/\w+) )")
    for k in range(1, len(blocks), 2):
        blocks[k] = command.sub('<pre class="commands">', option.sub(r'<span class="option">\g<0></span>', blocks[k]))
    context["body"] = "".join(blocks)


def setup(app):
    app.connect("html-page-context", keep_options_whole)
    app.connect("autodoc-process-docstring", escape_stars, priority=900)  # after napoleon, which reads the sections
