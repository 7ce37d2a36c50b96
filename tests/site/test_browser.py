"""The pages as a reader meets them: in a browser, on a screen and a phone.

Every page is opened once. What can be opened on it is opened, it is turned
dark by its button, and then it is narrowed to a phone.
"""
import re
from contextlib import ExitStack
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

# What is hidden until it is clicked on: admonitions, then cells.
CLOSED = """() => [...document.querySelectorAll("article .dropdown")].filter(
  e => [...e.children].slice(1).some(c => c.checkVisibility({
    checkOpacity: true, checkVisibilityCSS: true}) && c.offsetHeight > 1
  )).map(e => e.id || e.textContent.slice(0, 60))"""

# Boxes that scroll sideways and cannot be reached by keyboard.
OUT_OF_REACH = """() => [...document.querySelectorAll("body *")].filter(e =>
  /auto|scroll/.test(getComputedStyle(e).overflowX)
  && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1
  && e.checkVisibility() && e.tabIndex < 0
  && !e.querySelector("a[href], button, input")
).map(e => e.outerHTML.slice(0, 120))"""

OVERFLOW = """() => {
  const root = document.documentElement;
  if (root.scrollWidth <= root.clientWidth) return [];
  const wide = [...document.querySelectorAll("body *")].filter(
    e => e.getBoundingClientRect().right > root.clientWidth + 1);
  return [`${root.scrollWidth} px`, ...wide.slice(0, 5).map(
    e => e.outerHTML.slice(0, 120))];
}"""

FIGURES = """() => [...document.querySelectorAll("article .cell img")].map(
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
            for n in v["nodes"]]


@pytest.fixture(scope="module", params=[
    pytest.param(p, marks=pytest.mark.xdist_group(p)) for p in PAGES])
def visit(request, reader):
    "What one visit to a page shows, view by view."
    seen = {"page": request.param}
    with ExitStack() as stack:
        page = stack.enter_context(reader(request.param, SCREEN))
        seen["weight"] = page.evaluate(WEIGHT)
        seen["raw mathematics"] = page.evaluate(RAW_MATHEMATICS)
        seen["formulas"] = page.locator("mjx-container").count()
        seen["open at first"] = page.evaluate(CLOSED)
        dropdowns = page.locator("article .dropdown > .admonition-title")
        for i in range(dropdowns.count()):
            dropdowns.nth(i).click()
        closed = page.locator("article details:not([open]) > summary")
        while closed.count():
            closed.first.click()
        seen["dropdowns"] = dropdowns.count()
        seen["opened"] = page.evaluate(CLOSED)
        seen["violations"] = violations(page)
        seen["overflow"] = {SCREEN: page.evaluate(OVERFLOW)}
        seen["copied"] = copied(page)
        seen["dark"] = turn_dark(page)
        seen["dark figures"] = page.evaluate(FIGURES)
        seen["dark violations"] = violations(page, "color-contrast")
        page.set_viewport_size({"width": PHONE, "height": 800})
        page.wait_for_timeout(500)
        seen["overflow"][PHONE] = page.evaluate(OVERFLOW)
        seen["out of reach"] = page.evaluate(OUT_OF_REACH)
        seen["narrow figures"] = page.evaluate(FIGURES)
        seen["complaints"] = page.complaints
    return seen


def copied(page):
    "The code of the last cell, and what its button puts on the clipboard."
    cells = page.locator("article .cell_input .highlight").filter(visible=True)
    if not cells.count():
        return None
    cell = cells.last
    cell.hover()
    cell.locator("button.copybtn").click()
    return (cell.locator("pre").inner_text(),
            page.evaluate("navigator.clipboard.readText()"))


def turn_dark(page):
    "Click the button of the theme until it is dark; the brightness then."
    button = page.locator(".theme-switch-button:visible").first
    for _ in range(3):
        if page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
        button.click()
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return max(map(int, re.findall(r"\d+", colour)[:3]))


def test_loads_without_complaint_or_another_host(visit):
    assert visit["complaints"] == []


def test_mathematics_is_typeset(visit):
    assert visit["raw mathematics"] == []
    source = HTML / visit["page"]
    there = 'class="math ' in source.read_text(encoding="utf-8")
    assert (visit["formulas"] > 0) == there


def test_solutions_are_closed_and_open_on_a_click(visit):
    assert visit["open at first"] == []
    assert len(visit["opened"]) == visit["dropdowns"]


def test_axe_finds_nothing(visit):
    found = visit["violations"] + visit["dark violations"]
    grave = [v for v in found if v[1] in ("serious", "critical")]
    assert grave == []
    assert [v for v in found if v[0] not in ALLOWED] == []


def test_fits_a_phone_and_a_screen(visit):
    assert visit["overflow"] == {PHONE: [], SCREEN: []}


def test_what_scrolls_is_reached_by_keyboard(visit):
    assert visit["out of reach"] == []


def test_code_copies(visit):
    if visit["copied"] is None:
        pytest.skip("no code on this page")
    code, clipboard = visit["copied"]
    assert clipboard.strip() == code.strip() != ""


def test_dark_mode_keeps_figures_on_white(visit):
    assert visit["dark"] < 60
    for background, filtered, _ in visit["dark figures"]:
        assert (background, filtered) == ("rgb(255, 255, 255)", "none")


def test_figures_stay_large_on_a_phone(visit):
    assert all(width >= 400 for _, _, width in visit["narrow figures"])


def test_weight(visit, record_property):
    record_property(visit["page"], visit["weight"])
    assert visit["weight"]["MB"] < MEGABYTES


# -- the book as a whole ----------------------------------------------------

def test_first_address_leads_to_the_landing_page(reader, home):
    with reader("") as page:
        page.wait_for_url(f"{home}{DOCS[0]}.html")


def test_next_and_previous_lead_through_the_book(reader, home):
    with reader(f"{DOCS[0]}.html") as page:
        for doc in DOCS[1:]:
            page.locator("a.right-next").click()
            page.wait_for_url(f"{home}{doc}.html", wait_until="commit")
        assert not page.locator("a.right-next").count()
        for doc in DOCS[-2::-1]:
            page.locator("a.left-prev").click()
            page.wait_for_url(f"{home}{doc}.html", wait_until="commit")


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
