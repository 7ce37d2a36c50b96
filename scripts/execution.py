"""Execute the lectures in parallel, on the cache that the book is built from.

Jupyter Book executes notebooks one after another. Here every lecture whose
code changed runs first, as many at a time as there are cores, and goes into
the build's own jupyter-cache the moment it is done: an interrupted run loses
only the lectures that were running. With each lecture the cache keeps how long
it took, how much of that was compilation, its peak memory, and where it ran.
"""
import asyncio
import contextlib
import datetime
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.cache.db import NbCacheRecord
from nbclient import NotebookClient
from nbclient.exceptions import (
    CellExecutionError,
    CellTimeoutError,
    DeadKernelError,
)
from nbformat.reader import NotJSONError

import lecture_loader

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "_build" / ".jupyter_cache"

# Run in each kernel before the first cell: figures as vector graphics whose
# bytes do not change from run to run, and a listener for compile times that
# waits until the lecture has imported JAX.
BEFORE = """
%config InlineBackend.figure_formats = ['svg', 'pdf']
import matplotlib
matplotlib.rcParams['svg.hashsalt'] = 'book'
del matplotlib
def _listen(shell=get_ipython(), compile_seconds=[]):
    def note(event, seconds, **_):
        if event == '/jax/core/compile/backend_compile_duration':
            compile_seconds.append(seconds)
    def attach(*_):
        import sys
        if 'jax' in sys.modules:
            sys.modules['jax'].monitoring.register_event_duration_secs_listener(note)
            shell.events.unregister('pre_run_cell', attach)
            shell.events.unregister('post_run_cell', attach)
    shell.events.register('pre_run_cell', attach)
    shell.events.register('post_run_cell', attach)
    shell._book_compile_seconds = compile_seconds
_listen()
del _listen
"""

# Run before that, where several pages run at a time: each page computes on
# cores of its own, so that neither slows the other.
SHARE = "import os; os.sched_setaffinity(0, {cpus}); del os"

AFTER = """
def _report():
    import json, re, resource, sys, time
    try:
        with open('/proc/self/status') as f:
            peak = 1024 * int(re.search(r'VmHWM:\\s+(\\d+)', f.read())[1])
    except OSError:
        unit = 1 if sys.platform == 'darwin' else 1024
        peak = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    compiling = sum(get_ipython()._book_compile_seconds)
    print(json.dumps({'compile_seconds': compiling, 'peak_bytes': peak,
                      'cpu_seconds': time.process_time()}))
_report()
"""

PROBE = """
import json, jax
d = jax.devices()
print(json.dumps({'jax': jax.__version__, 'backend': jax.default_backend(),
                  'device': d[0].device_kind, 'devices': len(d)}))
"""


class Failure(NamedTuple):
    """A lecture that did not run to its end."""
    doc: str        # page, as `part/slug`
    message: str    # cell, line, source and traceback


def config() -> dict:
    """The settings of `_config.yml`."""
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def contents() -> dict:
    """The table of contents, as `_toc.yml` has it."""
    return yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))


def parts() -> list[tuple[str, list[str]]]:
    """Caption and pages of each part, in order, as `part/slug`."""
    return [(part.get("caption", ""), [c["file"] for c in part["chapters"]])
            for part in contents().get("parts", [])]


def documents() -> list[str]:
    """The pages of the table of contents, in order."""
    return [contents()["root"], *(d for _, docs in parts() for d in docs)]


def notebooks() -> list[str]:
    """The pages that have code to execute."""
    return [d for d in documents()
            if "\njupytext:" in source(d).read_text(encoding="utf-8")[:400]]


def source(doc: str) -> Path:
    """The file behind a page."""
    return lecture_loader.LECTURES / f"{doc}.md"


