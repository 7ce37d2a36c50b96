"""The structure of the book: contents, figures, citations, pins, style."""
import re
import subprocess
import sys
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
import yaml
from pybtex.database import parse_file

import execution
import lecture_loader

ROOT = Path(__file__).resolve().parent.parent
LECTURES = ROOT / "lectures"
DOCS = execution.documents()
NOTEBOOKS = execution.notebooks()
BIBLIOGRAPHY = parse_file(str(ROOT / "_static" / "references.bib"))


def text(doc):
    return execution.source(doc).read_text(encoding="utf-8")


def cells(doc):
    return [(line, cell) for _, line, cell
            in lecture_loader.code_cells(execution.source(doc))]


# -- contents ---------------------------------------------------------------

def test_contents_and_folders_agree():
    there = {str(p.relative_to(LECTURES).with_suffix(""))
             for p in lecture_loader.sources()}
    assert there == set(DOCS)
    assert len(DOCS) == len(set(DOCS))


def test_slugs_are_unique():
    slugs = [d.split("/")[-1] for d in DOCS]
    assert len(slugs) == len(set(slugs))


def test_parts_come_in_their_order():
    order = ["Introduction", "Simulation", "Asset Pricing",
             "Dynamic Programming", "Macroeconomic Models",
             "Data and Empirics", "Other"]
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    captions = [part["caption"] for part in toc["parts"]]
    assert captions == [c for c in order if c in captions]
    for part in toc["parts"]:
        folder = part["caption"].lower().replace(" ", "_")
        assert part["chapters"], f"{part['caption']} is empty"
        for chapter in part["chapters"]:
            assert chapter["file"].startswith(f"{folder}/")


def test_every_lecture_is_on_the_map_of_the_book():
    mapped = re.findall(r"^\* - \{doc\}`/([\w/]+)`", text("introduction/about"),
                        re.MULTILINE)
    lectures = [d for d in NOTEBOOKS
                if d.split("/")[0] != "other" and d != "introduction/about"]
    assert mapped == lectures
    rows = re.findall(r"^\* - \{doc\}.*\n(?:  .*\n)+",
                      text("introduction/about"), re.MULTILINE)
    assert len(rows) == len(lectures)
    assert all(row.count("\n  - ") == 3 for row in rows), rows


# -- pages ------------------------------------------------------------------

@pytest.mark.parametrize("doc", DOCS)
def test_label_and_title(doc):
    body = text(doc).removeprefix(lecture_loader.FRONT_MATTER)
    slug = doc.split("/")[-1]
    assert re.match(rf"\({slug}\)=\n# \S", body)
    assert len(re.findall(r"^# \S", re.sub(r"^```.*?^```", "", body,
                                           flags=re.M | re.S), re.M)) == 1


@pytest.mark.parametrize("doc", NOTEBOOKS)
def test_front_matter(doc):
    assert text(doc).startswith(lecture_loader.FRONT_MATTER)


@pytest.mark.parametrize(
    "doc", [d for d in NOTEBOOKS if d != "other/status"])
def test_lecture_has_its_parts(doc):
    body = text(doc)
    assert "```{include} /_includes/gpu_note.md\n```" in body
    glance = re.search(r"\{admonition\} At a glance\n:class: tip\n(.*?)```",
                       body, re.S)
    lines = ["Prerequisites", "Precision",
             "Packages beyond JAX, NumPy and Matplotlib"]
    if not doc.startswith("other/"):
        lines.insert(0, "Question")
    assert re.findall(r"^- \*\*(.*?)\*\*: \S", glance[1], re.M) == lines
    assert re.search(r"^## Overview$", body, re.M)


@pytest.mark.parametrize("doc", NOTEBOOKS)
def test_exercises_have_solutions(doc):
    body = text(doc)
    prefix = "ex-" + doc.split("/")[-1].replace("_", "-")
    exercises = re.findall(r"\{exercise-start\}\n:label: (\S+)", body)
    solutions = re.findall(r"\{solution-start\} (\S+)\n:class: dropdown", body)
    assert exercises and exercises == solutions
    assert len(exercises) == body.count("{exercise-end}") \
        == body.count("{solution-end}")
    assert all(re.fullmatch(rf"{prefix}-\d+", e) for e in exercises)


