"""Sphinx extension: the directive `execution-statistics`.

It draws a bar chart and a table of what each notebook's last execution took,
from the records that `execution.py` keeps in the build's cache. The records
are read when the page is rendered, after every lecture has run, so the page's
own row is of this build too.
"""
import datetime
import json
import statistics

import matplotlib
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import execution
import ledger


def rows() -> list[dict]:
    """One record a notebook of the book, in the order of its contents.

    Keys are those of `execution.records`, and `doc`. A notebook that was never
    executed has `doc` alone.
    """
    found = execution.records(execution.notebooks())
    return [{"doc": doc, **(known or {})} for doc, known in found.items()]


def age(date: str) -> str:
    """The date of a record, to the minute."""
    moment = datetime.datetime.fromisoformat(date)
    return moment.strftime("%Y-%m-%d %H:%M")


def recomputed() -> dict[str, str]:
    """By page, the record of tests/ledger/records that last recomputed it.

    Of records of one day it is that with the lecture's own precision.
    """
    found = {}
    for path in sorted((ledger.folder() / "records").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        precision = record["environment"]["precision"]
        own = ["float32", "float64", "as the lectures set it"].index(precision)
        for doc, page in record["pages"].items():
            if "stopped" not in page:
                found[doc] = max(found.get(doc, ("",)),
                                 (record["date"], own, path.stem))
    return {doc: best[-1] for doc, best in found.items()}


def headline_numbers() -> dict[str, str]:
    """By page, how many numbers its ledger checks, and where last."""
    where = recomputed()
    return {doc: str(len(entries)) + (f" ({where[doc]})" if doc in where
                                      else "")
            for doc, entries in ledger.read().items() if entries}


def chart(table: list[dict], path) -> None:
    """Draw run times, compilation apart, longest first, as SVG and PDF."""
    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    table = sorted(table, key=lambda r: r["execution_seconds"])
    names = [r["doc"].split("/")[-1] for r in table]
    total = [r["execution_seconds"] for r in table]
    compiling = [r.get("compile_seconds", 0) for r in table]
    with matplotlib.rc_context({"svg.hashsalt": "book"}), \
            plt.style.context("petroff10"):
        fig, ax = plt.subplots(figsize=(7, 0.9 + 0.28 * len(names)),
                               layout="constrained")
        ax.barh(names, total, color="C0", label="running")
        ax.barh(names, compiling, color="C1", hatch="//", edgecolor="white",
                label="of which XLA compiles")
        ax.set_xlabel("wall-clock time (seconds)")
        ax.margins(y=0.02)
        ax.legend(loc="lower right", frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        for kind in ("svg", "pdf"):
            fig.savefig(path.with_suffix(f".{kind}"), metadata={
                "Date" if kind == "svg" else "CreationDate": None})
        plt.close(fig)


class ExecutionStatistics(SphinxDirective):
    """Table and chart of the notebooks' run times."""

    def run(self):
        table = rows()
        done = [r for r in table if "execution_seconds" in r]
        out = []
        if done:
            out += self.picture(done)
        out.append(self.table(table, done))
        return out

    def picture(self, done):
        path = execution.ROOT / "_build" / "execution_statistics"
        chart(done, path)
        image = nodes.image(
            uri=f"../../_build/{path.name}.*", width="100%",
            alt="Horizontal bars, one a page, of wall-clock seconds, the "
                "longest on top, with the share of compilation marked.")
        figure = nodes.figure("", image)
        figure += nodes.caption(
            "", "Run time of each page, with the part that is spent compiling.")
        figure["names"].append("fig-execution-times")
        self.state.document.note_explicit_target(figure)
        return [figure]

    def table(self, table, done):
        head = ["Page", "Executed (UTC)", "Run time (s)", "Compiling (s)",
                "Peak memory (MiB)", "Headline numbers", "Result"]
        body, numbers = [], headline_numbers()
        for r in table:
            if "execution_seconds" not in r:
                body.append([r["doc"], "", "", "", "",
                             numbers.get(r["doc"], ""), "not executed"])
                continue
            measured = "peak_bytes" in r
            body.append([
                r["doc"], age(r["date"]) if measured else "",
                f"{r['execution_seconds']:.2f}",
                f"{r['compile_seconds']:.2f}" if measured else "",
                f"{r['peak_bytes'] / 2**20:.0f}" if measured else "",
                numbers.get(r["doc"], ""), "success"])
        # the total is that of the rows as printed
        seconds = [float(b[2]) for b in body if b[2]]
        compiling = [float(b[3]) for b in body if b[3]]
        memory = [int(b[4]) for b in body if b[4]]
        checked = sum(int(b[5].split()[0]) for b in body if b[5])
        body.append([f"total of {len(seconds)} pages", "",
                     f"{sum(seconds):.2f}", f"{sum(compiling):.2f}",
                     f"{max(memory, default=0)} at most", str(checked),
                     f"median {statistics.median(seconds or [0]):.2f} s"])
        group = nodes.tgroup(cols=len(head))
        group += [nodes.colspec(colwidth=w)
                  for w in (30, 18, 12, 12, 12, 13, 12)]
        header, rest = nodes.thead(), nodes.tbody()
        header += self.row(head)
        for cells in body:
            rest += self.row(cells, link=cells is not body[-1])
        group += [header, rest]
        out = nodes.table(classes=["execution-statistics", "colwidths-given"])
        out += group
        return out

    def row(self, cells, link=False):
        out = nodes.row()
        for i, text in enumerate(cells):
            paragraph = nodes.paragraph()
            if link and i == 0:
                name = text.split("/")[-1]
                paragraph += self.parse_inline(f"{{doc}}`{name} </{text}>`")[0]
            else:
                paragraph += nodes.Text(text)
            entry = nodes.entry(classes=["text-right"] if 2 <= i <= 5 else [])
            entry += paragraph
            out += entry
        return out


def setup(app):
    app.add_config_value("execution_budget", {}, "")
    app.add_config_value("execution_alone", [], "")
    app.add_directive("execution-statistics", ExecutionStatistics)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
