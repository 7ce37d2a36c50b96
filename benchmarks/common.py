"""What every benchmark shares: a case, how it is run, what is recorded.

A subject is a module of `benchmarks/cases`. It names a lecture, whose code
cells are executed by the loader of the tests, and yields cases. A case holds
two calls without arguments that do the same work. They are run once and
compared; if their answers differ by more than the tolerance nothing is timed.
Then they are timed in turns.
"""
import contextlib
import ctypes
import datetime
import gc
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT / "scripts"))

PACKAGES = ("jax", "numpy", "scipy", "numba")     # of every record
MIN_PAIRS, MAX_PAIRS, ENOUGH = 7, 101, 1.0        # runs in turns, seconds


@dataclass(frozen=True)
class Case:
    """Work that the book and a peer both do.

    `ours` and `theirs` take no arguments, do the whole work and return its
    answer; what is prepared before, as the peer's model, is not timed.
    `compare` takes both answers and returns a nonnegative number, described
    by `measure`, which must not exceed `tolerance`.
    """
    name: str                   # of the row; with the peer, unique
    work: str                   # what both sides do, in words
    peer: str                   # who the other side is
    ours: Callable[[], object]
    theirs: Callable[[], object]
    compare: Callable[[object, object], float]
    measure: str
    tolerance: float
    size: int | None = None     # the abscissa of a scaling plot ...
    unit: str = ""              # ... and what it counts
    why: str = ""               # one sentence: what decides, where it loses
    pairs: int = MIN_PAIRS      # at least so many runs in turns
    ours_name: str = ""         # the book's side, if it is not evident

    def __post_init__(self):
        for field in ("name", "work", "peer", "measure"):
            if not getattr(self, field):
                raise ValueError(f"{field} must be told, got an empty text")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance must lie between 0 and 1, got "
                             f"{self.tolerance}")
        if (self.size is None) != (not self.unit):
            raise ValueError("size and unit must be given together, got "
                             f"{self.size!r} and {self.unit!r}")


class Disagreement(Exception):
    """The two sides of a case do not give the same answer."""


# -- one case ---------------------------------------------------------------

def run(f):
    """Seconds that a call takes, JAX's arrays awaited, and what it returns."""
    import jax
    start = time.perf_counter()
    answer = jax.block_until_ready(f())
    return time.perf_counter() - start, answer


def forget_compiled(namespace=None):
    """Drop what JAX and, in a namespace, Numba have compiled.

    After it a first call compiles, as it would in a fresh process.
    """
    import jax
    jax.clear_caches()
    for value in list((namespace or {}).values()):
        if type(value).__module__ == "numba.core.registry":
            value._make_finalizer()()
            value._reset_overloads()
            value._can_compile = True
    gc.collect()


def check(case: Case, ours, theirs) -> float:
    """The difference of two answers. Raises `Disagreement` if it is large."""
    difference = float(case.compare(ours, theirs))
    if not difference <= case.tolerance:          # NaN does not pass
        raise Disagreement(f"{case.name}: {case.measure} is {difference:.1e}, "
                           f"which exceeds {case.tolerance:.0e}")
    return difference


def measure(case: Case, namespace=None) -> dict:
    """Check that the sides agree, then time them in turns; the record."""
    forget_compiled(namespace)
    first_ours, ours = run(case.ours)
    first_theirs, theirs = run(case.theirs)
    difference = check(case, ours, theirs)
    del ours, theirs
    times, begin = [], time.perf_counter()
    while len(times) < case.pairs or (
            len(times) < max(MAX_PAIRS, case.pairs)
            and time.perf_counter() - begin < ENOUGH):
        if len(times) % 2:
            after = run(case.theirs)[0]
            times.append((run(case.ours)[0], after))
        else:
            times.append((run(case.ours)[0], run(case.theirs)[0]))
    a, b = (float(x) for x in np.median(times, axis=0))
    low, high = (np.quantile(times, q, axis=0) for q in (0.25, 0.75))
    memory = [extra_memory(f) for f in (case.ours, case.theirs)]
    record = {
        "name": case.name, "work": case.work, "peer_name": case.peer,
        "size": case.size, "unit": case.unit, "why": case.why,
        "ours_name": case.ours_name, "measure": case.measure,
        "tolerance": case.tolerance, "difference": difference,
        "ours": a, "peer": b, "ratio": b / a, "pairs": len(times),
        "spread": [float((high[i] - low[i]) / m) for i, m in
                   enumerate((a, b))],
        "compile": [max(0.0, first_ours - a), max(0.0, first_theirs - b)],
        "memory_mib": memory}
    print(f"{case.name}: agree to {difference:.0e}; ours {a:.4g} s, "
          f"{case.peer} {b:.4g} s, ratio {b / a:.3g}", flush=True)
    return record


# -- memory -----------------------------------------------------------------

def resident(field="VmRSS") -> float:
    """MiB of this process that are resident, or were at most (`VmHWM`)."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    import psutil
    return psutil.Process().memory_info().rss / 2**20


def extra_memory(f) -> float:
    """MiB by which a call, already compiled, lifts the process at its peak.

    What is free is first given back to the system. On Linux the kernel keeps
    the peak; elsewhere a thread looks every millisecond.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    before = resident()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        peak, done = [before], threading.Event()

        def watch():
            while not done.wait(0.001):
                peak.append(resident())

        thread = threading.Thread(target=watch)
        thread.start()
        run(f)
        done.set()
        thread.join()
        return max(peak) - before
    run(f)
    return max(0.0, resident("VmHWM") - before)


# -- one subject ------------------------------------------------------------

def machine() -> str:
    """Processor and number of cores, as the system names them."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                name = line.split(":")[1].strip()
                break
    cores = (len(os.sched_getaffinity(0))
             if hasattr(os, "sched_getaffinity") else os.cpu_count())
    return f"{name}, {cores} cores"


def versions(packages) -> dict[str, str]:
    """The versions of the packages that are installed here."""
    found = {}
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def record(subject, cases: Iterator[Case] | list[Case], namespace=None):
    """Measure the cases of a subject; what its JSON file holds."""
    import jax
    rows = []
    for case in cases:
        if (case.name, case.peer) in [(row["name"], row["peer_name"])
                                      for row in rows]:
            raise ValueError("name and peer must be unique in a subject, got "
                             f"{case.name!r}, {case.peer!r} twice")
        rows.append(measure(case, namespace))
    return {
        "title": subject.TITLE, "lecture": subject.LECTURE,
        "machine": machine(), "device": jax.devices()[0].platform,
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "versions": versions([*PACKAGES, *getattr(subject, "PACKAGES", ())]),
        "cases": rows}


def run_subject(name: str) -> dict:
    """Load the subject's lecture, measure its cases, write its JSON file."""
    from benchmarks import cases
    subject = cases.load(name)
    import lecture_loader
    lecture = lecture_loader.load(subject.LECTURE)
    with lecture_loader.jax_settings_restored():
        found = record(subject, subject.cases(lecture), vars(lecture))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n",
                    encoding="utf-8")
    return found


# -- what compare() often needs ---------------------------------------------

def gap(a, b) -> float:
    """Largest absolute difference of two arrays of one shape."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        raise ValueError(f"answers must have one shape, got {a.shape} and "
                         f"{b.shape}")
    return float(np.abs(a - b).max())


def relative_gap(a, b) -> float:
    """Largest difference over the largest absolute value of the first."""
    return gap(a, b) / float(np.abs(np.asarray(a, float)).max())
