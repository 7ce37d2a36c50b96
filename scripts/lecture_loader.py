"""Turn a lecture into a Python namespace: the code cells, run in order.

The tests and the benchmarks take the lectures' own code through `load`, so
that what is tested and timed is what the reader sees.
"""
import contextlib
import io
import re
import sys
import types
from pathlib import Path
from unittest import mock

import nbformat
from IPython.core.interactiveshell import InteractiveShell
from myst_nb.core.read import read_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig

LECTURES = Path(__file__).resolve().parent.parent / "lectures"

# What every notebook starts with.
FRONT_MATTER = """---
jupytext:
  text_representation: {format_name: myst, extension: .md}
kernelspec: {name: python3, display_name: Python 3, language: python}
---

"""


class LectureError(Exception):
    """A cell of a lecture failed; the message tells which and why."""


def sources() -> list[Path]:
    """Every page below lectures/ but those whose path starts with `_`."""
    return [p for p in sorted(LECTURES.rglob("*.md"))
            if not re.search(r"(^|/)_", str(p.relative_to(LECTURES)))]


def path_of(slug: str) -> Path:
    """Find the source of a lecture by `slug` or `part/slug`.

    Raises `ValueError` if no lecture, or more than one, has that name.
    """
    found = [p for p in sources()
             if f"/{p.relative_to(LECTURES)}".endswith(f"/{slug}.md")]
    if len(found) != 1:
        raise ValueError(f"slug must name one lecture below {LECTURES.name}/, "
                         f"got {slug!r}, which names {len(found)}")
    return found[0]


def read(path: Path) -> nbformat.NotebookNode:
    """Read a MyST Markdown lecture as a notebook; cells know their lines.

    The reader is the one that the build uses, so hashes agree with its cache.
    """
    return read_myst_markdown_notebook(
        path.read_text(encoding="utf-8"), config=MdParserConfig(),
        add_source_map=True, path=str(path))


def code_cells(path: Path):
    """Yield (number, line, cell) for each code cell of a lecture."""
    notebook = read(path)
    lines = notebook.metadata["source_map"]
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            yield i, lines[i] + 1, cell


@contextlib.contextmanager
def jax_settings_restored():
    """Give back JAX's global settings (64-bit or not, ...) on leaving."""
    import jax
    before = dict(jax.config.values)
    try:
        yield
    finally:
        for name, value in before.items():
            if jax.config.values[name] != value:
                jax.config.update(name, value)


@contextlib.contextmanager
def precision(x64: bool | None):
    """Fix 64 bits or 32, whatever a lecture asks for; None leaves it alone."""
    if x64 is None:
        yield
        return
    import jax
    update = jax.config.update

    def others(name, value):
        if name != "jax_enable_x64":
            update(name, value)

    update("jax_enable_x64", x64)
    with mock.patch.object(type(jax.config), "update",
                           lambda self, name, value: others(name, value)):
        yield


def load(slug: str, x64: bool | None = None) -> types.ModuleType:
    """Execute a lecture's code cells and return their namespace as a module.

    Magics and shell lines work as in a notebook. A cell tagged
    `raises-exception` must raise; one tagged `skip-execution` is left out.
    What the cells print is in the attribute `__stdout__`. JAX's settings stay
    as the lecture leaves them: wrap calls in `jax_settings_restored`. With
    `x64` given, the lecture runs in 64 bits, or in 32, whatever it asks for.

    Raises `LectureError`, with cell, line and traceback, when a cell fails or
    when one tagged `raises-exception` does not.
    """
    import matplotlib
    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    path = path_of(slug)
    module = types.ModuleType(f"lecture_{path.stem}")   # not `keras` itself
    module.__file__ = str(path)
    sys.modules[module.__name__] = module    # so that pickle finds its classes
    shell = InteractiveShell(user_module=module, user_ns=vars(module))
    shell.colors = "nocolor"
    shell.history_manager.enabled = False
    out = io.StringIO()
    try:
        with precision(x64):
            run_cells(shell, path, out)
    finally:
        plt.close("all")
    module.__stdout__ = out.getvalue()
    return module


def run_cells(shell, path: Path, out: io.StringIO) -> None:
    """Run a lecture's cells in a shell and keep what they print."""
    import matplotlib.pyplot as plt
    for number, line, cell in code_cells(path):
        tags = cell.metadata.get("tags", [])
        if "skip-execution" in tags:
            continue
        trace = io.StringIO()
        with contextlib.redirect_stdout(trace):
            result = shell.run_cell(cell.source, store_history=False)
        plt.close("all")
        if result.success == ("raises-exception" in tags):
            cause = (trace.getvalue() if not result.success else
                     "it is tagged raises-exception, but raised nothing")
            raise LectureError(
                f"{path}:{line}: cell {number} failed\n{cause}")
        out.write(trace.getvalue())
