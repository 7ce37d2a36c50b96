"""Turn a lecture into a Python namespace: the code cells, run in order.

The tests and the benchmarks take the lectures' own code through `load`, so
that what is tested and timed is what the reader sees.
"""
import contextlib
import io
import sys
import types
from pathlib import Path

import nbformat
from IPython.core.interactiveshell import InteractiveShell
from myst_parser.config.main import MdParserConfig
from myst_nb.core.read import read_myst_markdown_notebook

LECTURES = Path(__file__).resolve().parent.parent / "lectures"


class LectureError(Exception):
    """A cell of a lecture failed; the message tells which and why."""


def path_of(slug: str) -> Path:
    """Find the source of a lecture by `slug` or `part/slug`.

    Raises `ValueError` if no lecture, or more than one, has that name.
    """
    found = [p for p in LECTURES.rglob("*.md")
             if not any(s.startswith("_") for s in p.relative_to(LECTURES).parts)
             and str(p.relative_to(LECTURES).with_suffix("")).endswith(slug)
             and p.stem == Path(slug).name]
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
    """Give back JAX's global settings (64-bit or not, NaN checks) on leaving."""
    import jax
    before = dict(jax.config.values)
    try:
        yield
    finally:
        for name, value in before.items():
            if jax.config.values[name] != value:
                jax.config.update(name, value)


def load(slug: str) -> types.ModuleType:
    """Execute a lecture's code cells and return their namespace as a module.

    Magics and shell lines work as in a notebook. A cell tagged
    `raises-exception` must raise; one tagged `skip-execution` is left out.
    What the cells print is in the attribute `__stdout__`. JAX's settings stay
    as the lecture leaves them: wrap calls in `jax_settings_restored`.

    Raises `LectureError`, with cell, line and traceback, when a cell fails or
    when one tagged `raises-exception` does not.
    """
    import matplotlib
    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    path = path_of(slug)
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    sys.modules[path.stem] = module          # so that pickle finds its classes
    shell = InteractiveShell(user_module=module, user_ns=vars(module))
    shell.colors = "nocolor"
    shell.history_manager.enabled = False
    out = io.StringIO()
    try:
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
    finally:
        plt.close("all")
    module.__stdout__ = out.getvalue()
    return module
