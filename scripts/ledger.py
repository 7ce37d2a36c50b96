"""The results ledger: the headline numbers of each lecture, recomputed.

usage: ledger.py [PAGE ...] [--x64 0|1] [--cores N] [--limit S] [--record NAME]

`tests/ledger/<part>.toml` declares, for each lecture, three to ten numbers with
the expression that computes them in the executed lecture, a tolerance, and how
they are known to be right. The tests check every one of them. This tool runs
the lectures, each in a process of its own, recomputes the numbers, prints which
moved against the last tag, and writes them to _build/ledger.json, with the
versions and the device. `--x64` overrides the lectures' own choice of
precision, `--cores` is what each may use, `--limit` how many seconds (in 32
bits an iteration to a tolerance below the rounding need not end), `--record`
keeps the result in tests/ledger/records for the page on robustness.
"""
import argparse
import contextlib
import datetime
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

import execution
import lecture_loader

# How a number can be known to be right.
KINDS = ("closed form", "second method", "package", "residual")
# Pages that compute nothing of their own.
WITHOUT = {"introduction/about", "other/troubleshooting", "other/status",
           "other/robustness", "other/benchmarks"}


class Entry(NamedTuple):
    """A headline number of a lecture."""
    doc: str            # page, as `part/slug`
    name: str           # what it is
    expression: str     # Python, evaluated in the executed lecture
    value: float
    tolerance: float    # absolute
    stated: str         # the tolerance as declared, `rtol 1e-8`
    unit: str           # empty for a pure number
    known: str          # one of KINDS
    how: str            # by which formula, method, package or residual


def folder() -> Path:
    """Where the ledger is kept."""
    return execution.ROOT / "tests" / "ledger"


def parse(text: str, part: str) -> dict[str, list[Entry]]:
    """The entries of a part's file, by page.

    Raises `ValueError` if an entry is incomplete or cannot be checked.
    """
    return {f"{part}/{slug}": [entry(f"{part}/{slug}", e) for e in entries]
            for slug, entries in tomllib.loads(text).items()}


def entry(doc: str, fields: dict) -> Entry:
    """An entry from its fields in the file, checked."""
    where = f"{doc}, {fields.get('name', 'an entry without name')!r}"
    needed = {"name", "expression", "value", "known", "how"}
    bounds = {"atol", "rtol"} & fields.keys()
    if len(bounds) != 1:
        raise ValueError(f"{where} must have one of atol and rtol, "
                         f"got {sorted(bounds)}")
    kind, = bounds
    if set(fields) - {kind, "unit"} != needed:
        raise ValueError(f"{where} must have the fields {sorted(needed)}, "
                         f"got {sorted(fields)}")
    if fields["known"] not in KINDS:
        raise ValueError(f"{where}: known must be one of {KINDS}, "
                         f"got {fields['known']!r}")
    value, bound = float(fields["value"]), float(fields[kind])
    tolerance = bound if kind == "atol" else bound * abs(value)
    if not (math.isfinite(value) and 0 < tolerance < math.inf):
        raise ValueError(f"{where} must have a finite value and a positive "
                         f"tolerance, got {value} and {tolerance}")
    return Entry(doc, fields["name"], fields["expression"], value, tolerance,
                 f"{kind} {bound:g}", fields.get("unit", ""),
                 fields["known"], fields["how"])


def read(docs: list[str] | None = None) -> dict[str, list[Entry]]:
    """The entries of these pages, or of all that have some, by page."""
    found = {}
    for path in sorted(folder().glob("*.toml")):
        found |= parse(path.read_text(encoding="utf-8"), path.stem)
    if docs is None:
        return found
    return {doc: found.get(doc, []) for doc in docs}


def evaluate(entry: Entry, namespace: dict) -> float:
    """The number as the lecture's code now computes it.

    Raises `ValueError` if the expression gives no single number.
    """
    value = np.asarray(eval(entry.expression, dict(namespace)))
    if value.size != 1:
        raise ValueError(f"{entry.doc}, {entry.name!r}: the expression must "
                         f"give one number, got the shape {value.shape}")
    return float(value.reshape(()))


def deviation(entry: Entry, value: float) -> float:
    """Distance from the declared value in units of the tolerance."""
    off = abs(value - entry.value) / entry.tolerance
    return math.inf if math.isnan(off) else off


def check(entry: Entry, namespace: dict) -> None:
    """Raise `AssertionError` if the number is not what the ledger declares."""
    value = evaluate(entry, namespace)
    assert deviation(entry, value) <= 1, (
        f"{entry.doc}: {entry.name}: `{entry.expression}` is {value!r}, the "
        f"ledger says {entry.value!r}, {entry.stated}: off by "
        f"{deviation(entry, value):.3g} tolerances")


# -- recomputing ------------------------------------------------------------

def measure(doc: str, x64: bool | None) -> dict:
    """The numbers of a page, by name, and where they were computed."""
    import jax
    result = {"numbers": {}}
    with contextlib.redirect_stdout(sys.stderr):
        try:
            namespace = vars(lecture_loader.load(doc, x64=x64))
        except lecture_loader.LectureError as error:
            namespace = None
            last = str(error).strip().splitlines()[-1]
            result["stopped"] = execution.plain(last)
        for e in read([doc])[doc] if namespace else []:
            try:
                result["numbers"][e.name] = evaluate(e, namespace)
            except Exception as error:      # a number that cannot be had
                result["numbers"][e.name] = f"{type(error).__name__}: {error}"
    device = jax.devices()[0]
    return {**result, "environment": {
        "python": platform.python_version(), "jax": jax.__version__,
        "numpy": importlib.metadata.version("numpy"),
        "device": f"{device.platform}: {device.device_kind}",
        "cores": execution.cores(),
        "precision": {None: "as the lectures set it", True: "float64",
                      False: "float32"}[x64]}}


