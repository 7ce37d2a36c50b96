"""A build for students holds every exercise and nothing of a solution."""
import re

import pytest
from bs4 import BeautifulSoup

import build
import execution
import hidden_solutions

GATED = re.compile(r"^```\{solution-start\} (\S+)\n.*?^```\n(.*?)"
                   r"^```\{solution-end\}", re.M | re.S)
EXERCISE = re.compile(r"^```\{exercise-start\}\n:label: (\S+)", re.M)


@pytest.fixture(scope="module", params=["html", "latex"])
def book(request, executed_here, tmp_path_factory):
    "The text of every file of a book that was built without solutions."
    out = tmp_path_factory.mktemp("student")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOLUTIONS", "hidden")
        status = build.render(execution.ROOT / "_toc.yml", out, "--all", "-W",
                              "-n", "--keep-going", "-q", "--builder",
                              request.param)
    assert status == 0
    files = out / "_build" / request.param
    assert not list(files.rglob("*.md")), "sources hold the solutions"
    return {str(p.relative_to(files)): text(p) for p in files.rglob("*")
            if p.suffix in (".html", ".js", ".txt", ".json", ".tex")
            and "_static" not in p.parts}


def text(path):
    "The letters and digits of a file, without its mark-up."
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        content = BeautifulSoup(content, "html.parser").get_text(" ")
    if path.suffix == ".tex":
        content = re.sub(r"\\PYGZ\w+\{\}|\\PYG\{[^}]*\}", "", content)
    return letters(content)


def letters(content):
    return re.sub(r"[\W_]+", "", content)


def solutions():
    "Page, label and body of each solution, and what else the book says."
    sources = {d: execution.source(d).read_text(encoding="utf-8")
               for d in execution.notebooks()}
    rest = letters("".join(GATED.sub("", s) for s in sources.values()))
    for doc, source in sources.items():
        for label, body in GATED.findall(source):
            yield doc, label, body, rest


def lines_of_solutions():
    "Plain lines of prose and code that stand in one solution alone."
    for doc, label, body, rest in solutions():
        for line in body.splitlines():
            plain = letters(line)
            if len(plain) > 25 and plain not in rest and not re.search(
                    r"[`$*{}\\\[\]]|^\s*(name|caption|alt):", line):
                yield doc, label, plain


def test_nothing_of_a_solution_is_left(book):
    lines = list(lines_of_solutions())
    assert len(lines) > 60
    for doc, label, line in lines:
        found = [name for name, content in book.items() if line in content
                 and (name.startswith(doc) or name.endswith(".tex"))]
        assert found == [], (doc, label, line)


def test_the_lines_would_be_found(request):
    "The same lines do stand in the book with its solutions."
    pages = {d: execution.ROOT / "_build" / "html" / f"{d}.html"
             for d in execution.notebooks()}
    if not all(p.exists() for p in pages.values()):
        pytest.skip("the book has not been built: run `make book` first")
    contents = {d: text(p) for d, p in pages.items()}
    lines = list(lines_of_solutions())
    found = [line in contents[doc] for doc, _, line in lines]
    assert sum(found) > 0.9 * len(lines)


def test_every_exercise_is_there(book):
    for doc in execution.notebooks():
        source = execution.source(doc).read_text(encoding="utf-8")
        page = book.get(f"{doc}.html") or book["book.tex"]
        assert page.count("Exercise") >= len(EXERCISE.findall(source)) > 0
        assert "Solutionto" not in page


def test_the_switch_knows_two_words(monkeypatch):
    for word, hidden in (("shown", False), ("", False), ("hidden", True)):
        monkeypatch.setenv("SOLUTIONS", word)
        assert hidden_solutions.hidden() is hidden
    monkeypatch.setenv("SOLUTIONS", "no")
    with pytest.raises(ValueError, match="shown or hidden, got 'no'"):
        hidden_solutions.hidden()