@pytest.mark.parametrize("doc", NOTEBOOKS)
def test_figures_have_caption_name_and_alt_text(doc):
    prefix = "fig-" + doc.split("/")[-1].replace("_", "-") + "-"
    for line, cell in cells(doc):
        if "plt.show()" not in cell.source:
            continue
        nb = cell.metadata.get("mystnb", {})
        where = f"{doc}:{line}"
        assert len(nb.get("figure", {}).get("caption", "")) > 20, where
        assert nb["figure"].get("name", "").startswith(prefix), where
        assert len(nb.get("image", {}).get("alt", "")) > 20, where


@pytest.mark.parametrize("doc", NOTEBOOKS)
def test_each_drawn_figure_is_shown_once(doc):
    for line, cell in cells(doc):
        drawn = len(re.findall(r"plt\.(subplots|figure)\(", cell.source))
        assert drawn == cell.source.count("plt.show()") <= 1, f"{doc}:{line}"


@pytest.mark.parametrize("doc", NOTEBOOKS)
def test_no_shell_and_no_deprecated_key(doc):
    for line, cell in cells(doc):
        shell = re.search(r"^\s*(!|%%(bash|sh|script))", cell.source, re.M)
        assert not shell, f"{doc}:{line}: forking JAX's threads may deadlock"
        assert "os.system" not in cell.source, f"{doc}:{line}"
        assert "PRNGKey" not in cell.source, f"{doc}:{line}"


@pytest.mark.parametrize("doc", NOTEBOOKS)
def test_lecture_has_a_test_module(doc):
    module = ROOT / "tests" / f"{doc.rpartition('/')[0]}" \
        / f"test_{doc.split('/')[-1]}.py"
    assert re.search(r"^def test_.*\(.*lecture", module.read_text("utf-8"),
                     re.M)


def test_page_imports_are_required_and_named_at_the_top():
    "Every package that a cell imports is pinned, and none beyond the usual."
    distributions = packages_distributions()
    pinned = {p.lower().replace("_", "-") for p in pins()}
    usual = {"jax", "jaxlib", "numpy", "matplotlib"}
    for doc in NOTEBOOKS:
        named = re.search(
            r"- \*\*Packages beyond JAX, NumPy and Matplotlib\*\*: (.*?)\n"
            r"(```|- )", text(doc), re.S)
        for line, cell in cells(doc):
            found = re.findall(r"^\s*(?:import|from) ([A-Za-z_]\w*)",
                               cell.source, re.M)
            for module in set(found) - sys.stdlib_module_names:
                package = distributions[module][0].lower().replace("_", "-")
                assert package in pinned, f"{doc}:{line}: {module}"
                if named and package not in usual:
                    assert f"`{package}`" in named[1], f"{doc}:{line}: {module}"


def test_code_cells_are_in_style(tmp_path):
    for doc in [*NOTEBOOKS, "_template"]:
        notebook = lecture_loader.read(execution.source(doc))
        nbformat.write(notebook, tmp_path / f"{doc.replace('/', '.')}.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config",
         str(ROOT / "ruff.toml"), "--output-format", "concise", str(tmp_path)],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_template_passes_when_copied(tmp_path, monkeypatch):
    "What the structural tests ask of a lecture, the template has."
    copy = tmp_path / "part" / "template.md"
    copy.parent.mkdir()
    copy.write_text((LECTURES / "_template.md").read_text("utf-8"), "utf-8")
    monkeypatch.setattr(lecture_loader, "LECTURES", tmp_path)
    for check in (test_label_and_title, test_front_matter,
                  test_lecture_has_its_parts, test_exercises_have_solutions,
                  test_figures_have_caption_name_and_alt_text,
                  test_each_drawn_figure_is_shown_once,
                  test_no_shell_and_no_deprecated_key):
        check("part/template")
    with lecture_loader.jax_settings_restored():
        lecture = lecture_loader.load("part/template")
    assert lecture.solution.w == pytest.approx(20, rel=1e-10)


