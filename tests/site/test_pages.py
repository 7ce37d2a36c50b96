"""The pages as built: complete, clean, and sufficient to themselves."""
import re
import statistics
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

import pytest
from bs4 import BeautifulSoup

import execution
import launch_buttons

HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
DOCS = execution.documents()


@pytest.fixture(scope="module")
def pages(request):
    "Every page of the site, parsed, by its path."
    if not (HTML / f"{DOCS[0]}.html").exists():
        reason = "the book has not been built: run `make book` first"
        if request.config.getoption("--require-book"):
            pytest.fail(reason)
        pytest.skip(reason)
    return {str(p.relative_to(HTML)): BeautifulSoup(
                p.read_text(encoding="utf-8"), "html.parser")
            for p in HTML.rglob("*.html")
            if "_static" not in p.relative_to(HTML).parts}


def test_every_page_of_the_contents_was_built(pages):
    assert {f"{d}.html" for d in DOCS} <= set(pages)


def test_no_output_has_a_warning_or_a_traceback(pages):
    for name, page in pages.items():
        for output in page.select("div.cell_output"):
            tags = output.parent.get("class", [])
            text = output.get_text()
            assert not re.search(r"\b\w*Warning:", text), (name, text)
            if "tag_raises-exception" not in tags:
                assert "Traceback (most recent call last)" not in text, name


def test_chapters_are_numbered_without_restart(pages):
    entries = pages[f"{DOCS[0]}.html"].select(
        "nav.bd-links li.toctree-l1 > a.reference.internal")
    titles = [e.get_text(strip=True) for e in entries if e["href"] != "#"]
    numbers = [int(m[1]) for t in titles if (m := re.match(r"(\d+)\.", t))]
    assert numbers == list(range(1, len(DOCS)))


def test_execution_statistics_have_one_row_a_notebook(pages):
    table = pages["other/status.html"].select_one("table.execution-statistics")
    rows = [[c.get_text(strip=True) for c in r.select("td")]
            for r in table.select("tbody tr")]
    *rows, total = rows
    assert [r[0] for r in rows] == [
        d.split("/")[-1] for d in execution.notebooks()]
    seconds = [float(r[2]) for r in rows]
    assert all(s > 0 for s in seconds)
    assert all(r[-1] == "success" for r in rows)
    assert float(total[2]) == pytest.approx(sum(seconds), abs=0.01)
    assert all(0 <= float(r[3]) < float(r[2]) for r in rows)
    assert all(int(r[4]) > 30 for r in rows)


def test_landing_page_shows_every_lecture(pages):
    "A card each: figure, title that links, question, running time."
    lectures = [d for d in execution.notebooks()
                if not d.startswith("other/")]
    cards = pages[f"{DOCS[0]}.html"].select("ul.gallery > li")
    assert [c.a["href"] for c in cards] == [f"{d}.html" for d in lectures]
    for card, doc in zip(cards, lectures, strict=True):
        page = pages[f"{doc}.html"]
        shown = Path(card.img["src"]).name
        assert shown in [Path(i["src"]).name for i in page.select("figure img")]
        assert len(card.img["alt"]) > 20 and card.img["loading"] == "lazy"
        title, question, seconds = (p.get_text() for p in card.select("p"))
        assert title in page.h1.get_text()
        assert question.endswith("?")
        assert re.fullmatch(r"\d+ s on .+", seconds)
        box = page.select_one("div.admonition.tip").get_text()
        assert f"Question: {question}" in box
        assert f"Running time: {seconds}, with" in box


def test_no_lecture_is_over_its_budget():
    assert execution.over_budget(execution.notebooks()) == []


def test_introduction_is_quick(pages):
    "It asks for a third of what a lecture does, on whatever machine."
    took = {doc: known["cpu_seconds"] for doc, known in execution.records(
        execution.notebooks()).items()}
    assert took["introduction/about"] < statistics.median(took.values()) / 3


def test_pages_load_nothing_from_another_host(pages):
    for name, page in pages.items():
        loads = [t.get("src") for t in page.select("script, img, iframe")]
        loads += [t.get("href") for t in page.select("link") if set(
            t.get("rel", [])) & {"stylesheet", "icon", "preload", "manifest"}]
        outside = [u for u in loads if u and urlparse(u).netloc]
        assert outside == [], name


def test_internal_links_and_anchors_resolve(pages):
    anchors = {name: {t["id"] for t in page.select("[id]")}
               | {t["name"] for t in page.select("a[name]")}
               for name, page in pages.items()}
    dead = []
    for name, page in pages.items():
        for a in page.select("a[href]"):
            if urlparse(a["href"]).scheme or a["href"] in ("#", ""):
                continue
            target = urlparse(urljoin(f"http://x/{name}", a["href"]))
            path = unquote(target.path.lstrip("/"))
            if path in anchors:
                fragment = unquote(target.fragment)
                if fragment and fragment not in anchors[path]:
                    dead.append((name, a["href"]))
            elif not (HTML / path).is_file() \
                    and path not in launch_buttons.downloads():
                dead.append((name, a["href"]))
    assert dead == []


def test_figures_have_alt_text(pages):
    for name, page in pages.items():
        for image in page.select("article img"):
            assert len(image.get("alt", "")) > 20, (name, image.get("src"))


def test_references_between_pages_are_resolved(pages):
    for name, page in pages.items():
        article = page.select_one("article")
        if article:
            for math in article.select("pre, code, .math"):
                math.extract()
            text = article.get_text(" ")
            assert not re.search(r"\{(ref|doc|eq|numref|cite)", text), name
            assert "??" not in text, name
