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


@pytest.fixture(scope="module")
def site(request, tmp_path_factory):
    "The text of every file of a site that was built without solutions."
    known = execution.records(execution.notebooks())
    if not all(known.values()):
        reason = "the lectures have not been executed: run `make book` first"
        if request.config.getoption("--require-book"):
            pytest.fail(reason)
        pytest.skip(reason)
    out = tmp_path_factory.mktemp("student")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOLUTIONS", "hidden")
        status = build.render(execution.ROOT / "_toc.yml", out, "--all", "-W",
                              "-n", "--keep-going", "-q")
    assert status == 0
    html = out / "_build" / "html"
    assert not list(html.rglob("*.md")), "sources hold the solutions"
    return {str(p.relative_to(html)): text(p) for p in html.rglob("*")
            if p.suffix in (".html", ".js", ".txt", ".json", ".ipynb")
            and "_static" not in p.parts}


def text(path):
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        content = BeautifulSoup(content, "html.parser").get_text(" ")
    return re.sub(r"\s+", "", content)


def solutions():
    for doc in execution.notebooks():
        source = execution.source(doc).read_text(encoding="utf-8")
        rest = re.sub(r"\s+", "", GATED.sub("", source))
        for label, body in GATED.findall(source):
            yield doc, label, body, rest


def test_nothing_of_a_solution_is_left(site):
    checked = 0
    for doc, label, body, rest in solutions():
        for line in body.splitlines():
            line = re.sub(r"\s+", "", line)
            # plain lines of prose and code that stand in the solution alone
            if len(line) < 25 or line in rest or re.search(
                    r"[`$*{}\\\[\]]|^(name|caption|alt):", line):
                continue
            checked += 1
            found = [name for name, content in site.items()
                     if name.startswith(doc) and line in content]
            assert found == [], (doc, label, line)
    assert checked > 100


def test_every_exercise_is_there(site):
    for doc in execution.notebooks():
        source = execution.source(doc).read_text(encoding="utf-8")
        page = site[f"{doc}.html"]
        assert page.count("Exercise") >= len(EXERCISE.findall(source)) > 0
        assert "Solutionto" not in page


def test_the_switch_knows_two_words(monkeypatch):
    for word, hidden in (("shown", False), ("", False), ("hidden", True)):
        monkeypatch.setenv("SOLUTIONS", word)
        assert hidden_solutions.hidden() is hidden
    monkeypatch.setenv("SOLUTIONS", "no")
    with pytest.raises(ValueError, match="shown or hidden, got 'no'"):
        hidden_solutions.hidden()
