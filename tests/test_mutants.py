"""The tool that breaks lectures: what it changes, and what it counts."""
import ast
import json
from collections import Counter

import pytest

import execution
import lecture_loader
import mutants
import proof_tables

PAGE = lecture_loader.FRONT_MATTER + '''# A pagé

```{code-cell}
def f(x, tol=1e-9, axis=0):
    "The µ of it."
    if x < 0:
        raise ValueError(f"x must not be negative, got {x - 1}")
    y = -x + 2 * x.sum(axis=0)[0]
    return y if y > 1e-8 else y / 3.0


def show(x):
    print(x + 1)
```

```{solution-start} ex-a-1
```

```{code-cell}
def g(x):
    return x + 1
```

```{solution-end}
```
'''


@pytest.fixture
def page(tmp_path, monkeypatch):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.md").write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(lecture_loader, "LECTURES", tmp_path)
    return "part/a"


def test_each_kind_is_made_in_function_bodies_alone(page):
    found = [m for m, *_ in mutants.candidates(page)]
    assert {m.function for m in found} == {"f"}
    assert {(m.kind, m.old, m.new) for m in found} == {
        ("sign", "-x + 2 * x.sum(axis=0)[0]", "-x - 2 * x.sum(axis=0)[0]"),
        ("dropped term", "-x + 2 * x.sum(axis=0)[0]", "-x"),
        ("sign", "-x", "x"),
        ("operator", "2 * x.sum(axis=0)[0]", "2 / x.sum(axis=0)[0]"),
        ("index", "x.sum(axis=0)[0]", "x.sum(axis=0)[1]"),
        ("axis", "x.sum(axis=0)", "x.sum(axis=1)"),
        ("comparison", "y > 1e-8", "y <= 1e-08"),
        ("tolerance", "1e-8", "0.0001"),
        ("operator", "y / 3.0", "y * 3.0"),
        ("constant", "3.0", "3.3000000000000003")}


def test_each_mutant_parses_and_differs_in_its_place(page):
    text = execution.source(page).read_bytes()
    for m, start, end, code in mutants.candidates(page):
        assert text[start:end].decode() == m.old
        changed = (text[:start] + code + text[end:]).decode()
        assert changed.splitlines()[:m.line - 1] == PAGE.splitlines()[
            :m.line - 1]
        cell = changed.split("```{code-cell}\n")[1].split("```")[0]
        assert ast.dump(ast.parse(cell)) != ast.dump(ast.parse(
            PAGE.split("```{code-cell}\n")[1].split("```")[0]))


def test_choice_is_that_of_the_seed_and_varied(page):
    found = mutants.candidates(page)
    a, b = (mutants.choose(found, 5, seed=3) for _ in range(2))
    assert a == b and len(a) == 5
    assert len({m.kind for m, *_ in a}) == 5
    assert mutants.choose(found, 5, seed=4) != a


@pytest.mark.parametrize("test, state", [
    ("assert lecture.f(2) == 4", "noticed"), ("assert lecture.f(2) > 0",
                                              "survived"),
    ("assert lecture.f(2) == 6", "stopped"),
    ("while lecture.f(2) == 6: pass", "endless")])
def test_states_of_a_run(tmp_path, monkeypatch, test, state):
    "A doubled number is noticed, or not; a page that stops is told apart."
    root, lectures = tmp_path / "book", tmp_path / "book" / "lectures" / "part"
    lectures.mkdir(parents=True)
    (root / "tests" / "part").mkdir(parents=True)
    check = "assert f(2) == 4\n" if state == "stopped" else ""
    (lectures / "a.md").write_text(
        lecture_loader.FRONT_MATTER + "# A\n\n```{code-cell}\ndef f(x):\n"
        f"    return x + x\n\n\n{check}```\n")
    (root / "tests" / "conftest.py").write_text(
        "import pytest, lecture_loader\n\n\n@pytest.fixture\ndef lecture():\n"
        "    return lecture_loader.load('part/a')\n")
    (root / "tests" / "part" / "test_a.py").write_text(
        f"def test_it(lecture):\n    {test}\n")
    (root / "pytest.ini").write_text("[pytest]\npythonpath = scripts\n")
    (root / "scripts").mkdir()
    scripts = mutants.Path(mutants.__file__).parent
    loader = (scripts / "lecture_loader.py").read_text("utf-8")
    (root / "scripts" / "lecture_loader.py").write_text(loader, "utf-8")
    monkeypatch.setattr(lecture_loader, "LECTURES", lectures.parent)
    monkeypatch.setattr(execution, "ROOT", root)
    text = execution.source("part/a").read_bytes()
    start = text.index(b"x + x")
    change = (mutants.Mutant(1, 1, "sign", "f", "x + x", "x + x + x"),
              start, start + 5, b"(x + x + x)")
    limit = 10 if state == "endless" else 60
    result = mutants.run("part/a", change, limit, root)
    if state == "endless":
        assert result["by"] == "not done after 10 s of processor time"
        state = "noticed"
    assert result["state"] == state
    assert execution.source("part/a").read_bytes() == text


def test_score_leaves_out_what_tells_nothing():
    assert mutants.score(Counter(noticed=9, survived=1, stopped=5,
                                 equivalent=3)) == 0.9
    assert mutants.score(Counter(stopped=2)) is None


def test_equivalent_mutants_are_counted_apart(page, monkeypatch, tmp_path):
    monkeypatch.setattr(mutants, "folder", lambda: tmp_path)
    (tmp_path / "equivalent.toml").write_text(
        '[[a]]\nfunction = "f"\nold = "-x"\nnew = "x"\nreason = "even"\n')
    listed = {"function": "f", "old": "-x", "new": "x", "state": "survived"}
    results = [listed, {**listed, "new": "y"}, {**listed, "state": "noticed"}]
    assert mutants.count(page, results) == {"equivalent": 1, "survived": 1,
                                            "noticed": 1}


def test_kept_scores_are_at_least_ninety_per_cent():
    kept = mutants.scores()
    for doc, record in kept.items():
        total = mutants.count(doc, record["mutants"])
        assert total["broken"] == 0, doc
        assert mutants.score(total) >= 0.9, doc
    table = {row[0]: row for row in proof_tables.scores()[1]}
    assert set(table) == set(kept)
    for path in mutants.folder().glob("*.json"):
        json.loads(path.read_text("utf-8"))
