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
