"""Fixtures of the test suite."""
import gc
import os
import sys
from pathlib import Path

import pytest

# Each of several workers gets its own cores, before NumPy and JAX count them:
# two programs of two threads each on two cores take a third longer than two of
# one thread.
if hasattr(os, "sched_setaffinity") and "PYTEST_XDIST_WORKER" in os.environ:
    number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    cpus = sorted(os.sched_getaffinity(0))
    workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.sched_setaffinity(
        0, cpus[number::workers] or [cpus[number % len(cpus)]])

import lecture_loader  # noqa: E402
import ledger  # noqa: E402
import notebook_builder  # noqa: E402

TESTS = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def lecture(request):
    """The namespace of the lecture that this test module is about.

    `tests/<part>/test_<slug>.py` gets `lectures/<part>/<slug>.md`, executed
    once per module. JAX's settings are the lecture's during the module's tests
    and are put back afterwards, and its arrays and compiled programs, some
    hundred megabytes, are let go.
    """
    import jax
    slug = request.path.stem.removeprefix("test_")
    part = request.path.parent.relative_to(TESTS)
    with lecture_loader.jax_settings_restored():
        module = lecture_loader.load(str(part / slug))
        yield module
    sys.modules.pop(module.__name__, None)
    vars(module).clear()
    del module
    jax.clear_caches()
    gc.collect()


class LectureModule(pytest.Module):
    """A lecture's test module: its own tests, and those that all share.

    They are collected into the module so that they use the namespace which its
    own tests load: a lecture is executed once.
    """

    def collect(self):
        yield from super().collect()
        part = self.path.parent.name
        doc = f"{part}/{self.path.stem.removeprefix('test_')}"
        entries = ledger.read([doc])[doc]

        def shared(name, test):
            return pytest.Function.from_parent(
                self, name=name, callobj=test)

        for entry in entries:
            def test_ledger(lecture, entry=entry):
                ledger.check(entry, vars(lecture))
            yield shared(f"test_ledger[{entry.name}]", test_ledger)
        if entries:
            def test_self_check(lecture, capsys):
                "The notebook's last cell says yes, and no when it should."
                cell = notebook_builder.self_check_cell(entries)
                exec(cell.source, dict(vars(lecture)))
                assert notebook_builder.YES in capsys.readouterr().out
                first, *rest = entries
                moved = first._replace(
                    value=first.value + 3 * first.tolerance)
                cell = notebook_builder.self_check_cell([moved, *rest])
                exec(cell.source, dict(vars(lecture)))
                assert notebook_builder.NO in capsys.readouterr().out
            yield shared("test_self_check", test_self_check)


def pytest_pycollect_makemodule(module_path, parent):
    "Modules in the folder of a part are those of its lectures."
    if (lecture_loader.LECTURES / module_path.parent.name).is_dir():
        return LectureModule.from_parent(parent, path=module_path)
    return None


def pytest_addoption(parser):
    parser.addoption(
        "--require-book", action="store_true",
        help="fail, instead of skipping, if the book has not been built")
    parser.addoption(
        "--require-browser", action="store_true",
        help="fail, instead of skipping, if there is no Chromium")
    parser.addoption(
        "--require-pdf", action="store_true",
        help="fail, instead of skipping, if the PDF has not been built")
