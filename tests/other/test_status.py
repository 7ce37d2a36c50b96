"""The facts about machine and packages are those of the session."""
import importlib.metadata
import platform
import re

import jax


def test_versions_are_those_of_the_installed_packages(lecture):
    for package, version in lecture.versions.items():
        assert importlib.metadata.version(package) == version
        assert re.search(rf"^{package} +{re.escape(version)}$",
                         lecture.__stdout__, re.MULTILINE)


def test_every_package_is_listed_and_a_missing_one_is_no_trouble(lecture):
    assert list(lecture.versions) == lecture.packages
    assert lecture.version_of("no-such-package") is None


def test_python_version_has_three_components(lecture):
    found = re.search(r"^Python +(\d+\.\d+\.\d+)", lecture.__stdout__)
    assert found[1] == platform.python_version()


def test_backend_and_device(lecture):
    assert lecture.backend == jax.default_backend()
    assert len(lecture.devices) == jax.device_count() >= 1


def test_one_clear_sentence_without_a_gpu(lecture):
    if not lecture.gpus:
        assert "none found: this book was executed on the CPU alone." \
            in lecture.__stdout__


def test_no_gpu_tool_is_no_trouble(lecture, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert lecture.nvidia_gpus() == []


def test_limits_of_the_machine_are_plausible(lecture):
    assert 1e8 < lecture.bandwidth < 1e14
    assert 1e8 < lecture.rate < 1e17
