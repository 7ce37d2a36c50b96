"""The benchmarks: their machinery, and that the book shows their records.

Nothing here needs a peer, and nothing asserts how long something takes.
"""
import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import execution
import lecture_loader
from benchmarks import __main__ as program
from benchmarks import book, cases, common, tables

ROOT = Path(__file__).resolve().parent.parent
RECORDS = tables.load()

# What must be measured, and against whom at least.
REQUIRED = {
    "opt_savings": {"`quantecon.DiscreteDP`", "Numba, monotone search",
                    "NumPy"},
    "markov_asset": {"NumPy, doubling", "SciPy, BiCGSTAB", "NumPy, dense LU"},
    "aiyagari": {"NumPy", "`quantecon.DiscreteDP`"},
    "sequence_space": {"sequence-jacobian"},
    "hank": {"sequence-jacobian"},
    "arellano": {"NumPy", "Numba"},
    "ifp_egm": {"NumPy", "Numba"},
    "wealth": {"NumPy", "Numba, in parallel"},
    "kesten": {"NumPy, 32 bits", "Numba, 64 bits, in parallel"},
    "mle": {"statsmodels GLM", "NumPy, formulas"},
    "networks": {"Keras, `fit`"},
    "deep_asset_pricing": {"deep-macrofin"},
}


def case(ours=1.0, theirs=1.0, **changes):
    "A case of numbers, with what is needed and no more."
    calls = {"ours": 0, "theirs": 0}

    def side(name, value):
        def f():
            calls[name] += 1
            return value
        return f

    found = common.Case(**{
        "name": "one", "work": "nothing", "peer": "nobody",
        "ours": side("ours", ours), "theirs": side("theirs", theirs),
        "compare": common.gap, "measure": "the difference",
        "tolerance": 1e-6} | changes)
    return found, calls


# -- a case -----------------------------------------------------------------

def test_a_case_that_agrees_is_timed_in_pairs():
    found, calls = case(pairs=9)
    row = common.measure(found)
    assert row["pairs"] >= 9
    # the first call, the timed ones, and one more for the memory
    assert calls == {"ours": row["pairs"] + 2, "theirs": row["pairs"] + 2}
    assert row["difference"] == 0 and row["ratio"] == pytest.approx(
        row["peer"] / row["ours"])
    assert min(row["compile"]) >= 0 and min(row["memory_mib"]) >= 0


@pytest.mark.parametrize("answer", [1 + 2e-6, 1 - 2e-6, np.nan, np.inf])
def test_a_changed_answer_stops_the_run_before_anything_is_timed(answer):
    found, calls = case(theirs=answer)
    with pytest.raises(common.Disagreement, match="one: the difference"):
        common.measure(found)
    assert calls == {"ours": 1, "theirs": 1}


def test_answers_of_other_shapes_do_not_agree():
    found, _ = case(ours=np.ones(3), theirs=np.ones((3, 1)))
    with pytest.raises(ValueError, match="one shape"):
        common.measure(found)


def test_gaps():
    assert common.gap([1, 2], [1, 2.5]) == 0.5
    assert common.relative_gap([1, -4], [1, -3]) == 0.25


@pytest.mark.parametrize("change, name", [
    ({"name": ""}, "name"), ({"work": ""}, "work"), ({"peer": ""}, "peer"),
    ({"measure": ""}, "measure"), ({"tolerance": 0.0}, "tolerance"),
    ({"tolerance": np.nan}, "tolerance"), ({"tolerance": 1.0}, "tolerance"),
    ({"size": 5}, "unit"), ({"unit": "states"}, "size")])
def test_what_a_case_must_tell(change, name):
    with pytest.raises(ValueError, match=name):
        case(**change)


def test_a_first_call_compiles():
    import jax
    import numba
    traced = []

    @jax.jit
    def f(x):
        traced.append(x)
        return x + 1

    namespace = {"g": numba.njit(lambda x: x + 1)}
    f(1.0), namespace["g"](1.0)
    assert len(namespace["g"].signatures) == 1
    common.forget_compiled(namespace)
    assert namespace["g"].signatures == []
    assert f(1.0) == namespace["g"](1.0) == 2 and len(traced) == 2
    assert len(namespace["g"].signatures) == 1


def test_memory_at_the_peak():
    def f():
        np.ones(40 * 2**17).sum()           # 40 MiB, freed again
    assert 35 < common.extra_memory(f) < 60
    assert common.extra_memory(lambda: None) < 10


