"""The notebooks of the book: complete, clean, and in step with its pages."""
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

import execution
import lecture_loader
import ledger
import notebook_builder

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
NOTEBOOKS = ROOT / "_build" / "notebooks"
DOCS = execution.notebooks()
SITE = execution.config()["html"]["baseurl"].rstrip("/") + "/"
PARSER = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)


def markdown(notebook):
    return [c.source for c in notebook.cells if c.cell_type == "markdown"]


def code(notebook):
    return [c.source for c in notebook.cells if c.cell_type == "code"
            and "\n%pip install" not in c.source
            and notebook_builder.YES not in c.source]


@pytest.fixture(scope="module")
def notebooks(request):
    "Every notebook, by its page."
    missing = [d for d in DOCS if not (NOTEBOOKS / f"{d}.ipynb").exists()
               or not (HTML / f"{d}.html").exists()]
    if missing:
        reason = f"no page or notebook of {missing}: run `make site` first"
        if request.config.getoption("--require-book"):
            pytest.fail(reason)
        pytest.skip(reason)
    return {d: nbformat.read(NOTEBOOKS / f"{d}.ipynb", as_version=4)
            for d in DOCS}


@pytest.fixture(scope="module")
def pages():
    "The pages, parsed, as far as they are asked for."
    known = {}

    def page(path):
        if path not in known:
            known[path] = BeautifulSoup(
                (HTML / path).read_text(encoding="utf-8"), "html.parser")
        return known[path]
    return page


def test_each_page_with_code_has_a_notebook_and_no_other(notebooks):
    written = {str(p.relative_to(NOTEBOOKS))
               for p in NOTEBOOKS.rglob("*") if p.is_file()}
    assert written == {f"{d}.ipynb" for d in DOCS}


def test_notebooks_are_valid_and_say_where_they_belong(notebooks):
    for doc, notebook in notebooks.items():
        nbformat.validate(notebook)
        assert notebook.metadata["kernelspec"]["name"] == "python3"
        assert notebook.metadata["language_info"]["name"] == "python"
        assert "colab" in notebook.metadata
        assert f"]({SITE}{doc}.html)" in notebook.cells[0].source, doc


def test_no_cell_keeps_an_output(notebooks):
    for doc, notebook in notebooks.items():
        for cell in notebook.cells:
            if cell.cell_type == "code":
                assert cell.outputs == [], doc
                assert cell.execution_count is None, doc


def test_code_is_the_lectures(notebooks):
    for doc, notebook in notebooks.items():
        cells = lecture_loader.code_cells(execution.source(doc))
        assert code(notebook) == [c.source for _, _, c in cells], doc


def test_last_cell_checks_numbers_of_the_ledger(notebooks):
    for doc, notebook in notebooks.items():
        entries = ledger.read([doc])[doc]
        last = notebook.cells[-1].source
        if entries:
            assert last == notebook_builder.self_check_cell(entries).source
        else:
            assert notebook_builder.YES not in last, doc


def test_no_directive_or_role_is_left(notebooks):
    left = re.compile(r"""
        ^\s*>?\s*(`{3,}|:{3,}|~{3,})\s*\{     # a directive
        | \{[a-z][\w:+-]*\}`                  # a role
        | ^\s*\([\w.-]+\)=\s*$                # a label
        | \$\$[ ]*\([\w.-]+\)                 # the label of an equation
        | ^%[ ] | ^\+\+\+                     # a comment, a break
        | \{(exercise|solution)-(start|end)\}
        | \[\[?Unknown | \?\?""", re.X | re.M)
    for doc, notebook in notebooks.items():
        for text in markdown(notebook):
            assert not left.search(text), (doc, left.search(text)[0])


def test_formulas_are_closed_and_use_no_macro_of_the_book(notebooks):
    macros = execution.config()["sphinx"]["config"]["mathjax3_config"][
        "tex"]["macros"]
    own = re.compile(rf"\\({'|'.join(macros)})(?![A-Za-z])")
    for doc, notebook in notebooks.items():
        for text in markdown(notebook):
            assert text.count("$$") % 2 == 0, (doc, text)
            assert not own.search(text), (doc, own.search(text)[0])
            assert not re.search(r"\$\$[^$]*\n\s*\n[^$]*\$\$(?!\s*\n)", text)


def links(notebook):
    "Addresses of links and pictures in the Markdown of a notebook."
    for text in markdown(notebook):
        for block in PARSER.parse(text):
            for token in block.children or []:
                address = token.attrGet("href") or token.attrGet("src")
                if address:
                    yield unquote(address)


