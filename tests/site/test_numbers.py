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

# Stated in the text and printed nowhere: derived there, or from elsewhere.
ELSEWHERE = {
    "introduction/about": {"4.0"},                      # a licence
    "introduction/jax_intro": {"48000", "4.5"},         # 8 · 6000; 20 / √20
    "introduction/autodiff": {"10.7", "1.69"},          # of formula; of figure
    "introduction/newtons_method": {"3.3"},             # (2 + 2/3) 5000³
    "introduction/scaling_out": {"8476", "3.3"},        # a port; a data sheet
    "simulation/inventory_dynamics": {"1.36", "1.95",   # Kolmogorov's law
                                      "499"},           # last of 500 dates
    "simulation/kesten_processes": {"23"},              # bits of a float
    "simulation/schelling": {"73.7", "65.5", "65.1", "60.6", "69.7", "63.0",
                             "61.0"},                   # data of a study
    "asset_pricing/lucas_model": {"270", "49",          # log; β / (1 - β)
                                  "33"},                # of figure
    "asset_pricing/markov_asset": {"625"},              # 15 625, in thousands
    "asset_pricing/deep_asset_pricing": {"0.03125",     # γ² σ² / 2
                                         "122"},        # weights, counted
    "dynamic_programming/opt_savings_1": {"17", "49", "4.9"},   # β / (1 - β)
    "dynamic_programming/opt_savings_2": {"34", "60"},  # of formulas
    "dynamic_programming/short_path": {"286"},          # edges of a file
    "dynamic_programming/opt_invest": {"0.89",          # β ρ
                                       "6.6", "2260"},  # of figures
    "dynamic_programming/inventory_ssd": {"410"},       # 41 · 10
    "dynamic_programming/ifp_egm": {"0.9999", "45"},    # β R; degrees
    "macroeconomic_models/aiyagari": {"2.7"},           # of formula
    "data_and_empirics/mle": {"99.9", "16.3"},          # a table of χ²
    "data_and_empirics/keras": {"154", "495"},          # 2000 / 13; 12 over 4
    "data_and_empirics/jax_nn": {"110"},                # 10 · 11
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
        texts.append(output.get("data", {}).get("text/plain", ""))
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
