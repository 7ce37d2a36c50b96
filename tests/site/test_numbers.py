"""Numbers in the text of a lecture stand also in its code or its outputs.

A number that a lecture's prose states is one that its cells print, or a setting
that they contain: up to the digits given, and up to per cent, thousandths or
millionths. What is neither, as a number of the literature or one that the text
itself derives, is listed here. So a result that moves and leaves its sentence
behind is found.
"""
import re

import numpy as np
import pytest
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

import execution
import lecture_loader

NUMBER = re.compile(r"(?<![\w.{\[/-])(\d[\d,]*\.?\d*)(?![\w])")
PRINTED = re.compile(r"\d[\d,_]*\.?\d*(?:e[+-]?\d+)?")
UNITS = (1, 1e-2, 1e2, 1e-3, 1e3, 1e-6, 1e6)
SMALL = 12      # counts up to a dozen are words in figures

# Stated in the text and printed nowhere, with the place where it comes from.
ELSEWHERE = {
}


def without_code(markdown: str) -> str:
    "The words of a cell: no directives, displays, roles, code or addresses."
    for pattern in (r"```.*?```", r"\$\$.*?\$\$", r"\{[a-z:]+\}`[^`]*`",
                    r"`[^`]*`", r"\]\([^)]*\)", r"https?://\S+"):
        markdown = re.sub(pattern, "", markdown, flags=re.S)
    return markdown


def values(text: str) -> np.ndarray:
    "All numbers in code or output, in every unit."
    found = np.array([float(re.sub("[,_]", "", m[0]))
                      for m in PRINTED.finditer(text)])
    return np.unique(np.outer(UNITS, found))


def printed(cell) -> str:
    "A cell's source and what it shows as text."
    texts = [cell.source]
    for output in cell.get("outputs", []):
        texts.append(output.get("text", ""))
        texts += [text for kind, text in output.get("data", {}).items()
                  if kind.startswith("text/")]
    return "\n".join(texts)


def stated(markdown: str):
    "The numbers of a text, with half a unit of their last digit."
    for match in NUMBER.finditer(without_code(markdown)):
        text = match[1].replace(",", "").rstrip(".")
        whole = "." not in text
        if whole and (float(text) <= SMALL
                      or re.fullmatch(r"(19|20)\d\d", text)):
            continue
        digits = 0 if whole else len(text.split(".")[1])
        yield text, float(text), 0.501 * 10**-digits


def missing(notebook, executed) -> list[str]:
    "The numbers of a page's text that its cells neither hold nor print."
    known = values("\n".join(printed(c) for c in executed.cells
                             if c.cell_type == "code"))
    return [text for cell in notebook.cells if cell.cell_type == "markdown"
            for text, x, near in stated(cell.source)
            if not np.any(np.abs(known - x) <= near)]


@pytest.mark.parametrize("doc", [
    d for d in execution.notebooks() if not d.startswith("other/")])
def test_numbers_in_the_text(doc):
    notebook = lecture_loader.read(execution.source(doc))
    with execution.open_cache() as cache:
        try:
            executed = cache.get_cache_bundle(
                cache.match_cache_notebook(notebook).pk).nb
        except KeyError:
            pytest.skip("the book has not been built: run `make book` first")
    assert set(missing(notebook, executed)) <= ELSEWHERE.get(doc, set())


def test_a_number_that_moved_is_found():
    text = new_markdown_cell("It is 0.137, or 13.7 per cent, of 4,000.")
    code = new_code_cell("n = 4_000", outputs=[
        new_output("stream", text="share 0.1368")])
    page = new_notebook(cells=[text, code])
    assert missing(page, page) == []
    code.outputs[0].text = "share 0.1512"
    assert missing(page, page) == ["0.137", "13.7"]
