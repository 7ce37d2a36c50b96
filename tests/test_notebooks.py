"""The exported notebooks, on a made-up book that has every kind of node."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

import execution
import hidden_solutions
import lecture_loader
import notebook_builder

ROOT = execution.ROOT
SCRIPTS = Path(notebook_builder.__file__).parent
SITE = "https://example.org/book/"

CONFIGURATION = """
import sys
from pathlib import Path
sys.path.insert(0, {scripts!r})
import execution, lecture_loader
execution.ROOT = Path({root!r})
lecture_loader.LECTURES = execution.ROOT / "lectures"
project = html_title = "A Book"
html_baseurl = "https://example.org/book"
root_doc = "intro"
numfig = math_numfig = True
extensions = ["myst_nb", "sphinx_exercise", "sphinx_proof",
              "sphinxcontrib.bibtex", "citation_style", "notebook_builder"]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath",
                          "fieldlist"]
bibtex_bibfiles = ["../books.bib"]
bibtex_reference_style = "author_year_round"
bibtex_default_style = "author_year"
nb_execution_mode = "force"
nb_execution_raise_on_error = True
mathjax3_config = dict(tex=dict(macros=dict(
    EE="\\\\mathbb{{E}}", norm=["\\\\lVert #1 \\\\rVert", 1])))
"""

LECTURE = lecture_loader.FRONT_MATTER + r"""(page)=
# A *Page*

```{include} /_includes/note.md
```

(first)=
## First

```{index} single: nothing to see
```

