"""The benchmarks: their machinery, and that the book shows their records.

Nothing here needs a peer, and nothing asserts how long something takes.
"""
import ast
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
from benchmarks import cases, common, tables

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
