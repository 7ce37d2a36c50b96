"""The results ledger: complete, checkable, and false when a number is."""
import ast
import json
import math
import re

import pytest

import execution
import execution_statistics
import lecture_loader
import ledger
import notebook_builder
import proof_tables

LEDGER = ledger.read()
DOCS = [d for d in execution.notebooks() if d not in ledger.WITHOUT]
ENTRY = {"name": "x", "expression": "x", "value": 2.0, "rtol": 0.1,
         "known": "closed form", "how": "by hand"}


def entry(**fields):
    return ledger.entry("part/page", {**ENTRY, **fields})


@pytest.mark.parametrize("doc", DOCS)
def test_every_lecture_declares_its_numbers(doc):
    entries = LEDGER.get(doc, [])
    assert 3 <= len(entries) <= 10
    assert len({e.name for e in entries}) == len(entries)
    assert all(e.how and e.name for e in entries)


def test_no_entry_is_left_over():
    assert set(LEDGER) <= set(DOCS)


def defined(cells):
    "Names that top-level statements of code cells bind."
    names = set()
    for source in cells:
        try:
            tree = ast.parse(source)
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names |= {(a.asname or a.name).split(".")[0]
                          for a in node.names}
    return names


@pytest.mark.parametrize("doc", DOCS)
def test_self_check_needs_no_solution(doc):
    "Its names exist in a notebook whose solutions are hidden."
    text = execution.source(doc).read_text(encoding="utf-8")
    solutions = "".join(re.split(
        r"^`+\{solution-(?:start|end)\}.*\n", text, flags=re.M)[1::2])
    cells = [c.source for _, _, c in
             lecture_loader.code_cells(execution.source(doc))]
    known = defined(c for c in cells if c not in solutions)
    for e in LEDGER.get(doc, [])[:3]:
        tree = ast.parse(e.expression, mode="eval")
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        assert used - known - set(dir(__builtins__)) - {
            "abs", "float", "len", "max"} == set(), e.name


# -- an entry and its check -------------------------------------------------

@pytest.mark.parametrize("fields, complaint", [
    ({"known": "hearsay"}, "known must be one of"),
    ({"atol": 0.1}, "one of atol and rtol"), ({"rtol": 0.0}, "positive"),
    ({"value": math.nan}, "finite"), ({"value": 0.0}, "positive tolerance"),
    ({"remark": "no such field"}, "must have the fields")])
def test_bad_entries_are_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        entry(**fields)


def test_number_within_its_tolerance_passes():
    assert entry().tolerance == pytest.approx(0.2)
    ledger.check(entry(), {"x": 2.19})
    ledger.check(entry(expression="max(x, 1)"), {"x": 1.9})


@pytest.mark.parametrize("value", [2.21, 1.79, math.nan, math.inf])
def test_broken_number_fails(value):
    with pytest.raises(AssertionError, match="the ledger says 2.0, rtol 0.1"):
        ledger.check(entry(), {"x": value})


def test_expression_must_give_one_number():
    with pytest.raises(ValueError, match=r"one number, got the shape \(2,\)"):
        ledger.evaluate(entry(), {"x": [1.0, 2.0]})


def test_moves_are_told():
    before = [entry(), entry(name="lost"), entry(name="same")]
    result = {"numbers": {"x": 2.5, "same": 2.1, "fresh": 1.0,
                          "ill": "NameError: y"}}
    assert ledger.moves("part/page", result, before) == [
        "x: moved from 2 to 2.5, 2.5 tolerances", "fresh: new, 1",
        "ill: NameError: y", "lost: gone"]
    assert ledger.moves("part/page", {"numbers": {}, "stopped": "why"},
                        before) == ["the page stopped: why"]


def test_precision_is_overridden(tmp_path, monkeypatch):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.md").write_text(
        lecture_loader.FRONT_MATTER + "# A\n\n```{code-cell}\nimport jax\n"
        "jax.config.update('jax_enable_x64', True)\n"
        "kind = str(jax.numpy.zeros(()).dtype)\n```\n")
    monkeypatch.setattr(lecture_loader, "LECTURES", tmp_path)
    for x64, kind in ((None, "float64"), (False, "float32"),
                      (True, "float64")):
        with lecture_loader.jax_settings_restored():
            assert lecture_loader.load("p/a", x64=x64).kind == kind
            # the override ends with the lecture
            import jax
            jax.config.update("jax_enable_x64", True)
            assert jax.numpy.zeros(()).dtype == "float64"


def test_page_that_does_not_end_is_told():
    result = ledger.child(DOCS[0], None, None, limit=0.01)
    assert result == {"numbers": {}, "stopped": "not done after 0.01 s"}
    assert ledger.worst(DOCS[0], result) == math.inf


