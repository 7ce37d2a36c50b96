"""Sphinx extension: the tables in which the book answers for its numbers.

`ledger-entries` counts the entries of the results ledger, `ledger-records`
shows how far the numbers moved in the environments of tests/ledger/records,
`ledger-environments` names these, and `mutation-scores` tells what the tests
noticed of the mutants in tests/mutation. All read the files when the page is
rendered: there is no copy that could be stale.
"""
import json
import math

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import execution
import ledger
import mutants


def entries() -> tuple[list[str], list[list[str]]]:
    """Number of entries by lecture and by how they are known."""
    found = ledger.read()
    body = []
    for doc in filter(found.get, execution.documents()):
        kinds = [e.known for e in found[doc]]
        body.append([doc, *(str(kinds.count(k) or "") for k in ledger.KINDS),
                     str(len(kinds))])
    total = [sum(int(row[i] or 0) for row in body)
             for i in range(1, len(ledger.KINDS) + 2)]
    return (["Lecture", *(k.capitalize() for k in ledger.KINDS), "All"],
            [*body, [f"total of {len(body)}", *map(str, total)]])


# Heads of the columns by the records' names, in their order; the others,
# named as they are, come last.
HEADS = {"float64": "Oldest, 64 bits", "one_core": "Oldest, one core",
         "newest": "Newest", "float32": "Oldest, 32 bits"}


def records() -> list[dict]:
    """The kept records, each with the head of its column."""
    order = {name: i for i, name in enumerate(HEADS)}
    paths = sorted((ledger.folder() / "records").glob("*.json"),
                   key=lambda p: (order.get(p.stem, len(order)), p.stem))
    return [{"head": HEADS.get(p.stem, p.stem.replace("_", " ").capitalize()),
             **json.loads(p.read_text(encoding="utf-8"))} for p in paths]


def environments() -> list[tuple[str, str]]:
    """The head of each column, and what it stands for."""
    found = []
    for r in records():
        e = r["environment"]
        device = e["device"].split(": ")
        found.append((r["head"], (
            f"Python {e['python']}, JAX {e['jax']}, NumPy {e['numpy']}, "
            f"{e['cores']} core{'s' * (e['cores'] > 1)}, "
            + ("no GPU" if device[0] == "cpu" else device[-1])
            + f", precision {e['precision']}")))
    return found


def largest(entries: list[ledger.Entry], page: dict | None) -> str:
    """The largest deviation of a page's numbers, as a cell shows it."""
    if page is None:
        return ""
    if "stopped" in page:
        return "stops"
    numbers = page["numbers"]
    if any(not isinstance(numbers.get(e.name), float) for e in entries):
        return "fails"
    off = max(ledger.deviation(e, numbers[e.name]) for e in entries)
    if math.isinf(off):
        return "NaN"
    return f"{off:.2f}" if off < 100 else f"{off:.0e}"


def deviations() -> tuple[list[str], list[list[str]]]:
    """The largest deviation by lecture and environment."""
    found, kept = ledger.read(), records()
    body = [[doc, *(largest(found[doc], r["pages"].get(doc)) for r in kept)]
            for doc in filter(found.get, execution.documents())
            if any(doc in r["pages"] for r in kept)]
    return ["Lecture", *(r["head"] for r in kept)], body


def scores() -> tuple[list[str], list[list[str]]]:
    """The mutation score by lecture."""
    head = ["Lecture", "Made", "Noticed", "Missed", "Idle", "Stopped", "Score"]
    body = []
    kept = mutants.scores()
    for doc in filter(kept.get, execution.documents()):
        count = mutants.count(doc, kept[doc]["mutants"])
        score = mutants.score(count)
        body.append([doc, str(len(kept[doc]["mutants"])),
                     *(str(count[k]) for k in ("noticed", "survived",
                                               "equivalent", "stopped")),
                     "" if score is None else f"{score:.0%}"])
    return head, body


class Table(SphinxDirective):
    """A table whose first column names pages."""
    make, name_, caption = None, "", ""

    def run(self):
        head, body = type(self).make()
        if not body:
            text = "Nothing is recorded yet."
            head, body = ["Lecture", "Result"], [["", text]]
        group = nodes.tgroup(cols=len(head))
        group += [nodes.colspec(colwidth=36 if i == 0 else
                                64 // (len(head) - 1))
                  for i in range(len(head))]
        header, rest = nodes.thead(), nodes.tbody()
        header += self.row(head)
        for cells in body:
            rest += self.row(cells)
        group += [header, rest]
        table = nodes.table(classes=["colwidths-given"])
        table += nodes.title("", self.caption)
        table += group
        table["names"].append(self.name_)
        self.state.document.note_explicit_target(table)
        return [table]

    def row(self, cells):
        out = nodes.row()
        for i, text in enumerate(cells):
            paragraph = nodes.paragraph()
            if i == 0 and "/" in text:
                paragraph += self.parse_inline(f"{{doc}}`/{text}`")[0]
            else:
                paragraph += nodes.Text(text)
            entry = nodes.entry(classes=["text-right"] if i else [])
            entry += paragraph
            out += entry
        return out


class Entries(Table):
    make, name_ = staticmethod(entries), "tab-ledger-entries"
    caption = "Headline numbers, by how they are known to be right"


class Records(Table):
    make, name_ = staticmethod(deviations), "tab-ledger-records"
    caption = ("Largest deviation of a lecture's headline numbers, in units "
               "of their tolerances")


class Environments(SphinxDirective):
    """What the columns of the records stand for."""

    def run(self):
        items = nodes.bullet_list()
        for head, text in environments():
            paragraph = nodes.paragraph()
            paragraph += nodes.strong("", head)
            paragraph += nodes.Text(f": {text}.")
            items += nodes.list_item("", paragraph)
        return [items] if len(items) else []


class Scores(Table):
    make, name_ = staticmethod(scores), "tab-mutation-scores"
    caption = "Mutants of the lectures' code, and what the tests noticed"


def setup(app):
    app.add_directive("ledger-entries", Entries)
    app.add_directive("ledger-records", Records)
    app.add_directive("ledger-environments", Environments)
    app.add_directive("mutation-scores", Scores)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
