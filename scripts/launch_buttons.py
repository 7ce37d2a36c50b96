"""Sphinx extension: the buttons in a page's header that run or download it.

The theme would open and offer the Markdown sources, which Colab cannot read.
Here the buttons lead to the notebooks that `make notebooks` writes, at the
addresses where publishing puts them: in the branch `notebooks_branch` of the
repository, for Colab, and in `notebooks/` on the site, for downloading. Every
page offers the PDF of the whole book.
"""
import re
from urllib.parse import quote

import execution

PDF = "qe-with-jax.pdf"     # name of the book's PDF at the root of the site


def colab(doc: str) -> str:
    """The address that opens a page's notebook on Colab.

    Raises `ValueError` if the repository is not one that Colab can open.
    """
    config = execution.config()
    repository = config["repository"]["url"].rstrip("/")
    match = re.fullmatch(r"https://github\.com/([^/]+/[^/]+)", repository)
    if not match:
        raise ValueError("repository: url in _config.yml must be of the form "
                         f"https://github.com/NAME/NAME, got {repository!r}")
    branch = quote(config["sphinx"]["config"]["notebooks_branch"])
    return ("https://colab.research.google.com/github/"
            f"{match[1]}/blob/{branch}/{doc}.ipynb")


def notebook(doc: str) -> str:
    """Where the site keeps a page's notebook."""
    return f"notebooks/{doc}.ipynb"


def downloads() -> list[str]:
    """What the site offers to download, as paths below its root."""
    return [PDF, *map(notebook, execution.notebooks())]


def button(url: str, text: str, tooltip: str, icon: str, label: str) -> dict:
    """A link, as the theme's header takes it."""
    return {"type": "link", "url": url, "text": text, "tooltip": tooltip,
            "icon": icon, "label": label}


def replace_buttons(app, pagename, templatename, context, doctree) -> None:
    """Put our download buttons in place of the theme's, and Colab first."""
    buttons = context.get("header_buttons", [])
    if not any(b.get("label") == "download-buttons" for b in buttons):
        return      # a page without a source, such as the search
    pathto, first = context["pathto"], []
    pdf = button(pathto(PDF, 1), ".pdf", "Download the book as PDF",
                 "fas fa-file-pdf", "download-pdf-button")
    offered = [pdf]
    if pagename in execution.notebooks():
        offered.insert(0, button(
            pathto(notebook(pagename), 1), ".ipynb", "Download the notebook",
            "fas fa-code", "download-notebook-button"))
        first = [{
            "type": "group", "tooltip": "Run this page",
            "icon": "fas fa-rocket", "label": "launch-buttons",
            "buttons": [button(
                colab(pagename), "Colab", "Open in Colab",
                "_static/images/logo_colab.png", "launch-colab-button")]}]
    context["header_buttons"] = first + [
        {**b, "buttons": offered} if b.get("label") == "download-buttons"
        else b for b in buttons]


def setup(app):
    app.add_config_value("notebooks_branch", "notebooks", "html")
    # after the theme, which adds its buttons at 501
    app.connect("html-page-context", replace_buttons, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