def test_a_subject_has_no_row_twice_and_says_where_it_ran():
    subject = SimpleNamespace(TITLE="none", LECTURE="a/b",
                              PACKAGES=("pytest", "no-such-package"))
    one, _ = case()
    found = common.record(subject, [one])
    assert found["versions"]["pytest"] == pytest.__version__
    assert "no-such-package" not in found["versions"]
    assert re.search(r", \d+ cores$", found["machine"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    with pytest.raises(ValueError, match="unique"):
        common.record(subject, [one, one])


# -- the subjects -----------------------------------------------------------

@pytest.mark.parametrize("name", cases.names())
def test_subject_loads_without_its_peers(name):
    subject = cases.load(name)
    assert subject.TITLE and subject.__doc__
    assert lecture_loader.path_of(subject.LECTURE).exists()
    assert callable(subject.cases)
    if subject.GROUP != "book":
        text = (ROOT / "benchmarks" / f"requirements-{subject.GROUP}.txt"
                ).read_text("utf-8")
        pins = [line for line in text.splitlines()
                if line and not line.startswith("#")]
        assert pins
        for line in pins:
            assert re.match(r"[\w-]+==\S+ +# \w", line), line
        program.wanted_python(subject.GROUP)


def test_subject_uses_what_its_lecture_defines():
    "Each `lecture.name` in a case is a name that a code cell assigns."
    for name in cases.names():
        source = Path(cases.load(name).__file__).read_text("utf-8")
        used = {node.attr for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "lecture"}
        path = lecture_loader.path_of(cases.load(name).LECTURE)
        code = "\n".join(cell.source for _, _, cell
                         in lecture_loader.code_cells(path))
        bound = set()
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                bound.add(node.name)
            elif isinstance(node, ast.Name):
                bound.add(node.id)
            elif isinstance(node, ast.alias):
                bound.add((node.asname or node.name).split(".")[0])
        assert used and used <= bound, (name, used - bound)


def test_an_unknown_subject_is_refused():
    with pytest.raises(ValueError, match="no_such_subject"):
        cases.load("no_such_subject")


def test_a_group_without_python_is_told_and_not_fatal(monkeypatch, tmp_path):
    monkeypatch.setattr(program, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(program, "uv_path", lambda: None)
    monkeypatch.setattr(program, "wanted_python", lambda group: "2.0")
    with pytest.raises(program.Absent, match=r"Python 2\.0"):
        program.make_environment("econ-ark")
    assert program.make_environment("book") == Path(sys.executable)


def test_help_names_every_subject():
    done = subprocess.run([sys.executable, "-m", "benchmarks", "--help"],
                          cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(cases.names()) <= set(re.findall(r"\w+", done.stdout))


# -- the records ------------------------------------------------------------

@pytest.mark.parametrize("name", REQUIRED)
def test_required_rows_are_recorded(name):
    there = {row["peer_name"] for row in RECORDS[name]["cases"]}
    assert REQUIRED[name] <= there


@pytest.mark.parametrize("name, peer", [
    ("opt_savings", "`quantecon.DiscreteDP`"), ("opt_savings", "NumPy"),
    ("markov_asset", "NumPy, doubling"), ("arellano", "Numba"),
    ("ifp_egm", "Numba"), ("wealth", "NumPy"), ("mle", "statsmodels GLM")])
def test_three_sizes(name, peer):
    sizes = {row["size"] for row in RECORDS[name]["cases"]
             if row["peer_name"] == peer}
    assert len(sizes - {None}) >= 3
    if name == "markov_asset":
        assert {14**3, 25**3, 50**3} <= sizes


@pytest.mark.parametrize("name", RECORDS)
def test_record_is_whole(name):
    record = RECORDS[name]
    subject = cases.load(name)
    assert record["lecture"] == subject.LECTURE
    assert record["title"] == subject.TITLE
    assert {"jax", "numpy"} | set(getattr(subject, "PACKAGES", ())) <= set(
        record["versions"])
    assert record["machine"] and record["python"]
    names = [(c["name"], c["peer_name"]) for c in record["cases"]]
    assert len(names) == len(set(names)) > 0
    for c in record["cases"]:
        assert 0 <= c["difference"] <= c["tolerance"] < 1
        assert min(c["ours"], c["peer"]) > 0
        assert c["ratio"] == pytest.approx(c["peer"] / c["ours"])
        assert len(c["compile"]) == len(c["memory_mib"]) == 2
        assert c["pairs"] >= 1 and c["work"] and c["measure"]


def test_a_row_that_is_lost_has_its_reason():
    for name, record in RECORDS.items():
        for c in record["cases"]:
            assert c["ratio"] >= 0.95 or c["why"], (name, c["name"])


# -- what the book shows ----------------------------------------------------

@pytest.mark.parametrize("path", tables.files(RECORDS),
                         ids=lambda path: path.name)
def test_tables_are_those_of_the_records(path):
    assert path.read_text("utf-8") == tables.files(RECORDS)[path]


def test_every_table_is_on_a_page():
    text = "\n".join(execution.source(doc).read_text("utf-8")
                     for doc in execution.documents())
    shown = re.findall(r"\{include\} (?:\.\./|/)_peers/(\w+\.md)", text)
    there = {p.name for p in tables.PEERS.glob("*.md")}
    assert there == set(shown)


def test_numbers_in_the_table_are_the_record():
    "Read back from the text, without the code that wrote it."
    text = (tables.PEERS / "benchmarks.md").read_text("utf-8")
    unit = {"s": 1, "ms": 1e-3, "µs": 1e-6}
    found = re.findall(
        r"^\| (.+) \| (.+) \| ([\d,.]+) (\w+) \| ([\d,.]+) (\w+) "
        r"\| ([\d,.]+) \|$", text, re.M)
    recorded = [c for record in RECORDS.values() for c in record["cases"]]
    assert len(found) == len(recorded)
    for row, c in zip(found, recorded, strict=True):
        assert row[:2] == (c["name"], c["peer_name"])
        for value, name, key in ((row[2], row[3], "ours"),
                                 (row[4], row[5], "peer")):
            assert float(value.replace(",", "")) * unit[name] \
                == pytest.approx(c[key], rel=6e-3)
        assert float(row[6].replace(",", "")) == pytest.approx(
            c["ratio"], rel=0.06)


@pytest.mark.parametrize("x, text", [
    (1.234, "1.23 s"), (12.34, "12.3 s"), (0.9999, "1.00 s"),
    (0.0123, "12.3 ms"), (1234.0, "1,230 s"), (4.56e-5, "45.6 µs")])
def test_times_as_text(x, text):
    assert tables.seconds(x) == text


def test_page_must_have_the_place_for_its_data():
    with pytest.raises(ValueError, match="records"):
        tables.with_cell("# a page without it", RECORDS)


def test_verdict_sorts_ahead_level_and_behind():
    def record(title, *found):
        return {"title": title, "cases": [
            {"peer_name": "x", "ratio": r} for r in found]}

    text = tables.verdict({k: r for k, r in enumerate(
        (record("A", 0.5), record("B", 0.8, 3.0), record("C", 2.0, 4.0)))})
    order = [text.index(word) for word in (
        "Of 5 rows",
        "Ahead in every", "- C, against x: 2.0 to 4.0", "not in others",
        "- B, against x: 0.80 to 3.0", "Behind", "- A, against x: 0.50")]
    assert order == sorted(order)
    assert "faster in 3" in text


def test_headline_numbers_of_the_lecture_are_counted():
    def entry(value, tolerance):
        return SimpleNamespace(value=value, tolerance=tolerance)

    assert tables.checked([]) == tables.checked(None) == ""
    text = tables.checked([entry(-2.0, 1e-3), entry(0.0, 1.0),
                           entry(10.0, 1e-6)])
    assert "checks 3 headline numbers, to a relative tolerance of " \
        "1e-07 to 5e-04." in text
    assert "checks 1 headline number." in tables.checked([entry(0.0, 1.0)])


# -- the time of the whole book ---------------------------------------------

def page(seconds, cpu=2.0, compiling=1.0, peak=2**30, cells=()):
    "What the cache records of a page."
    return {"execution_seconds": seconds, "cpu_seconds": cpu,
            "compile_seconds": compiling, "peak_bytes": peak,
            "cell_seconds": list(cells)}


def a_run(jobs, pages, **changes):
    "A record of an execution of these pages."
    return {"jobs": jobs, "seconds": 10.0, "date": "2026-01-01",
            "machine": "abacus, 2 cores", "load_before": 0.0,
            "python": "3", "jax": "1", "device": "cpu", "failed": [],
            **book.summary(pages), **changes}


@pytest.fixture
def first_lines(monkeypatch):
    monkeypatch.setattr(book, "first_line", lambda doc, line: f"x | {line}")


def test_book_without_record(monkeypatch, tmp_path):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert "No measurement" in tables.book()


def test_book_is_rendered_from_its_record(first_lines):
    both = {"a/long": page(8.0, 9.0, 2.0, 3 * 2**29, [(3, 5.25), (9, 0.5)]),
            "b/short": page(2.0, cells=[(4, 1.0)])}
    runs = {"sequential": a_run(1, both), "parallel": a_run(
        2, {doc: page(3.0) for doc in both}, seconds=6.4)}
    text = tables.book({"runs": runs})
    lines = text.splitlines()
    assert [line for line in lines if " at a time," in line
            or "one after another, on" in line] == [
        "| 2 at a time, each on cores of its own | 6 s | 4 s | 2 s | 33% |",
        "| one after another, on all cores | 10 s | 11 s | 3 s | 30% |"]
    # pages and cells of the execution one after another, longest first
    start = lines.index("| page | wall | processor | compiling | share "
                        "| peak memory |")
    assert lines[start + 2:start + 4] == [
        "| {doc}`long </a/long>` | 8.0 s | 9.0 s | 2.0 s | 25% | 1,536 MiB |",
        "| {doc}`short </b/short>` | 2.0 s | 2.0 s | 1.0 s | 50% | 1,024 MiB |"]
    start = lines.index("| cell begins with | page | wall |")
    assert lines[start + 2:start + 5] == [
        r"| `x \| 3` | {doc}`long </a/long>` | 5.2 s |",
        r"| `x \| 4` | {doc}`short </b/short>` | 1.0 s |",
        r"| `x \| 9` | {doc}`long </a/long>` | 0.5 s |"]
    assert "failed" not in text and "3 slowest cells" in text
    assert lines[-1] == "*abacus, 2 cores, cpu, Python 3, jax 1; 2026-01-01.*"
    # without it those of the other, and who is missing is told
    runs = {"parallel": a_run(2, {"a/long": page(3.0)}, failed=["b/short"])}
    text = tables.book({"runs": runs})
    assert "2 pages at a time" in text and "one after another" not in text
    assert "failed: {doc}`short </b/short>`." in text


def test_summary_keeps_the_slowest_cells(first_lines):
    cells = [(k, float(k)) for k in range(1, 30)]
    found = book.summary({"a/b": page(9.0, cells=cells)})
    assert [c["seconds"] for c in found["slowest_cells"]] == [
        float(k) for k in range(29, 29 - book.SLOWEST, -1)]
    assert found["slowest_cells"][0] == {
        "doc": "a/b", "starts": "x | 29", "seconds": 29.0}
    assert found["pages"]["a/b"]["peak_mib"] == 1024


def test_first_line_of_a_cell(monkeypatch, tmp_path):
    path = tmp_path / "p.md"
    path.write_text(
        "```{code-cell}\n:tags: [hide-input]\n\n# a remark\nimport jax\n"
        "y = 1\n```\n```{code-cell}\n---\ntags: [a]\nimage:\n  alt: b\n"
        "---\nfig, ax = f()\n```\n```{code-cell}\nimport jax\n```\n")
    monkeypatch.setattr(execution, "source", lambda doc: path)
    assert [book.first_line("p", k) for k in (1, 2, 8, 9, 16)] == [
        "y = 1", "y = 1", "fig, ax = f()", "fig, ax = f()", "import jax"]


def test_runs_are_merged_and_sure_to_be_written(monkeypatch, tmp_path,
                                                first_lines):
    path = tmp_path / "results" / "book.json"
    done, written = [], []
    pages = {"a/b": page(1.0), "c/d": None}

    def execute(docs, jobs):
        done.append((docs, jobs, execution.CACHE))
        return [execution.Failure("c/d", "it broke")]

    kept = execution.CACHE
    monkeypatch.setattr(execution, "execute", execute)
    monkeypatch.setattr(execution, "records", lambda docs: pages)
    monkeypatch.setattr(execution, "notebooks", lambda: list(pages))
    monkeypatch.setattr(execution, "cores", lambda: 7)
    monkeypatch.setattr(execution, "environment", lambda: {
        "python": "3", "jax": "1", "device": "cpu"})
    monkeypatch.setattr(tables, "write_all", lambda: written.append(1))
    monkeypatch.setattr(book.merge, "__defaults__", (path,))
    # some pages: nothing is written
    assert book.main(["--pages", "a/b"]) == 1
    assert not path.exists() and not written
    assert [(docs, jobs) for docs, jobs, _ in done] == [
        (["a/b"], 7), (["a/b"], 1)]
    assert kept == execution.CACHE and kept not in [d[2] for d in done]
    with pytest.raises(SystemExit):
        book.main(["--pages", "no/such"])
    # one run, then the other beside it
    assert book.main(["--sequential-only"]) == 1
    assert list(json.loads(path.read_text())["runs"]) == ["sequential"]
    assert book.main(["--parallel-only"]) == 1 and len(written) == 2
    runs = json.loads(path.read_text())["runs"]
    assert {name: run["jobs"] for name, run in runs.items()} == {
        "sequential": 1, "parallel": 7}
    assert runs["parallel"]["failed"] == ["c/d"]
    assert list(runs["parallel"]["pages"]) == ["a/b"]


def test_a_shim_that_runs_nothing_is_passed_over(monkeypatch, tmp_path):
    def python(path, status):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\nexit {status}\n")
        path.chmod(0o755)
        return str(path)

    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    shim = python(tmp_path / "python2.0", 127)
    assert program.python_path(None) == sys.executable
    assert program.python_path("2.0") is None
    there = python(tmp_path / "pyenv/versions/2.0.1/bin/python2.0", 0)
    assert program.python_path("2.0") == there
    Path(there).unlink()
    assert program.python_path("2.0") is None
    python(Path(shim), 0)
    assert program.python_path("2.0") == shim
