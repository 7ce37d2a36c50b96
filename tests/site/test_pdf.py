"""The PDF as built: whole, in order, linked, and every character printed."""
import itertools
import re

import pypdf
import pytest
import yaml
from pypdf.generic import IndirectObject

import execution
import lecture_loader
import pdf
import pdf_needs

DOCS = execution.documents()


@pytest.fixture(scope="module")
def book(request):
    "The PDF of the book."
    if not pdf.OUTPUT.exists():
        reason = "the PDF has not been built: run `make pdf` first"
        if request.config.getoption("--require-pdf"):
            pytest.fail(reason)
        pytest.skip(reason)
    return pypdf.PdfReader(pdf.OUTPUT)


@pytest.fixture(scope="module")
def pages(book):
    "The text of each page, without blanks, which PDF does not hold."
    return [re.sub(r"\s", "", page.extract_text()) for page in book.pages]


@pytest.fixture(scope="module")
def chapters(book, pages):
    "The text of each chapter after the landing page, by page of the site."
    starts = [n for depth, _, n in outline(book) if depth == 1]
    return {doc: "".join(pages[a:b]) for doc, (a, b) in zip(
        DOCS[1:], itertools.pairwise(starts), strict=True)}


def outline(book):
    "Depth, title and page of each bookmark, in order."
    def walk(entries, depth):
        for entry in entries:
            if isinstance(entry, list):
                yield from walk(entry, depth + 1)
            else:
                yield depth, entry.title, book.get_destination_page_number(
                    entry)
    return list(walk(book.outline, 0))


def source(doc):
    "The Markdown of a page."
    return execution.source(doc).read_text(encoding="utf-8")


def title(doc):
    "The title of a page, with the apostrophes of print."
    return re.search(r"^# (.+)$", source(doc), re.M)[1].replace("'", "’")


def annotations(page):
    "The links on a page."
    return [a for a in (x.get_object() for x in page.get("/Annots", []))
            if a["/Subtype"] == "/Link"]


def test_outline_holds_parts_and_chapters_in_order(book):
    toc = yaml.safe_load((execution.ROOT / "_toc.yml").read_text("utf-8"))
    expected = [(0, title(DOCS[0]))]
    for part in toc["parts"]:
        expected.append((0, part["caption"]))
        expected += [(1, title(c["file"])) for c in part["chapters"]]
    found = [(depth, re.sub(r"^[IVX]+ ", "", name))
             for depth, name, _ in outline(book) if depth < 2]
    assert found == [*expected, (1, "Index")]
    starts = [page for *_, page in outline(book)]
    assert starts == sorted(starts)


def test_number_of_pages_is_plausible(book):
    assert 4 * len(DOCS) < len(book.pages) < 80 * len(DOCS)


def test_title_page_and_metadata(book, pages):
    settings = execution.config()
    for text in (settings["title"], settings["author"]):
        assert re.sub(r"\s", "", text) in pages[0]
    assert book.metadata.title == settings["title"]
    assert book.metadata.author == settings["author"]
    assert re.search(r"\d{1,2}[A-Z][a-z]+20\d\d", pages[0])


def test_links_within_the_book_lead_somewhere(book):
    targets = set(book.named_destinations)
    inside = [a["/A"]["/D"] for page in book.pages for a in annotations(page)
              if a.get("/A", {}).get("/S") == "/GoTo"]
    inside += [a["/Dest"] for page in book.pages for a in annotations(page)
               if "/Dest" in a]
    assert len(inside) > 20 * len(DOCS)
    assert {str(t) for t in inside if not isinstance(t, list)} <= targets


def test_links_out_of_the_book_are_there(book):
    outside = {a["/A"]["/URI"] for page in book.pages
               for a in annotations(page) if "/URI" in a.get("/A", {})}
    assert any(u.startswith("https://docs.jax.dev") for u in outside)
    assert all(re.match(r"https?://|mailto:", u) for u in outside), outside


def test_references_and_index_are_clickable(book, chapters):
    starts = {name: page for _, name, page in outline(book)}
    assert annotations(book.pages[starts["Index"]])
    for year in re.findall(r"year = \{(\d{4})\}", (
            execution.ROOT / "_static/references.bib").read_text("utf-8")):
        assert year in chapters["other/references"]