Prose with a_b, 5 * 3, \$5, [brackets], \<tags\>, `code | x`, and $x_1$; see
{ref}`first`, {ref}`this <second>`, {doc}`/other`, {eq}`eq-one`,
{numref}`fig-one`, {numref}`tab-one`, {prf:ref}`thm-one`, {ref}`ex-one`,
{cite:t}`Knuth1997`, {cite:p}`Knuth1997` and [a site](https://python.org).
1\. This is no list.

$$
\EE x = \norm{y} + \alpha
$$ (eq-one)

\begin{align}
a &= b \\
c &= d
\end{align}

```{prf:theorem} Of $x$
:label: thm-one

A fact:

$$
z
> 1 .
$$
```

```{prf:proof}
Trivial.
```

```{list-table} A table
:header-rows: 1
:name: tab-one

* - Name
  - Meaning
* - $|x|$
  - either `a | b`

    or this
```

Term
: Its definition.

:A field: its body

- one

  more of one
- two
  1. a
  2. b

> A quotation.[^note]

    indented code

[^note]: A footnote.

```python
fenced = "code"
```

```{code-cell}
import matplotlib.pyplot as plt
```

```{code-cell}
---
tags: [hide-input]
mystnb:
  figure:
    caption: The line $y = x$
    name: fig-one
  image:
    alt: A line that rises from left to right
---
plt.plot([0, 1])
plt.show()
```

```{code-cell}
:tags: [remove-cell]

unseen = 1
```

```{code-cell}
:tags: [skip-execution]

%timeit 1
from quantecon.markov import tauchen
```

(second)=
## Second

```{exercise-start} On $x$
:label: ex-one
```
What is `x`?
```{exercise-end}
```

```{code-cell}
x = 1
```

```{solution-start} ex-one
:class: dropdown
```
It is the secret.

```{code-cell}
print("secret", x)
```

That was the secret.
```{solution-end}
```

The end.

```{code-cell}
y = 2
```
"""

BOOK = {
    "lectures/intro.md": "# Intro\n\n```{toctree}\n:numbered:\n\npart/page\n"
                         "other\n```\n",
    "lectures/other.md": "# Other\n\n```{bibliography}\n```\n",
    "lectures/part/page.md": LECTURE,
    "lectures/_includes/note.md": "```{admonition} A *note*\n:class: note\n\n"
                                  "Read {ref}`second`.\n\n$$\na\n> b\n$$\n"
                                  "```\n\n```{warning}\nBeware.\n```\n",
    "_toc.yml": "root: intro\nparts:\n- chapters:\n  - file: part/page\n"
                "  - file: other\n",
    "requirements.txt": "quantecon==0.8.0\nmatplotlib==3.10.0\njax==9.9\n",
    "tests/ledger/part.toml": "".join(
        f'[[page]]\nname = "x + {i}"\nexpression = "x + {i}"\nvalue = {1 + i}'
        '\nrtol = 1e-9\nknown = "closed form"\nhow = "by hand"\n'
        for i in range(4)),
    "books.bib": "@book{Knuth1997, author={Donald Knuth}, year={1997},"
                 " title={The Art}, publisher={AW}}\n",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    "The folder of the made-up book."
    root = tmp_path_factory.mktemp("book")
    for name, text in BOOK.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "lectures" / "conf.py").write_text(CONFIGURATION.format(
        scripts=str(SCRIPTS), root=str(root)))
    return root


def build(root, **environment):
    "Build the made-up book; its one notebook and what was said."
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "--keep-going",
         "-b", "ipynb", "-d", root / "trees", "-D",
         "exclude_patterns=_includes", root / "lectures", root / "out"],
        cwd=root, env={**os.environ, **environment}, text=True,
        capture_output=True)
    assert done.returncode == 0, done.stderr
    path = root / "out" / "part" / "page.ipynb"
    assert [p for p in (root / "out").rglob("*.ipynb")] == [path]
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def notebook(root):
    return build(root)


@pytest.fixture(scope="module")
def markdown(notebook):
    return "\n\n".join(c.source for c in notebook.cells
                       if c.cell_type == "markdown")


def test_it_is_valid_and_says_what_it_is(notebook):
    nbformat.validate(notebook)
    assert notebook.nbformat == 4
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    assert notebook.metadata["language_info"]["name"] == "python"
    assert "colab" in notebook.metadata
    first = notebook.cells[0].source
    assert f"[A Book]({SITE})" in first
    assert f"[A *Page*]({SITE}part/page.html)" in first
    assert len({c.id for c in notebook.cells}) == len(notebook.cells)


def test_code_is_the_lectures_after_the_install_cell(root, notebook):
    install, *code, _ = [c for c in notebook.cells if c.cell_type == "code"]
    assert install.source.endswith('\n%pip install -q "quantecon==0.8.0"')
    assert [c.source for c in code] == [c.source for _, _, c in
        lecture_loader.code_cells(root / "lectures" / "part" / "page.md")]
    assert all(c.outputs == [] and c.execution_count is None
               for c in [install, *code])


def test_last_cell_checks_three_numbers_of_the_ledger(notebook, capsys):
    text, cell = notebook.cells[-2:]
    assert text.source.startswith("## Does your session reproduce the book?")
    assert f"]({SITE}other/robustness.html)" in text.source
    assert '"x + 2"' in cell.source and '"x + 3"' not in cell.source
    exec(cell.source, {"x": 1})
    assert notebook_builder.YES in capsys.readouterr().out
    exec(cell.source, {"x": 1.1})
    said = capsys.readouterr().out
    assert notebook_builder.NO in said and '%pip install "jax==9.9"' in said


def test_hidden_input_is_folded(notebook):
    cell, = [c for c in notebook.cells if "plt.show" in c.source]
    assert cell.metadata["jupyter"]["source_hidden"]
    assert cell.metadata["cellView"] == "form"


@pytest.mark.parametrize("text", [
    "# 1. A *Page*",
    "## 1.1. First",
    "> **A *note***\n>\n> Read [Second](https://example.org/book/part/page.html"
    "#second).\n>\n> $$ a > b $$",
    "> **Warning**\n>\n> Beware.",
    r"Prose with a\_b, 5 \* 3, \$5, \[brackets\], \<tags\>, `code | x`, and "
    "$x_1$; see",
    "[First](https://example.org/book/part/page.html#first), "
    "[this](https://example.org/book/part/page.html#second), "
    "[Other](https://example.org/book/other.html), "
    "[(1.1)](https://example.org/book/part/page.html#equation-eq-one), "
    "[Fig. 1.1](https://example.org/book/part/page.html#fig-one), "
    "[Table 1.1](https://example.org/book/part/page.html#tab-one), "
    "[Theorem 1.1](https://example.org/book/part/page.html#thm-one), "
    "[Exercise 1.1](https://example.org/book/part/page.html#ex-one), ",
    "Knuth ([1997](https://example.org/book/other.html#id3)), "
    "([Knuth, 1997](https://example.org/book/other.html#id3)) and "
    "[a site](https://python.org). 1. This is no list.",
    "$$\n" r"\def\norm#1{\lVert #1 \rVert}{\mathbb{E}} x = \norm{y} + \alpha "
    r"\tag{1.1}" "\n$$",
    "$$\n" r"\begin{align} a &= b \\ c &= d \end{align}" "\n$$",
    "> **Theorem 1.1 (Of $x$)**\n>\n> A fact:\n>\n> $$ z > 1 . $$",
    "Proof. Trivial.",
    "**Table 1.1** A table\n\n| Name | Meaning |\n| --- | --- |\n"
    r"| $\vert x\vert$ | either `a \| b`<br>or this |",
    "**Term**\n\nIts definition.",
    "**A field**: its body",
    "- one\n\n  more of one\n\n- two\n\n  1. a\n  2. b",
    "> A quotation.<sup>1</sup>",
    "<sup>1</sup> A footnote.",
    "```\nindented code\n```",
    '```python\nfenced = "code"\n```',
    "**Fig. 1.1** The line $y = x$",
    "### Exercise 1.1 (On $x$)\n\nWhat is `x`?",
    "### Solution to Exercise 1.1 (On $x$)\n\nIt is the secret.",
])
def test_markdown(markdown, text):
    assert text in re.sub(r"#id\d+\)", "#id3)", markdown)


def test_index_entries_and_labels_vanish(markdown):
    assert "nothing to see" not in markdown
    assert "index" not in markdown and ")=" not in markdown


def test_caption_stands_right_below_its_figure(notebook):
    place, = [i for i, c in enumerate(notebook.cells)
              if "plt.show" in c.source]
    assert notebook.cells[place + 1].source.startswith("**Fig. 1.1**")


def test_solutions_are_hidden_on_request(root, notebook):
    hidden = build(root, SOLUTIONS="hidden")
    text = "\n".join(c.source for c in hidden.cells)
    assert "secret" not in text and "Solution" not in text
    assert "What is `x`?" in text and "The end." in text
    kept = [c.source for c in notebook.cells if c.cell_type == "code"
            and "secret" not in c.source]
    assert [c.source for c in hidden.cells if c.cell_type == "code"] == kept


def test_other_value_of_solutions_is_an_error(monkeypatch):
    monkeypatch.setenv("SOLUTIONS", "hide")
    with pytest.raises(ValueError, match="SOLUTIONS.*'hide'"):
        hidden_solutions.hidden()


# -- other places where lectures open ---------------------------------------

@pytest.mark.parametrize("doc", execution.notebooks())
def test_jupyter_opens_the_markdown_files_as_notebooks(doc):
    "With jupytext, as on Binder: the same code cells."
    path = execution.source(doc)
    assert [c.source for c in jupytext.read(path).cells
            if c.cell_type == "code"] == [
        c.source for _, _, c in lecture_loader.code_cells(path)]


def test_codespaces_make_the_environment():
    container = json.loads(
        (ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert container["postCreateCommand"] == "make .venv/.ready"
    settings = container["customizations"]["vscode"]["settings"]
    assert "/.venv/bin/" in settings["python.defaultInterpreterPath"]


def test_binder_gets_one_python_and_opens_notebooks():
    text = (ROOT / "environment.yml").read_text("utf-8")
    assert re.search(r"^  - python=3\.\d+$", text, re.M)
    assert os.access(ROOT / "postBuild", os.X_OK)


# -- what a lecture has to install ------------------------------------------

def install(*sources, pinned=None, distributions=None):
    cell = notebook_builder.install_cell(
        sources, pinned=pinned or {}, distributions=distributions or {})
    return cell and cell.source.splitlines()[-1]


def test_nothing_is_installed_that_colab_has():
    assert install("import jax.numpy as jnp, numpy\nfrom scipy import stats",
                   "import os\nfrom . import x\n%matplotlib inline") is None


def test_every_version_of_a_pin_is_named_with_its_condition():
    pinned = {"quantecon": ["quantecon==1 ; python_version < '3.12'",
                            "quantecon==2 ; python_version >= '3.12'"]}
    assert install("def f():\n    import quantecon as qe", pinned=pinned) == (
        "%pip install -q \"quantecon==1 ; python_version < '3.12'\" "
        "\"quantecon==2 ; python_version >= '3.12'\"")


def test_package_is_found_by_the_module_it_provides():
    line = install("from bs4 import BeautifulSoup",
                   pinned={"beautifulsoup4": ["beautifulsoup4==4"]},
                   distributions={"bs4": ["beautifulsoup4"]})
    assert line == '%pip install -q "beautifulsoup4==4"'


def test_package_without_a_pin_is_an_error():
    with pytest.raises(ValueError, match="'quantecon'"):
        install("import quantecon")


def test_pins_are_read_from_the_requirements():
    pins = notebook_builder.pins()
    assert all(line.startswith("jax==") for line in pins["jax"])
    assert "beautifulsoup4" in pins and "ipykernel" in pins