def environment() -> dict:
    """What the numbers may depend on; a lecture cached elsewhere runs again."""
    probe = subprocess.run([sys.executable, "-c", PROBE], check=True,
                           capture_output=True, text=True)
    pins = (ROOT / "requirements.txt").read_bytes()
    return {"python": "{}.{}.{}".format(*sys.version_info),
            "requirements": hashlib.sha256(pins).hexdigest()[:12],
            "cores": cores(), "memory": psutil.virtual_memory().total,
            **json.loads(probe.stdout.splitlines()[-1])}


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def same_environment(a: dict, b: dict) -> bool:
    """Whether two environments should give the same numbers."""
    return all(a.get(k) == b.get(k)
               for k in ("python", "requirements", "jax", "backend", "device"))


@contextlib.contextmanager
def open_cache():
    """The build's cache, with its database closed at the end."""
    cache = get_cache(CACHE)
    try:
        yield cache
    finally:
        cache.db.dispose()


def records(docs: list[str]) -> dict[str, dict | None]:
    """What the cache knows of each page's last execution, None if nothing.

    Keys of a record: `execution_seconds`, `cpu_seconds`, `compile_seconds`,
    `peak_bytes`, `cell_seconds` (line and seconds of each code cell),
    `date` (UTC), `environment`, `parallel` (how many ran at a time).
    """
    found = {}
    with open_cache() as cache:
        for doc in docs:
            try:
                match = cache.match_cache_notebook(
                    lecture_loader.read(source(doc)))
                cache.get_cache_bundle(match.pk)
                found[doc] = match.data
            except (KeyError, NotJSONError):    # unknown, or half written
                found[doc] = None
    return found


async def run(doc: str, env: dict, timeout: float, parallel: int, cache,
              cpus: list[int] | None = None):
    """Execute a page in a fresh kernel and cache it; a Failure or None.

    `cpus` are the cores that it may use, by default all.
    """
    notebook = lecture_loader.read(source(doc))
    lines = notebook.metadata["source_map"]
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", record_timing=False,
        coalesce_streams=True,      # of a progress bar, what remains of it
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(source(doc).parent)}})
    client.create_kernel_manager()
    start = time.perf_counter()
    index, cells = 0, []
    try:
        # a date that stands still, so that figures come out the same
        await client.async_start_new_kernel(
            env={**os.environ, "SOURCE_DATE_EPOCH": "0"})
        await client.async_start_new_kernel_client()
        if cpus is not None:
            await hidden(client, SHARE.format(cpus=cpus))
        await hidden(client, BEFORE)
        for index, cell in enumerate(notebook.cells):
            begin = time.perf_counter()
            await client.async_execute_cell(cell, index)
            if cell.cell_type == "code":
                cells.append([lines[index] + 1, time.perf_counter() - begin])
        info = await client.kc.kernel_info(reply=True)
        notebook.metadata["language_info"] = info["content"]["language_info"]
        seconds = time.perf_counter() - start
        measured = json.loads(await hidden(client, AFTER))
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return Failure(doc, f"cell {index}, line {lines[index] + 1} of "
                       f"{source(doc).relative_to(ROOT)}\n\n"
                       f"{notebook.cells[index].source}\n\n"
                       f"{plain(str(error))}")
    finally:
        if client.kc is not None:
            client.kc.stop_channels()
        await client.km.shutdown_kernel(now=True)
    data = {"execution_seconds": seconds, **measured, "environment": env,
            "cell_seconds": cells, "parallel": parallel,
            "date": datetime.datetime.now(
                datetime.UTC).isoformat(timespec="seconds")}
    cache.cache_notebook_bundle(
        CacheBundleIn(notebook, str(source(doc)), data=data),
        check_validity=False, overwrite=True)
    return None


