"""The pages as a reader meets them: in a browser, on a screen and a phone.

Every page is opened once. What can be opened on it is opened, it is turned
dark by its button, and then it is narrowed to a phone.
"""
import itertools
import re
from pathlib import Path

import axe_playwright_python
import pytest

import execution

HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
DOCS = execution.documents()
PAGES = sorted(str(p.relative_to(HTML)) for p in HTML.rglob("*.html")
               if "_static" not in p.parts and p != HTML / "index.html"
               ) or [f"{d}.html" for d in DOCS]
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(
    encoding="utf-8")
PHONE, SCREEN = 360, 1280

# Rules of axe that may be broken, each with the reason. None that axe calls
# serious or critical may stand here.
ALLOWED = {}

MEGABYTES = 5       # a page with all that it loads, before compression
LEGIBLE = 400       # width of a figure in pixels that keeps its letters legible

WEIGHT = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const math = performance.getEntriesByName("math")[0];
  const loads = performance.getEntriesByType("resource");
  return {
    MB: [page, ...loads].reduce((s, e) => s + e.decodedBodySize, 0) / 1e6,
    content: page.domContentLoadedEventEnd / 1e3,
    loaded: page.loadEventEnd / 1e3,
    mathematics: document.querySelector("mjx-container") && math.startTime / 1e3
  };
}"""

# Formulas that are not set, and TeX that stands in the text.
RAW_MATHEMATICS = r"""() => {
  const raw = [...document.querySelectorAll(".math")].filter(
    e => !e.querySelector("mjx-container")).map(e => e.textContent);
  raw.push(...[...document.querySelectorAll("mjx-merror")].map(
    e => e.textContent));
  const walk = document.createTreeWalker(
    document.querySelector("article") ?? document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode;
    if (!text.parentElement.closest("pre, code, script, style, mjx-container")
        && /\$\$|\\\(|\\\[|\\begin\{/.test(text.data)) raw.push(text.data);
  }
  return raw;
}"""

# Wait until nothing moves or fades any more.
STILL = """() => Promise.allSettled(
  document.getAnimations().map(animation => animation.finished))"""

# The boxes that are to open on a click, and show what is in them.
OPEN = """() => [...document.querySelectorAll("article .dropdown")].filter(
  e => [...e.children].slice(1).some(c => c.checkVisibility({
    checkOpacity: true, checkVisibilityCSS: true}) && c.offsetHeight > 1
  )).map(e => e.id || e.textContent.slice(0, 60))"""

# Boxes that scroll sideways and cannot be reached by keyboard.
OUT_OF_REACH = """() => [...document.querySelectorAll("body *")].filter(e =>
  /auto|scroll/.test(getComputedStyle(e).overflowX)
  && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1
  && e.checkVisibility() && e.tabIndex < 0
).map(e => e.outerHTML.slice(0, 120))"""

OVERFLOW = """() => {
  const root = document.documentElement;
  if (root.scrollWidth <= root.clientWidth) return [];
  const wide = [...document.querySelectorAll("body *")].filter(
    e => e.getBoundingClientRect().right > root.clientWidth + 1);
  return [`${root.scrollWidth} px`, ...wide.slice(0, 5).map(
    e => e.outerHTML.slice(0, 120))];
}"""

# Sizes of the levels of headings, where a deeper one is not the smaller.
HEADINGS = """() => {
  const sizes = ["h1", "h2", "h3", "h4"].map(
    level => document.querySelector(`article ${level}`)).filter(e => e).map(
    e => parseFloat(getComputedStyle(e).fontSize));
  return sizes.every((s, i) => i == 0 || s < sizes[i - 1]) ? [] : sizes;
}"""

FIGURES = """() => [...document.querySelectorAll(
  "article figure img, article .cell img")].map(
  e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).filter,
        e.getBoundingClientRect().width])"""


def violations(page, *rules):
    "What axe finds on the page as it stands, by these rules or by all."
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    options = {"resultTypes": ["violations"], "preload": False}
    if rules:
        options["runOnly"] = list(rules)
    found = page.evaluate("options => axe.run(options)", options)
    return [(v["id"], v["impact"], n["target"], n["html"][:200],
             n["failureSummary"]) for v in found["violations"]
            if v["id"] not in ALLOWED or v["impact"] in ("serious", "critical")
            for n in v["nodes"]]


@pytest.mark.parametrize("path", PAGES)
def test_page(path, reader, record_property):
    "One visit, view by view; every kind of trouble is to be none."
    trouble = {}
    with reader(path, SCREEN) as page:
        weight = page.evaluate(WEIGHT)
        record_property(path, weight)
        trouble["too heavy"] = [weight] if weight["MB"] > MEGABYTES else []
        trouble["mathematics not set"] = page.evaluate(RAW_MATHEMATICS)
        trouble["open before a click"] = page.evaluate(OPEN)
        boxes = open_all(page)
        trouble["closed after a click"] = boxes[len(page.evaluate(OPEN)):]
        trouble["violations"] = violations(page)
        trouble["headings"] = page.evaluate(HEADINGS)
        trouble["too wide for a screen"] = page.evaluate(OVERFLOW)
        trouble["copied otherwise"] = miscopied(page)

        trouble["dark mode"] = turn_dark(page)
        trouble["dark figures"] = [f for f in page.evaluate(FIGURES) if f[:2]
                                   != ["rgb(255, 255, 255)", "none"]]
        trouble["dark violations"] = violations(page, "color-contrast")

        page.set_viewport_size({"width": PHONE, "height": 800})
        page.wait_for_timeout(500)
        trouble["too wide for a phone"] = page.evaluate(OVERFLOW)
        trouble["out of reach by keyboard"] = page.evaluate(OUT_OF_REACH)
        trouble["headings on a phone"] = page.evaluate(HEADINGS)
        trouble["small figures"] = [f for f in page.evaluate(FIGURES)
                                    if f[2] < LEGIBLE]
        trouble["complaints"] = page.complaints
    assert {kind: found for kind, found in trouble.items() if found} == {}


def open_all(page):
    "Click on all that opens, from the outside in; the dropdowns' titles."
    titles = page.locator("article .dropdown > .admonition-title")
    for i in range(titles.count()):
        titles.nth(i).click()
    closed = page.locator("article details:not([open]) > summary")
    while closed.count():
        closed.first.click()
    page.evaluate(STILL)
    return titles.all_inner_texts()


def miscopied(page):
    "Code and clipboard, where the last cell's button copied something else."
    cells = page.locator("article .cell_input .highlight").filter(visible=True)
    if not cells.count():
        return []
    cell = cells.last
    cell.hover()
    cell.locator("button.copybtn").click()
    code = cell.locator("pre").inner_text().strip()
    clipboard = page.evaluate("navigator.clipboard.readText()").strip()
    return [] if code == clipboard != "" else [code, clipboard]


def turn_dark(page):
    "Click the theme's button until it is dark; the ground if it is not."
    button = page.locator(".theme-switch-button:visible").first
    for _ in range(3):
        if page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
        button.click()
    page.mouse.move(0, 0)
    page.evaluate(STILL)
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    bright = max(map(int, re.findall(r"\d+", colour)[:3])) > 60
    return [colour] if bright else []


# -- the book as a whole ----------------------------------------------------

def test_first_address_leads_to_the_landing_page(reader, home):
    with reader(f"{DOCS[-1]}.html") as page:
        page.goto(home)
        page.wait_for_url(f"{home}{DOCS[0]}.html")


def test_next_and_previous_lead_through_the_book(reader, home):
    with reader(f"{DOCS[0]}.html") as page:
        for here, there in itertools.pairwise(DOCS):
            page.locator("a.right-next").click()
            page.wait_for_url(f"{home}{there}.html", wait_until="commit")
            back = page.locator("a.left-prev")
            assert back.evaluate("a => a.href") == f"{home}{here}.html"
        assert not page.locator("a.right-next").count()
        back.click()
        page.wait_for_url(f"{home}{here}.html")


def test_search_finds_a_word(reader):
    with reader(f"{DOCS[0]}.html") as page:
        page.keyboard.press("Control+k")
        page.locator("dialog[open] input[name=q]").press_sequentially(
            "quadratically")
        page.keyboard.press("Enter")
        result = page.locator("#search-results li a").first
        result.wait_for()
        assert "newtons_method.html" in result.get_attribute("href")
        result.click()
        page.locator("article h1").wait_for()
        assert "newtons_method.html" in page.url
        assert page.complaints == []


def test_dark_mode_lasts_to_the_next_page(reader):
    with reader(f"{DOCS[0]}.html") as page:
        turn_dark(page)
        page.locator("a.right-next").click()
        page.locator("article h1").wait_for()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_contents_open_on_a_phone(reader):
    with reader(f"{DOCS[1]}.html", PHONE) as page:
        link = page.locator("nav.bd-links a", has_text="Newton").first
        assert not link.is_visible()
        page.locator("button.primary-toggle:visible").first.click()
        link.click()
        page.wait_for_url("**/newtons_method.html")
        assert page.complaints == []
