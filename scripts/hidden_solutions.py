"""Sphinx extension: a build without solutions, for students.

With the environment variable SOLUTIONS=hidden every solution, its text, code
and output, is left out of HTML and PDF, and the sources of the pages are not
published beside them. (The switch of sphinx-exercise itself knows nothing of
solutions that span cells.)
"""
import os

from sphinx.errors import ConfigError
from sphinx.transforms import SphinxTransform
from sphinx_exercise.nodes import solution_node
from sphinx_exercise.transforms import MergeGatedSolutions


def hidden() -> bool:
    """Whether this build leaves solutions out.

    Raises `ValueError` if SOLUTIONS is neither `shown` nor `hidden`.
    """
    wish = os.environ.get("SOLUTIONS") or "shown"
    if wish not in ("shown", "hidden"):
        raise ValueError(f"SOLUTIONS must be shown or hidden, got {wish!r}")
    return wish == "hidden"


class RemoveSolutions(SphinxTransform):
    """Remove solutions once start, cells and end have become one node.

    The builder of notebooks removes them itself, with their code.
    """
    default_priority = MergeGatedSolutions.default_priority + 1

    def apply(self):
        if self.app.builder.name == "ipynb":
            return
        for node in list(self.document.findall(solution_node)):
            node.parent.remove(node)


def keep_sources(app, config):
    """Do not copy the Markdown sources, which hold the solutions."""
    config.html_copy_source = False


def setup(app):
    try:
        if hidden():
            app.add_transform(RemoveSolutions)
            app.connect("config-inited", keep_sources)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return {"parallel_read_safe": True, "parallel_write_safe": True}
