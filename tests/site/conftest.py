"""A server, a browser, and the pages of the book as a reader meets them."""
import functools
import http.server
import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

import execution

HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

# Marks the time at which all mathematics is set.
MARK_MATHEMATICS = """
addEventListener("DOMContentLoaded", () =>
  window.MathJax?.startup?.promise?.then(() => performance.mark("math")));
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def absent(request, option, reason):
    "Skip with the reason, or fail where the option asks for it."
    if request.config.getoption(option):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def executed_here(request):
    "Without it, a build within a test would first execute every lecture."
    here, known = execution.environment(), execution.records(
        execution.notebooks())
    if not all(r and execution.same_environment(r["environment"], here)
               for r in known.values()):
        absent(request, "--require-book",
               "the lectures have not been executed in this environment: "
               "run `make book` first")


@pytest.fixture(scope="module")
def home(request):
    "The address at which the built book is served."
    if not (HTML / "index.html").exists():
        absent(request, "--require-book",
               "the book has not been built: run `make book` first")
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=HTML))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser(request, home):
    "Chromium, which the machine provides; no browser is downloaded."
    program = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, PROGRAMS)), None)
    if not program:
        absent(request, "--require-browser",
               "no Chromium here: install Debian's package `chromium`, or "
               "set CHROMIUM to the program")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def reader(browser, home):
    """Open a page as a new reader: `with reader(path, width=1280) as page`.

    `page.complaints` lists errors of the console, requests that failed, and
    requests to other hosts, which never leave the machine.
    """
    @contextmanager
    def open_page(path, width=1280):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="light",
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"])
        try:
            context.add_init_script(MARK_MATHEMATICS)
            context.route(lambda url: not url.startswith(home),
                          lambda route: route.abort())
            page = context.new_page()
            page.complaints = []
            page.on("console", lambda m: m.type == "error"
                    and page.complaints.append(f"console: {m.text}"))
            page.on("pageerror",
                    lambda e: page.complaints.append(f"error: {e}"))
            page.on("response", lambda r: r.status >= 400
                    and page.complaints.append(f"{r.status}: {r.url}"))
            page.on("request", lambda r: r.url.startswith(("http", "ws"))
                    and not r.url.startswith(home)
                    and page.complaints.append(f"other host: {r.url}"))
            page.goto(home + path)
            page.evaluate("window.MathJax?.startup?.promise")
            yield page
        finally:
            context.close()

    return open_page


def pytest_terminal_summary(terminalreporter):
    "Print what the tests measured, also where they ran in other processes."
    measured = dict(p for report in terminalreporter.getreports("passed")
                    + terminalreporter.getreports("failed")
                    for p in report.user_properties)
    weights = sorted(((m["MB"], name, m) for name, m in measured.items()
                      if isinstance(m, dict)), reverse=True)
    if weights:
        terminalreporter.section("pages as loaded")
        terminalreporter.line("     MB  content   loaded  mathematics")
    for mb, name, m in weights:
        times = [m["content"], m["loaded"], m["mathematics"]]
        terminalreporter.line(f"{mb:7.2f}" + "".join(
            f"{t:8.2f}s" if t else "        -" for t in times) + f"  {name}")
