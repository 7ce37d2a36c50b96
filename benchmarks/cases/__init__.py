"""One module a subject. Each says what it measures and yields its cases:

TITLE     of its rows on the page
LECTURE   `part/slug` of the lecture whose code is measured
GROUP     the environment that it needs: a file `requirements-GROUP.txt`, or
          "book", for the book's own
PACKAGES  the peers' distributions, whose versions are recorded
ENVIRONMENT     variables, as of threads, that its process starts with, if any
cases(lecture)  an iterator of `common.Case`, given the lecture's namespace
"""
import importlib
from pathlib import Path

HERE = Path(__file__).resolve().parent


def names() -> list[str]:
    """The subjects, in the order of the alphabet."""
    return sorted(p.stem for p in HERE.glob("*.py") if p.stem != "__init__")


def load(name: str):
    """The module of a subject."""
    if name not in names():
        raise ValueError(f"subject must be one of {', '.join(names())}, got "
                         f"{name!r}")
    return importlib.import_module(f"benchmarks.cases.{name}")