async def hidden(client: NotebookClient, code: str) -> str:
    """Run code in a kernel, with no trace in the notebook; what it prints."""
    printed = []

    def keep(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = await client.kc.execute_interactive(
        code, store_history=False, silent=False, output_hook=keep, timeout=120)
    if reply["content"]["status"] != "ok":
        raise RuntimeError(plain("\n".join(reply["content"]["traceback"])))
    return "".join(printed)


def plain(text: str) -> str:
    """The text without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def execute(docs: list[str], jobs: int | None = None) -> list[Failure]:
    """Execute the pages whose code or environment changed; return the failures.

    `jobs` is how many run at a time: by default one a core, or one if a GPU is
    found, since each JAX process takes most of a GPU's memory for itself.

    Raises `ValueError` if `jobs` is below one.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    env, known = environment(), records(docs)
    jobs = jobs or (env["cores"] if env["backend"] == "cpu" else 1)
    pending = [d for d in docs if not known[d] or not same_environment(
        known[d].get("environment", {}), env)]
    print(f"{len(docs) - len(pending)} of {len(docs)} lectures from the cache, "
          f"{len(pending)} to execute, {jobs} at a time ({env['device']}, "
          f"{env['cores']} cores)", flush=True)
    with open_cache() as cache:
        # the longest first, by what earlier versions of the page took
        took = {r.uri: r.data.get("cpu_seconds", 0)
                for r in cache.list_cache_records()}
        pending.sort(key=lambda d: -took.get(
            str(source(d)), budget_of(d)["cpu_seconds"]))
        for doc in pending:
            forget(doc, cache)
        failures = [f for f in asyncio.run(
            execute_all(pending, env, jobs, cache)) if f]
    for f in failures:
        print(f"\n{'=' * 72}\nFAILED: {f.doc}, {f.message}", file=sys.stderr)
    return failures


async def execute_all(docs: list[str], env: dict, jobs: int, cache):
    """Execute the pages, `jobs` at a time; a Failure or None for each.

    Each has its share of the cores to itself. Pages that `_config.yml` lists
    under `execution_alone` come last, one at a time, with all cores.
    """
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, asyncio.current_task().cancel)
    settings = config()
    timeout = settings["execute"]["timeout"]
    alone = settings["sphinx"]["config"].get("execution_alone", [])
    free = asyncio.Queue()
    for share in shares(min(jobs, len(docs))):
        free.put_nowait(share)

    async def one(doc, cpus):
        start = time.perf_counter()
        failure = await run(doc, env, timeout, jobs, cache, cpus)
        print(f"  {'FAILED' if failure else 'ok':6} {doc} "
              f"{time.perf_counter() - start:.1f} s", flush=True)
        return failure

    async def in_turn(doc):
        cpus = await free.get()
        try:
            return await one(doc, cpus)
        finally:
            free.put_nowait(cpus)

    outcomes = await asyncio.gather(
        *(in_turn(doc) for doc in docs if doc not in alone))
    return outcomes + [await one(doc, None) for doc in docs if doc in alone]


def shares(jobs: int) -> list[list[int] | None]:
    """The cores of each of `jobs` pages at a time; None is all of them."""
    if jobs <= 1 or not hasattr(os, "sched_setaffinity"):
        return [None] * jobs
    cpus = sorted(os.sched_getaffinity(0))
    return [cpus[i::jobs] or [cpus[i % len(cpus)]] for i in range(jobs)]


def forget(doc: str, cache) -> None:
    """Drop a page from the cache, also one that was half written."""
    _, key = cache.create_hashed_notebook(lecture_loader.read(source(doc)))
    try:
        pk = NbCacheRecord.record_from_hashkey(key, cache.db).pk
    except KeyError:
        return
    NbCacheRecord.remove_records([pk], cache.db)


def budget_of(doc: str) -> dict:
    """What `_config.yml` allows a page: `cpu_seconds` and `gib`."""
    budget = config()["sphinx"]["config"]["execution_budget"]
    return {**budget, **budget.get("exceptions", {}).get(doc, {})}


def over_budget(docs: list[str]) -> list[str]:
    """Lectures that took more than `_config.yml` allows.

    Time is that of the processor, which a busy machine does not stretch.
    """
    complaints = []
    for doc, known in records(docs).items():
        known, own = known or {}, budget_of(doc)
        seconds = known.get("cpu_seconds", 0)
        gib = known.get("peak_bytes", 0) / 2**30
        if seconds > own["cpu_seconds"]:
            complaints.append(f"{doc} took {seconds:.0f} s of processor time, "
                              f"its budget is {own['cpu_seconds']} s")
        if gib > own["gib"]:
            complaints.append(f"{doc} used {gib:.2f} GiB of memory, "
                              f"its budget is {own['gib']} GiB")
    return complaints
