"""How long the book itself takes to execute: python -m benchmarks.book

Executes every page of the book twice from nothing, in a cache of its own:
first as `make book` does, a page a core, then one page after another with all
cores. Writes `results/book.json` and the page's table of it. Wants a quiet
machine for a quarter of an hour or more.
"""
import datetime
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import execution  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "book.json"
SLOWEST = 10


def cold(jobs: int) -> dict:
    """Seconds of an execution from nothing, and what it recorded of each page.

    Raises `RuntimeError` if a page fails.
    """
    docs = execution.notebooks()
    with tempfile.TemporaryDirectory() as folder:
        execution.CACHE = Path(folder) / "cache"
        start = time.perf_counter()
        if failures := execution.execute(docs, jobs):
            raise RuntimeError(f"{[f.doc for f in failures]} failed")
        seconds = time.perf_counter() - start
        return {"jobs": jobs, "seconds": seconds,
                "pages": execution.records(docs)}


def first_line(doc: str, line: int) -> str:
    """The first line of code of the cell at a line, comments aside."""
    text = execution.source(doc).read_text("utf-8").splitlines()[line - 1:]
    return next(t for t in text if t and not t.startswith(("#", ":")))


def summary(run: dict) -> dict:
    """What is kept of one execution of the book."""
    pages = run["pages"]
    cells = sorted(((seconds, doc, line) for doc, page in pages.items()
                    for line, seconds in page["cell_seconds"]), reverse=True)
    return {
        "jobs": run["jobs"], "seconds": run["seconds"],
        "pages": {doc: {
            "seconds": page["execution_seconds"],
            "cpu_seconds": page["cpu_seconds"],
            "compile_seconds": page["compile_seconds"],
            "peak_mib": page["peak_bytes"] / 2**20}
            for doc, page in pages.items()},
        "slowest_cells": [
            {"doc": doc, "starts": first_line(doc, line), "seconds": seconds}
            for seconds, doc, line in cells[:SLOWEST]]}


def main():
    cores = execution.cores()
    runs = {"parallel": summary(cold(cores)), "sequential": summary(cold(1))}
    environment = execution.environment()
    RESULT.write_text(json.dumps({
        "date": datetime.date.today().isoformat(), "cores": cores,
        "machine": f"{platform.machine()}, {platform.system()}",
        "load_before": os.getloadavg()[2], "python": environment["python"],
        "jax": environment["jax"], "device": environment["device"],
        "runs": runs}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
