"""Build the book: execute what changed, in parallel, then render the pages.

usage: build.py [--jobs N] [--execute-only | --links] [PAGE]

PAGE, as `part/slug` or `slug`, executes and renders that page alone, into
_build/page; references to other pages then stay unresolved. --links writes no
page, but asks every link to another host and lists the answers in
_build/linkcheck.
"""
import argparse
import asyncio
import contextlib
import fcntl
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import execution
import hidden_solutions
import lecture_loader

ROOT = execution.ROOT
BUILD = ROOT / "_build"


@contextlib.contextmanager
def alone():
    """Wait until no other build of this tree is running."""
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another build of this tree to end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def timed(step: str):
    """Print how long a step took."""
    start = time.perf_counter()
    yield
    print(f"{step}: {time.perf_counter() - start:.1f} s", flush=True)


def render(toc: Path, output: Path, *options: str) -> int:
    """Render the pages of a table of contents; the exit status."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("jupyter-book")), "build",
         str(ROOT / "lectures"), "--config", str(ROOT / "_config.yml"),
         "--toc", str(toc), "--path-output", str(output), *options],
        cwd=ROOT).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("page", nargs="?", help="part/slug or slug of a page")
    parser.add_argument("--jobs", type=int, help="lectures at a time")
    parser.add_argument("--execute-only", action="store_true")
    parser.add_argument("--links", action="store_true",
                        help="check links to other hosts")
    options = parser.parse_args()
    try:
        hidden_solutions.hidden()
    except ValueError as error:
        parser.error(str(error))
    if options.page and options.links:
        parser.error("--links checks the whole book: name no page")
    docs = execution.notebooks()
    if options.page:
        try:
            page = lecture_loader.path_of(options.page)
        except ValueError as error:
            parser.error(str(error))
        page = str(page.relative_to(lecture_loader.LECTURES).with_suffix(""))
        docs = [d for d in docs if d == page]
    with alone():
        with timed("execution"):
            failures = execution.execute(docs, options.jobs)
        complaints = execution.over_budget(docs)
        for complaint in complaints:
            print(f"OVER BUDGET: {complaint}", file=sys.stderr)
        if failures:
            return 1
        if options.execute_only:
            return int(bool(complaints))
        if options.links:
            with timed("link check"):
                return render(ROOT / "_toc.yml", ROOT, "--builder", "custom",
                              "--custom-builder", "linkcheck")
        with timed("rendering"):
            if options.page:
                print("one page alone: warnings about references to other "
                      "pages are to be expected", flush=True)
                toc = BUILD / "page_toc.yml"
                toc.write_text(json.dumps({"format": "jb-book", "root": page}))
                status = render(toc, BUILD / "page")
            else:
                # every page anew: sidebars and the index stay right, and
                # nothing is left of a page that is no more
                shutil.rmtree(BUILD / "html", ignore_errors=True)
                status = render(ROOT / "_toc.yml", ROOT, "--all", "-W", "-n",
                                "--keep-going")
        return status or int(bool(complaints))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("interrupted: finished lectures are kept, and the next build "
                 "goes on from there")
