"""Sphinx extension: citations by author and year in round brackets.

`bibtex_reference_style: author_year_round` cites as Lucas (1978) and (Lucas,
1978); `bibtex_default_style: author_year` labels the entries of the reference
list in the same way.
"""
from collections import Counter
from dataclasses import dataclass, field

import pybtex.plugin
import sphinxcontrib.bibtex.plugin
from pybtex.style.formatting.unsrt import Style
from pybtex.style.labels import BaseLabelStyle
from sphinxcontrib.bibtex.style.referencing import BracketStyle
from sphinxcontrib.bibtex.style.referencing.author_year import (
    AuthorYearReferenceStyle,
)


def round_brackets():
    return BracketStyle(left="(", right=")")


@dataclass
class AuthorYearRound(AuthorYearReferenceStyle):
    """Author and year, in round brackets instead of square ones."""
    bracket_parenthetical: BracketStyle = field(default_factory=round_brackets)
    bracket_textual: BracketStyle = field(default_factory=round_brackets)
    bracket_year: BracketStyle = field(default_factory=round_brackets)


class AuthorYearLabels(BaseLabelStyle):
    """Labels such as `Lucas, 1978`; `a`, `b`, ... where two would agree."""

    def format_labels(self, sorted_entries):
        labels = [self.label(entry) for entry in sorted_entries]
        count, seen = Counter(labels), Counter()
        for label in labels:
            suffix = chr(ord("a") + seen[label]) if count[label] > 1 else ""
            seen[label] += 1
            yield label + suffix

    @staticmethod
    def label(entry) -> str:
        people = entry.persons.get("author") or entry.persons.get("editor")
        names = [" ".join(p.prelast_names + p.last_names) for p in people]
        if len(names) > 2:
            names = [f"{names[0]} et al."]
        return f"{' and '.join(names)}, {entry.fields['year']}"


class AuthorYear(Style):
    """The plain style with author–year labels, in alphabetical order."""
    default_label_style = AuthorYearLabels
    default_sorting_style = "author_year_title"


def setup(app):
    sphinxcontrib.bibtex.plugin.register_plugin(
        "sphinxcontrib.bibtex.style.referencing", "author_year_round",
        AuthorYearRound)
    pybtex.plugin.register_plugin(
        "pybtex.style.formatting", "author_year", AuthorYear)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
