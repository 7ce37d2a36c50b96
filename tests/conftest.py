"""Fixtures of the test suite."""
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import lecture_loader


@pytest.fixture(scope="module")
def lecture(request):
    """The namespace of the lecture that this test module is about.

    `tests/<part>/test_<slug>.py` gets `lectures/<part>/<slug>.md`, executed
    once per module. JAX's settings are the lecture's during the module's tests
    and are put back afterwards.
    """
    slug = request.path.stem.removeprefix("test_")
    part = request.path.parent.relative_to(ROOT / "tests")
    with lecture_loader.jax_settings_restored():
        yield lecture_loader.load(str(part / slug))