def child(doc: str, x64: bool | None, cores: int | None,
          limit: float | None = None) -> dict:
    """`measure` in a fresh process, on so many cores, for so many seconds."""
    try:
        run = subprocess.run(
            [sys.executable, __file__, "--child", doc,
             *(["--x64", str(int(x64))] if x64 is not None else []),
             *(["--cores", str(cores)] if cores else [])],
            capture_output=True, text=True, cwd=execution.ROOT, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"numbers": {}, "stopped": f"not done after {limit:g} s"}
    if run.returncode:
        return {"numbers": {}, "stopped": execution.plain(
            (run.stderr.strip().splitlines() or ["it was killed"])[-1])}
    return json.loads(run.stdout.splitlines()[-1])


def last_tag() -> str | None:
    """The last tag before this commit, if there is one."""
    run = subprocess.run(["git", "describe", "--tags", "--abbrev=0"],
                         cwd=execution.ROOT, capture_output=True, text=True)
    return run.stdout.strip() or None


def declared_at(tag: str) -> dict[str, list[Entry]]:
    """The ledger as it stood at a tag."""
    found = {}
    for path in sorted(folder().glob("*.toml")):
        run = subprocess.run(
            ["git", "show", f"{tag}:{path.relative_to(execution.ROOT)}"],
            cwd=execution.ROOT, capture_output=True, text=True)
        if run.returncode == 0:
            found |= parse(run.stdout, path.stem)
    return found


def moves(doc: str, result: dict, before: list[Entry]) -> list[str]:
    """What is to be said of a page's numbers against an earlier ledger."""
    lines = [f"the page stopped: {result['stopped']}"] \
        if "stopped" in result else []
    known = {e.name: e for e in before}
    for name, value in result["numbers"].items():
        if isinstance(value, str):
            lines.append(f"{name}: {value}")
        elif name not in known:
            lines.append(f"{name}: new, {value:.10g}")
        elif (off := deviation(known[name], value)) > 1:
            lines.append(f"{name}: moved from {known[name].value:.10g} to "
                         f"{value:.10g}, {off:.3g} tolerances")
    if "stopped" not in result:
        lines += [f"{name}: gone" for name in known
                  if name not in result["numbers"]]
    return lines


def worst(doc: str, result: dict) -> float:
    """The largest deviation of a page from the ledger as it stands."""
    numbers = result["numbers"]
    return max([deviation(e, numbers[e.name])
                if isinstance(numbers.get(e.name), float) else math.inf
                for e in read([doc])[doc]], default=0.0)


def keep(path: Path, results: dict, date: str) -> None:
    """Write the results, over those of the same environment."""
    environment = next(r["environment"] for r in results.values()
                       if "environment" in r)
    pages = {doc: {k: v for k, v in r.items() if k != "environment"}
             for doc, r in results.items()}
    if path.exists():
        old = json.loads(path.read_text(encoding="utf-8"))
        if old["environment"] == environment:
            pages = old["pages"] | pages
    order = {doc: i for i, doc in enumerate(execution.notebooks())}
    pages = dict(sorted(pages.items(), key=lambda p: order.get(p[0], 99)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(
        {"date": date, "environment": environment, "pages": pages},
        ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pages", nargs="*")
    parser.add_argument("--x64", type=int, choices=(0, 1))
    parser.add_argument("--cores", type=int)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--limit", type=float)
    parser.add_argument("--record")
    parser.add_argument("--child", action="store_true")
    options = parser.parse_args()
    x64 = None if options.x64 is None else bool(options.x64)
    available = execution.cores()
    if options.cores and not 1 <= options.cores <= available:
        parser.error(f"cores must be between 1 and {available}, "
                     f"got {options.cores}")
    if options.child:
        if options.cores:
            os.sched_setaffinity(
                0, sorted(os.sched_getaffinity(0))[:options.cores])
        print(json.dumps(measure(options.pages[0], x64)))
        return 0
    try:
        docs = [str(lecture_loader.path_of(p).relative_to(
            lecture_loader.LECTURES).with_suffix("")) for p in options.pages]
    except ValueError as error:
        parser.error(str(error))
    docs = docs or list(read())
    tag = last_tag()
    before = declared_at(tag) if tag else read()
    # with a number of cores given, none shares them
    jobs = options.jobs or (1 if options.cores else available)
    results = {}
    print(f"{len(docs)} lectures, {jobs} at a time, against "
          f"{tag or 'the ledger as it stands: there is no tag'}", flush=True)
    with ThreadPoolExecutor(jobs) as pool:
        for doc, result in zip(docs, pool.map(
                lambda d: child(d, x64, options.cores, options.limit), docs),
                strict=True):
            results[doc] = result
            print(f"  {doc}: {len(result['numbers'])} numbers" + (
                "" if "stopped" in result else
                f", at most {worst(doc, result):.2g} tolerances off"),
                flush=True)
            for line in moves(doc, result, before.get(doc, [])):
                print(f"    {line}", flush=True)
    if not any("environment" in r for r in results.values()):
        print("no lecture ran", file=sys.stderr)
        return 1
    environment = next(r["environment"] for r in results.values()
                       if "environment" in r)
    print(", ".join(f"{k} {v}" for k, v in environment.items()))
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    paths = [execution.ROOT / "_build" / "ledger.json"]
    if options.record:
        paths.append(folder() / "records" / f"{options.record}.json")
    for path in paths:
        keep(path, results, date)
    # in 32 bits, numbers that need 64 are expected to move
    return int(x64 is not False
               and any(worst(doc, r) > 1 for doc, r in results.items()))


if __name__ == "__main__":
    sys.exit(main())
