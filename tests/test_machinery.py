"""The loader and the parallel, cached execution that the book rests on."""
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import pytest

import execution
import lecture_loader

SCRIPTS = Path(execution.__file__).parent
ENVIRONMENT = {"python": "3", "requirements": "0", "jax": "1",
               "backend": "cpu", "device": "cpu", "cores": 2}


def page(*cells):
    "A notebook in MyST Markdown with these code cells."
    blocks = [c if c.startswith("```") else f"```{{code-cell}}\n{c}\n```"
              for c in map(textwrap.dedent, cells)]
    head = lecture_loader.FRONT_MATTER + "# Title"
    return "\n\n".join([head, *blocks]) + "\n"


@pytest.fixture
def book(tmp_path, monkeypatch):
    "An empty book in a folder of its own; write lectures below it."
    lectures = tmp_path / "lectures" / "part"
    lectures.mkdir(parents=True)
    monkeypatch.setattr(execution, "ROOT", tmp_path)
    monkeypatch.setattr(execution, "CACHE", tmp_path / "_build/.jupyter_cache")
    monkeypatch.setattr(lecture_loader, "LECTURES", lectures.parent)
    monkeypatch.setattr(execution, "environment", lambda: ENVIRONMENT)
    (tmp_path / "_config.yml").write_text(
        "execute: {timeout: 60}\n"
        "sphinx: {config: {execution_budget: {cpu_seconds: 50, gib: 2}}}\n")
    return lectures


def record(doc):
    return execution.records([doc])[doc]


# -- the loader -------------------------------------------------------------

@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_magics_shell_lines_and_displays(book):
    (book / "a.md").write_text(page(
        "!echo from the shell", "%timeit -n1 -r1 1 + 1", "x = 2\nx",
        "```{code-cell}\n:tags: [raises-exception]\n1 / 0\n```",
        "```{code-cell}\n:tags: [skip-execution]\nx = 3\n```"))
    module = lecture_loader.load("part/a")
    assert module.x == 2
    assert "from the shell" in module.__stdout__
    assert "per loop" in module.__stdout__


def test_failing_cell_is_named_with_its_line(book):
    (book / "a.md").write_text(page("x = 1", "y = x + undefined_name"))
    line = (book / "a.md").read_text().splitlines().index(
        "y = x + undefined_name") + 1
    with pytest.raises(lecture_loader.LectureError) as error:
        lecture_loader.load("a")
    assert f"a.md:{line}: cell" in str(error.value)
    assert "NameError" in str(error.value)


def test_cell_that_should_raise_and_does_not(book):
    (book / "a.md").write_text(page(
        "```{code-cell}\n:tags: [raises-exception]\nx = 1\n```"))
    with pytest.raises(lecture_loader.LectureError, match="raised nothing"):
        lecture_loader.load("a")


def test_settings_of_jax_do_not_leak(book):
    (book / "a.md").write_text(page(
        "import jax", "jax.config.update('jax_enable_x64', True)",
        "jax.config.update('jax_debug_nans', True)",
        "dtype = jax.numpy.zeros(()).dtype"))
    assert jnp.zeros(()).dtype == "float32"
    with lecture_loader.jax_settings_restored():
        assert lecture_loader.load("a").dtype == "float64"
        assert jnp.zeros(()).dtype == "float64"
    assert jnp.zeros(()).dtype == "float32"
    assert not jax.config.jax_debug_nans


def test_figures_are_closed(book):
    (book / "a.md").write_text(page(
        "import matplotlib.pyplot as plt\nplt.subplots()\nplt.show()"))
    lecture_loader.load("a")
    assert plt.get_fignums() == []


def test_unknown_and_ambiguous_names(book):
    (book / "a.md").write_text(page("x = 1"))
    (book.parent / "a.md").write_text(page("x = 1"))
    with pytest.raises(ValueError, match="got 'a', which names 2"):
        lecture_loader.load("a")
    with pytest.raises(ValueError, match="got 'b', which names 0"):
        lecture_loader.load("b")


# -- execution --------------------------------------------------------------

def test_parallel_run_then_cache_then_what_changed(book, capsys):
    for name in "ab":
        (book / f"{name}.md").write_text(page(
            "import time", "start = time.time()", "time.sleep(2)",
            f"print({name!r}, start, time.time())"))
    docs = ["part/a", "part/b"]
    assert execution.execute(docs, jobs=2) == []
    spans = []
    with execution.open_cache() as cache:
        for doc in docs:
            nb = lecture_loader.read(execution.source(doc))
            _, nb = cache.merge_match_into_notebook(nb)
            _, start, end = nb.cells[-1].outputs[0].text.split()
            spans.append((float(start), float(end)))
    (a0, a1), (b0, b1) = spans
    assert max(a0, b0) < min(a1, b1), "the two did not overlap in time"
    known = record("part/a")
    assert known["execution_seconds"] > 2 and known["peak_bytes"] > 2**24
    text = (book / "a.md").read_text().splitlines()
    for line, seconds in known["cell_seconds"]:
        assert (seconds > 2) == (text[line - 1] == "time.sleep(2)")

    capsys.readouterr()
    execution.execute(docs, jobs=2)
    assert "2 of 2 lectures from the cache" in capsys.readouterr().out

    source = (book / "a.md").read_text()
    (book / "a.md").write_text(source + "\nA sentence more.\n")
    execution.execute(docs, jobs=2)
    assert "2 of 2 lectures from the cache" in capsys.readouterr().out

    (book / "a.md").write_text(source.replace("sleep(2)", "sleep(0)"))
    execution.execute(docs, jobs=2)
    out = capsys.readouterr().out
    assert "1 of 2 lectures from the cache" in out
    assert "ok     part/a" in out and "part/b" not in out