def test_links_and_pictures_resolve(notebooks, pages):
    dead = []
    for doc, notebook in notebooks.items():
        found = list(links(notebook))
        assert len(found) > 5, doc
        for link in found:
            if not link.startswith(SITE):
                assert link.startswith("https://"), (doc, link)
                continue
            path, _, anchor = link.removeprefix(SITE).partition("#")
            if not (HTML / (path or "index.html")).is_file():
                dead.append((doc, link))
            elif anchor and not pages(path).find(id=anchor):
                dead.append((doc, link))
    assert dead == []


def plain(text):
    "Letters and digits alone."
    return re.sub(r"\W+|_", "", re.sub(r"\$[^$]*\$", "", text))


def test_numbers_are_those_of_the_pages(notebooks, pages):
    "Of equations, figures, tables, headings, theorems and exercises."
    for doc, notebook in notebooks.items():
        article = pages(f"{doc}.html").select_one("article")
        text = "\n\n".join(markdown(notebook))

        def of_page(selector, article=article):
            return [t.get_text(" ", strip=True).strip(" #")
                    for t in article.select(selector)]

        assert re.findall(r"\\tag\{([\d.]+)\}", text) == [
            t.strip("() #") for t in of_page("span.eqno")], doc
        assert re.findall(r"^\*\*((?:Fig\.|Table) [\d.]+)\*\*", text, re.M) \
            == of_page("figcaption .caption-number, caption .caption-number")
        exercises = of_page("div.exercise > .admonition-title, "
                            "div.solution > .admonition-title")
        assert re.findall(r"^#+ ((?:Solution|Exercise) ?.*)", text, re.M)[
            -len(exercises):] == exercises, doc
        assert re.findall(r"^> \*\*(Theorem [\d.]+)", text, re.M) == [
            m[0] for t in of_page("div.theorem > .admonition-title")
            if (m := re.match(r"Theorem [\d.]+", t))], doc
        for heading in article.select("h1, h2, h3"):
            for mathematics in heading.select(".math, .headerlink"):
                mathematics.extract()
            wanted = plain(heading.get_text())
            assert wanted in {plain(t) for t in re.findall(
                r"^#+ (.*)", text, re.M)}, (doc, wanted)


def test_every_figure_keeps_its_caption(notebooks):
    for doc, notebook in notebooks.items():
        for cell, below in zip(notebook.cells, notebook.cells[1:],
                               strict=False):
            if cell.cell_type == "code" and "plt.show()" in cell.source:
                assert re.match(r"\*\*Fig\. [\d.]+\*\* \S", below.source), doc


@pytest.fixture(scope="module")
def hidden(notebooks, executed_here, tmp_path_factory):
    "The notebooks of a build for students."
    folder = tmp_path_factory.mktemp("hidden") / "notebooks"
    subprocess.run([sys.executable, ROOT / "scripts" / "notebooks.py", folder],
                   env={**os.environ, "SOLUTIONS": "hidden"}, check=True,
                   cwd=ROOT, stdout=subprocess.DEVNULL)
    return {d: nbformat.read(folder / f"{d}.ipynb", as_version=4)
            for d in DOCS}


def test_hidden_solutions_leave_no_trace(hidden, notebooks):
    for doc, notebook in hidden.items():
        source = execution.source(doc).read_text(encoding="utf-8")
        parts = re.split(r"^`+\{solution-(?:start|end)\}.*\n", source,
                         flags=re.M)
        solutions = "".join(parts[1::2])
        cells = [c.source for _, _, c in
                 lecture_loader.code_cells(execution.source(doc))]
        secret = [c for c in cells if c in solutions]
        assert code(notebook) == [c for c in cells if c not in secret], doc
        texts = "\n".join(c.source for c in notebook.cells)
        assert not re.search(r"^#+ Solution", texts, re.M), doc
        # what only solutions say, by its runs of six words
        only = words(solutions) - words("".join(parts[0::2]))
        shown = set().union(*(words(c.source) for c in notebook.cells))
        assert len(only) > 30 and not only & shown, doc
        exercises = [t for t in markdown(notebook) if "# Exercise" in t]
        assert exercises == [
            t for t in markdown(notebooks[doc]) if "# Exercise" in t], doc


def words(text):
    "Runs of six words."
    found = re.findall(r"[^\W\d_]+", text)
    return {tuple(found[i:i + 6]) for i in range(len(found) - 5)}