def test_fonts_are_embedded(book):
    seen, bare = set(), []

    def visit(resources):
        resources = resources.get_object()
        for font in resources.get("/Font", {}).values():
            check(font.get_object())
        for form in resources.get("/XObject", {}).values():
            form = form.get_object()
            if "/Resources" in form and id(form) not in seen:
                seen.add(id(form))
                visit(form["/Resources"])

    def check(font):
        inner = font.get("/DescendantFonts", [font])[0].get_object()
        descriptor = inner.get("/FontDescriptor", {})
        if isinstance(descriptor, IndirectObject):
            descriptor = descriptor.get_object()
        if inner["/Subtype"] != "/Type3" and not any(
                key.startswith("/FontFile") for key in descriptor):
            bare.append(inner["/BaseFont"])

    for page in book.pages:
        visit(page["/Resources"])
    assert bare == []


def test_nothing_is_left_unresolved_or_raw(pages):
    for number, text in enumerate(pages, 1):
        assert "??" not in text, number
        raw = re.search(r"\{(ref|doc|eq|numref|cite|math|index|prf|admonition|"
                        r"exercise|solution|code-cell|note|figure)[^{}]{0,9}\}"
                        r"`|```|:::|\\(begin|end|sphinx\w+|DUrole)\{", text)
        assert not raw, (number, raw)


def test_every_character_of_the_code_is_printed(chapters):
    for doc in execution.notebooks():
        shown = [cell.source for _, _, cell in lecture_loader.code_cells(
                    execution.source(doc))
                 if not re.search("remove-(cell|input)", str(cell.metadata))]
        needed = set(re.findall(r"[^\x00-\x7f]", "\n".join(shown)))
        names = set(re.findall(r"\w*[α-ωΑ-Ω]\w*", "\n".join(shown)))
        # micro sign and Greek mu are one glyph, and look the same
        text = chapters[doc].replace("µ", "μ")
        assert {c for c in needed if c.replace("µ", "μ") not in text} == set()
        assert {n for n in names if n.replace("µ", "μ") not in text} == set()


def test_figures_have_numbered_captions(chapters):
    for number, doc in enumerate(DOCS[1:], 1):
        captions = re.findall(r"^ *name: fig-", source(doc), re.M)
        found = re.findall(rf"Fig\.{number}\.(\d+):", chapters[doc])
        if doc == "other/status":
            captions.append("the chart of run times")
        assert sorted(map(int, found)) == list(range(1, len(captions) + 1))


def test_exercises_and_their_solutions_are_in_place(chapters):
    for number, doc in enumerate(DOCS[1:], 1):
        exercises = len(re.findall(r"\{exercise(-start)?\}", source(doc)))
        for n in range(1, exercises + 1):
            assert f"Exercise{number}.{n}" in chapters[doc]
            assert f"SolutiontoExercise{number}.{n}" in chapters[doc]


def test_figures_are_vector_graphics(book):
    "Pictures in PDF hold drawing, and bitmaps only inside, as heat maps."
    drawn = [form for page in book.pages
             for form in page["/Resources"].get("/XObject", {}).values()]
    kinds = [form.get_object()["/Subtype"] for form in drawn]
    assert kinds and set(kinds) == {"/Form"}


LOG = """This is XeTeX
Missing character: There is no 𝜈 ("1D708) in font DejaVu Sans Mono!
./book.tex:12: Undefined control sequence.
! Emergency stop.
LaTeX Warning: Reference `a' on page 1 undefined on input line 2.
Missing character: There is no 𝜈 ("1D708) in font DejaVu Sans Mono!
"""


def test_complaints_are_found_in_a_log():
    assert pdf.complaints(LOG) == LOG.splitlines()[1:4]
    assert pdf.complaints(LOG.splitlines()[4]) == LOG.splitlines()[4:5]
    assert pdf.complaints("Overfull \\hbox (1.0pt too wide)") == []


def test_missing_programs_are_named_with_their_packages(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pdf_needs.missing() == list(pdf_needs.NEEDED)