# -- records and tables -----------------------------------------------------

def test_records_are_kept_by_environment(tmp_path):
    path = tmp_path / "r.json"
    here = {"jax": "1", "device": "cpu"}

    def page(value, environment=here):
        return {"environment": environment, "numbers": {"x": value}}
    ledger.keep(path, {"a/a": page(1.0), "a/b": page(2.0)}, "2026-01-01")
    ledger.keep(path, {"a/b": page(3.0)}, "2026-01-02")
    kept = json.loads(path.read_text())
    assert kept["pages"] == {"a/a": {"numbers": {"x": 1.0}},
                             "a/b": {"numbers": {"x": 3.0}}}
    ledger.keep(path, {"a/b": page(4.0, {"jax": "2"})}, "2026-01-03")
    assert list(json.loads(path.read_text())["pages"]) == ["a/b"]


def test_largest_deviation_as_a_cell_shows_it():
    entries = [entry(), entry(name="y")]

    def shown(x, y):
        return proof_tables.largest(entries, {"numbers": {"x": x, "y": y}})
    assert shown(2.1, 2.0) == "0.50" and shown(2.0, 2.5) == "2.50"
    assert shown(2.0, 200.0) == "1e+03" and shown(math.nan, 2.0) == "NaN"
    assert shown("KeyError: 1", 2.0) == "fails"
    assert proof_tables.largest(entries, None) == ""
    assert proof_tables.largest(entries, {"stopped": "why",
                                          "numbers": {}}) == "stops"


def test_tables_are_those_of_the_files():
    head, body = proof_tables.entries()
    assert int(body[-1][-1]) == sum(map(len, LEDGER.values()))
    assert [row[0] for row in body[:-1]] == [d for d in DOCS if d in LEDGER]
    head, body = proof_tables.deviations()
    kept = proof_tables.records()
    named = proof_tables.environments()
    assert head[1:] == [h for h, _ in named] and len(set(head)) == len(head)
    for (_, text), record in zip(named, kept, strict=True):
        assert f"JAX {record['environment']['jax']}," in text
    for row in body:
        for cell, record in zip(row[1:], kept, strict=True):
            assert cell == proof_tables.largest(
                LEDGER[row[0]], record["pages"].get(row[0]))


def test_records_name_numbers_of_the_ledger():
    for record in proof_tables.records():
        for doc, page in record["pages"].items():
            names = [e.name for e in LEDGER[doc]]
            assert "stopped" in page or list(page["numbers"]) == names, doc


def test_status_page_counts_headline_numbers(tmp_path, monkeypatch):
    def write(name, date, precision, **pages):
        (tmp_path / "records" / f"{name}.json").write_text(json.dumps({
            "date": date, "environment": {"precision": precision},
            "pages": {f"p/{k}": v for k, v in pages.items()}}))

    (tmp_path / "records").mkdir()
    done, stopped = {"numbers": {}}, {"numbers": {}, "stopped": "why"}
    write("a32", "2026-01-02", "float32", a=done, b=stopped, c=done)
    write("own", "2026-01-02", "as the lectures set it", a=done)
    write("z64", "2026-01-01", "float64", a=done, b=done)
    monkeypatch.setattr(ledger, "folder", lambda: tmp_path)
    assert execution_statistics.recomputed() == {
        "p/a": "own", "p/b": "z64", "p/c": "a32"}
    monkeypatch.setattr(ledger, "read", lambda: {
        "p/a": [entry()] * 3, "p/d": [entry()], "p/e": []})
    assert execution_statistics.headline_numbers() == {
        "p/a": "3 (own)", "p/d": "1"}


# -- the notebook's last cell -----------------------------------------------

def run_self_check(capsys, **changes):
    "What the cell prints in a session in which x is 2."
    entries = [entry(name=f"the number {i}", **changes) for i in range(4)]
    cell = notebook_builder.self_check_cell(entries)
    exec(cell.source, {"x": 2.0})
    return cell.source, capsys.readouterr().out


def test_self_check_says_yes(capsys):
    source, out = run_self_check(capsys)
    assert out.splitlines()[-1] == notebook_builder.YES
    assert out.count("ok  ") == 3 and "JAX " in out and "float32" in out
    assert all(len(line) <= 80 for line in source.splitlines())


@pytest.mark.parametrize("changes", [
    {"value": 3.0}, {"expression": "float('nan')"}])
def test_self_check_says_no_and_what_to_do(capsys, changes):
    _, out = run_self_check(capsys, **changes)
    assert out.count("DIFFERS") == 3 and notebook_builder.NO in out
    assert '%pip install "jax==' in out.splitlines()[-1]
    assert notebook_builder.YES not in out