# -- citations --------------------------------------------------------------

def cited():
    keys = {}
    for path in lecture_loader.sources():
        for run in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`",
                              path.read_text(encoding="utf-8")):
            for key in run.split(","):
                keys[key.strip()] = path
    return keys


def test_citations_and_bibliography_agree():
    assert set(cited()) == set(BIBLIOGRAPHY.entries)


def test_every_lecture_cites_its_sources():
    for doc in NOTEBOOKS:
        if not doc.startswith("other/"):
            assert re.search(r"\{cite(:\w+)?\}`", text(doc)), doc


def test_bibliography_entries_are_complete():
    needed = {"article": {"title", "journal", "volume", "pages", "year"},
              "book": {"title", "publisher", "year"},
              "inproceedings": {"title", "booktitle", "year"},
              "incollection": {"title", "booktitle", "publisher", "year"},
              "techreport": {"title", "institution", "year"},
              "unpublished": {"title", "note", "year"},
              "misc": {"title", "howpublished", "year"}}
    for key, entry in BIBLIOGRAPHY.entries.items():
        assert needed[entry.type] <= set(entry.fields), key
        assert entry.persons.get("author") or entry.persons.get("editor"), key
        doi = entry.fields.get("doi", "10.1/x")
        assert re.fullmatch(r"10\.\d+/\S+", doi), key


def test_no_work_stands_twice_in_the_bibliography():
    works = Counter((re.sub(r"\W", "", entry.fields["title"]).lower(),
                     entry.fields["year"])
                    for entry in BIBLIOGRAPHY.entries.values())
    assert [work for work, n in works.items() if n > 1] == []


@pytest.mark.parametrize("key, volume, number, pages", [
    ("Arellano2008", "98", "3", "690--712"),
    ("Bianchi2011", "101", "7", "3400--3426"),
    ("Lucas1978", "46", "6", "1429--1445")])
def test_entries_that_are_often_wrong(key, volume, number, pages):
    fields = BIBLIOGRAPHY.entries[key].fields
    assert (fields["volume"], fields["number"], fields["pages"]) == (
        volume, number, pages)


# -- project files ----------------------------------------------------------

def pins():
    found = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)",
                       (ROOT / "requirements.txt").read_text("utf-8"), re.M)
    return {name: version for name, version in found}


def test_requirements_are_pinned_and_each_wish_is_met():
    wishes = [line for line in
              (ROOT / "requirements.in").read_text("utf-8").splitlines()
              if line and not line.startswith("#")]
    for line in wishes:
        name = re.match(r"[A-Za-z0-9_.-]+", line)[0]
        assert name in pins(), name
        assert "# " in line, f"{name} has no reason"
    stray = [line for line in
             (ROOT / "requirements.txt").read_text("utf-8").splitlines()
             if line and not re.match(r"\s*#|[A-Za-z0-9_.-]+==\S+", line)]
    assert stray == []


def test_environment_file_refers_to_the_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    python, pip, extra = environment["dependencies"]
    assert re.match(r"python[><=\d.,]+$", python) and pip == "pip"
    assert extra == {"pip": ["-r requirements.txt"]}


def test_readme_names_targets_that_exist():
    targets = set(re.findall(r"^([a-z-]+):",
                             (ROOT / "Makefile").read_text("utf-8"), re.M))
    for name in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"`make ([a-z-]+)",
                               (ROOT / name).read_text("utf-8")))
        assert named and named <= targets, name


def test_addresses_stand_in_one_place():
    "A fork changes repository and site in _config.yml alone."
    url = execution.config()["repository"]["url"]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True,
                             capture_output=True, check=True).stdout.split()
    named = [p for p in tracked if p != "_config.yml" and (ROOT / p).is_file()
             and url.split("//")[1].encode() in (ROOT / p).read_bytes()]
    assert named in ([], ["CITATION.cff"])
