"""Run benchmarks and write their records, tables and the data of the page.

    python -m benchmarks                  every subject
    python -m benchmarks hank arellano    these
    python -m benchmarks --tables         no run: rewrite tables from records
    python -m benchmarks --here hank      run it with this very Python

Each subject runs in a process of its own, with the Python of its group: the
book's own, or an environment `_build/bench/<group>` that is made when it is
missing from requirements.txt and requirements-<group>.txt together. A group
that cannot be had is told, and its old records stay.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import cases, common, tables

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = common.ROOT / "_build" / "bench"


class Absent(Exception):
    """The environment of a group cannot be had; the message says why."""


def wanted_python(group: str) -> str | None:
    """The Python that a group's file asks for in a line `# python: 3.12`."""
    text = (HERE / f"requirements-{group}.txt").read_text("utf-8")
    found = re.search(r"^# python: (\d+\.\d+)$", text, re.M)
    return found[1] if found else None


def make_environment(group: str) -> Path:
    """The Python of a group; its environment is made if need be."""
    if group == "book":
        return Path(sys.executable)
    folder = ENVIRONMENTS / group
    python = folder / "bin" / "python"
    pins = [common.ROOT / "requirements.txt",
            HERE / f"requirements-{group}.txt"]
    ready = folder / ".ready"
    if ready.exists() and all(ready.stat().st_mtime >= p.stat().st_mtime
                              for p in pins):
        return python
    wish, uv = wanted_python(group), uv_path()
    files = [word for p in pins for word in ("-r", str(p))]
    base = python_path(wish)
    if uv:          # which fetches a Python that is not on this machine
        make = [uv, "venv", "-q", "--clear", "--python", base or wish,
                str(folder)]
        install = [uv, "pip", "install", "-q", "--python", str(python), *files]
    else:
        if base is None:
            raise Absent(f"it needs Python {wish} or uv")
        make = [base, "-m", "venv", "--clear", str(folder)]
        install = [str(python), "-m", "pip", "install", "-q", *files]
    print(f"{group}: making {folder.relative_to(common.ROOT)}", flush=True)
    # wheels kept where pip is told to look serve uv too
    links = {"UV_FIND_LINKS": os.environ.get("PIP_FIND_LINKS", "")}
    for command in (make, install):
        done = subprocess.run(command, capture_output=True, text=True,
                              env=links | os.environ)
        if done.returncode:
            raise Absent(" ".join(done.stderr.split())[-500:])
    ready.touch()
    return python


def python_path(wish: str | None) -> str | None:
    """A Python of this machine of the version asked for; None asks for this.

    Looks among the versions that pyenv has installed and on the path, where a
    shim of pyenv may stand for a version that it does not run.
    """
    if wish is None or wish == "{}.{}".format(*sys.version_info):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for path in (*sorted(pyenv.glob(f"versions/{wish}.*/bin/python{wish}")),
                 shutil.which(f"python{wish}")):
        if path and subprocess.run([path, "-c", ""],
                                   capture_output=True).returncode == 0:
            return str(path)
    return None


def uv_path() -> str | None:
    """The installer uv, beside this Python or on the path."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def with_environment(name: str):
    """Start this program again, if the subject asks for other variables."""
    wanted = getattr(cases.load(name), "ENVIRONMENT", {})
    if any(os.environ.get(key) != value for key, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks",
                                   "--here", name], os.environ | wanted)


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", help=", ".join(cases.names()))
    parser.add_argument("--here", action="store_true",
                        help="run with this Python, in this process")
    parser.add_argument("--tables", action="store_true",
                        help="only rewrite the tables from the records")
    args = parser.parse_args()
    chosen = args.subjects or cases.names()
    for name in chosen:
        cases.load(name)                # a wrong name ends here
    absent, failed, pythons = {}, [], {}
    if not args.tables:
        for name in chosen:
            if args.here:
                with_environment(name)
                common.run_subject(name)
                continue
            group = cases.load(name).GROUP
            if group not in pythons:
                try:
                    pythons[group] = make_environment(group)
                except Absent as reason:
                    pythons[group], absent[group] = None, str(reason)
            if pythons[group] is None:
                continue
            print(f"== {name}, by {group}", flush=True)
            done = subprocess.run(
                [str(pythons[group]), "-m", "benchmarks", "--here", name],
                cwd=common.ROOT)
            if done.returncode:
                failed.append(name)
    if not args.here:
        tables.write_all()
    for group, reason in absent.items():
        print(f"absent: {group}, whose rows are not renewed: {reason}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
