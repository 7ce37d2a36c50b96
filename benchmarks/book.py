"""How long the book itself takes to execute.

    python -m benchmarks.book                    both ways, and write it down
    python -m benchmarks.book --parallel-only    one of them; the other's
    python -m benchmarks.book --sequential-only    record stays
    python -m benchmarks.book --pages a/b c/d    these pages, written nowhere

Executes every page of the book from nothing, in a cache of its own: first as
`make book` does, a page a core, then one page after another with all cores.
Each run is written to `results/book.json` as it ends, and the page's tables of
it are renewed. Wants a quiet machine for a quarter of an hour or more.
"""
import argparse
import datetime
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import common, tables

sys.path.insert(0, str(common.ROOT / "scripts"))

import execution  # noqa: E402

RESULT = common.RESULTS / "book.json"
SLOWEST = 10


def cold(docs: list[str], jobs: int) -> dict:
    """Execute the pages from nothing, `jobs` at a time; what is recorded.

    A page that fails is in `failed` and has no times.
    """
    kept, load = execution.CACHE, os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        execution.CACHE = Path(folder) / "cache"
        try:
            start = time.perf_counter()
            failures = execution.execute(docs, jobs)
            seconds = time.perf_counter() - start
            pages = execution.records(docs)
        finally:
            execution.CACHE = kept
    environment = execution.environment()
    return {"jobs": jobs, "seconds": seconds,
            "date": datetime.date.today().isoformat(),
            "machine": common.machine(), "load_before": load,
            "python": environment["python"], "jax": environment["jax"],
            "device": environment["device"],
            "failed": [f.doc for f in failures],
            **summary({doc: page for doc, page in pages.items() if page})}


def first_line(doc: str, line: int) -> str:
    """The first line of code of the cell at a line: no option, no comment."""
    cell = execution.source(doc).read_text("utf-8").splitlines()[line - 1:]
    cell = [text.strip() for text in cell]
    if "```" in cell:
        cell = cell[:cell.index("```")]
    if cell and cell[0].startswith("```"):
        cell = cell[1:]
    if cell and cell[0] == "---":           # options of the cell, in YAML
        cell = cell[cell.index("---", 1) + 1:]
    code = [text for text in cell if text and text[0] not in "#:"]
    plain = [text for text in code
             if not text.startswith(("import ", "from "))]
    return (plain or code or [""])[0]


def summary(pages: dict[str, dict]) -> dict:
    """What is kept of the pages' records."""
    cells = sorted(((seconds, doc, line) for doc, page in pages.items()
                    for line, seconds in page["cell_seconds"]), reverse=True)
    return {
        "pages": {doc: {
            "seconds": page["execution_seconds"],
            "cpu_seconds": page["cpu_seconds"],
            "compile_seconds": page["compile_seconds"],
            "peak_mib": page["peak_bytes"] / 2**20}
            for doc, page in pages.items()},
        "slowest_cells": [
            {"doc": doc, "starts": first_line(doc, line), "seconds": seconds}
            for seconds, doc, line in cells[:SLOWEST]]}


def merge(name: str, run: dict, path: Path = RESULT):
    """Write a run beside the others that the file holds."""
    runs = (json.loads(path.read_text("utf-8"))["runs"] if path.exists()
            else {})
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"runs": {**runs, name: run}}, indent=1,
                               ensure_ascii=False) + "\n", "utf-8")


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.book", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", nargs="+", metavar="PART/SLUG")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--parallel-only", action="store_true")
    one.add_argument("--sequential-only", action="store_true")
    args = parser.parse_args(words)
    docs, whole = execution.notebooks(), args.pages is None
    if wrong := set(args.pages or []) - set(docs):
        parser.error(f"no page with code: {', '.join(sorted(wrong))}")
    found, failed = {}, set()
    for name, jobs in (("parallel", execution.cores()), ("sequential", 1)):
        if (args.sequential_only if name == "parallel"
                else args.parallel_only):
            continue
        print(f"== {name}", flush=True)
        found[name] = run = cold(docs if whole else args.pages, jobs)
        failed |= set(run["failed"])
        if whole:
            merge(name, run)
            tables.write_all()
    if not whole:
        print(tables.book({"runs": found}))
    if failed:
        print(f"failed: {', '.join(sorted(failed))}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