def test_each_of_several_pages_has_cores_of_its_own(book):
    code = "import os\nprint(sorted(os.sched_getaffinity(0)))"
    for name in "abc":
        (book / f"{name}.md").write_text(page(code, f"{name} = 1"))
    docs = ["part/a", "part/b", "part/c"]
    (book.parents[1] / "_config.yml").write_text(
        "execute: {timeout: 60}\n"
        "sphinx: {config: {execution_budget: {cpu_seconds: 50, gib: 2},\n"
        "                  execution_alone: [part/b]}}\n")
    everything = sorted(os.sched_getaffinity(0))
    assert execution.execute(docs, jobs=2) == []
    seen = {}
    with execution.open_cache() as cache:
        for doc in docs:
            _, nb = cache.merge_match_into_notebook(
                lecture_loader.read(execution.source(doc)))
            seen[doc] = json.loads(nb.cells[1].outputs[0].text)
    assert seen["part/b"] == everything
    assert [seen["part/a"], seen["part/c"]] == execution.shares(2)


def test_shares_are_disjoint_and_complete(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5, 7})
    assert execution.shares(2) == [[0, 2, 7], [1, 5]]
    assert execution.shares(5) == [[0], [1], [2], [5], [7]]
    assert execution.shares(6)[5] == [0]        # more pages than cores
    assert execution.shares(1) == [None]        # one page has all


def test_progress_bar_leaves_one_line(book):
    (book / "a.md").write_text(page(
        "import sys, time\nfrom tqdm import tqdm",
        """
        for _ in tqdm(range(9), "training", file=sys.stdout, leave=False):
            time.sleep(0.2)
        print("done")
        """))
    assert execution.execute(["part/a"]) == []
    with execution.open_cache() as cache:
        _, nb = cache.merge_match_into_notebook(
            lecture_loader.read(execution.source("part/a")))
    assert [o.text for o in nb.cells[-1].outputs] == ["done\n"]


def test_another_environment_runs_anew(book, capsys, monkeypatch):
    (book / "a.md").write_text(page("x = 1"))
    execution.execute(["part/a"])
    monkeypatch.setattr(execution, "environment",
                        lambda: {**ENVIRONMENT, "jax": "2"})
    capsys.readouterr()
    execution.execute(["part/a"])
    assert "0 of 1 lectures from the cache" in capsys.readouterr().out
    assert record("part/a")["environment"]["jax"] == "2"


def test_failed_lecture_shows_cell_and_traceback(book, capsys):
    (book / "good.md").write_text(page("x = 1"))
    (book / "bad.md").write_text(page("x = 1", "def f(y):\n    return y / 0",
                                      "f(x)"))
    failures = execution.execute(["part/good", "part/bad"], jobs=2)
    assert [f.doc for f in failures] == ["part/bad"]
    err = capsys.readouterr().err
    for part in ("bad.md", "f(x)", "return y / 0", "ZeroDivisionError"):
        assert part in err
    assert "\x1b" not in err
    assert record("part/good") is not None
    assert record("part/bad") is None


def test_half_written_record_is_made_anew(book):
    (book / "a.md").write_text(page("x = 1"))
    execution.execute(["part/a"])
    for written in execution.CACHE.glob("executed/*/base.ipynb"):
        written.write_text(written.read_text()[:40])
    assert record("part/a") is None
    assert execution.execute(["part/a"]) == []
    assert record("part/a") is not None


def test_killed_run_resumes(book, tmp_path, capsys):
    (book / "quick.md").write_text(page("x = 1"))
    (book / "slow.md").write_text(page("import time", "time.sleep(60)"))
    docs = ["part/quick", "part/slow"]
    program = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(SCRIPTS)!r})
        from pathlib import Path
        import execution, lecture_loader
        execution.ROOT = Path({str(tmp_path)!r})
        execution.CACHE = execution.ROOT / "_build/.jupyter_cache"
        lecture_loader.LECTURES = execution.ROOT / "lectures"
        execution.environment = lambda: {ENVIRONMENT!r}
        execution.execute({docs!r}, jobs=2)
        """)
    with subprocess.Popen([sys.executable, "-c", program],
                          stdout=subprocess.DEVNULL) as run:
        deadline = time.time() + 40
        while time.time() < deadline and record(docs[0]) is None:
            time.sleep(0.2)
        os.kill(run.pid, signal.SIGKILL)
    (book / "slow.md").write_text(page("import time", "time.sleep(0)"))
    assert execution.execute(docs, jobs=2) == []
    assert "1 of 2 lectures from the cache" in capsys.readouterr().out


def test_budget_of_time_and_memory(book, tmp_path):
    (book / "a.md").write_text(page("x = bytearray(200 * 2**20)"))
    execution.execute(["part/a"])
    assert execution.over_budget(["part/a"]) == []
    for budget, word in (("cpu_seconds: 0.1, gib: 2", "took"),
                         ("cpu_seconds: 50, gib: 0.1", "memory")):
        (tmp_path / "_config.yml").write_text(
            f"sphinx: {{config: {{execution_budget: {{{budget}}}}}}}")
        complaint, = execution.over_budget(["part/a"])
        assert word in complaint


def test_number_of_jobs_is_checked(book):
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        execution.execute([], jobs=0)
