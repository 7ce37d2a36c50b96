"""Tables and plots' data of the book, from the records in results/*.json.

Nothing here measures. The files of `lectures/_peers` are included by pages,
and the cell of `lectures/other/benchmarks.md` between two comments holds the
numbers that its figures draw, so that the page runs without the repository.
"""
import json
import pprint
import re
import sys
from pathlib import Path

from benchmarks import cases
from benchmarks.common import RESULTS, ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import ledger  # noqa: E402

PEERS = ROOT / "lectures" / "_peers"
PAGE = ROOT / "lectures" / "other" / "benchmarks.md"
OWN_TABLE = ("hank", "sequence_space", "deep_asset_pricing")  # own pages too
BEGIN, END = "# -- records --\n", "# -- end of the records --\n"

# The order of the page; a subject that is not here comes last.
ORDER = ("opt_savings", "ifp_egm", "ifp_hark", "arellano", "markov_asset",
         "aiyagari", "sequence_space", "hank", "wealth", "kesten", "mle",
         "networks", "deep_asset_pricing")


def load() -> dict[str, dict]:
    """The records that there are, by subject, in the order of the page."""
    there = {name: json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
             for name in cases.names() if (RESULTS / f"{name}.json").exists()}
    first = [name for name in ORDER if name in there]
    return {name: there[name] for name in first + sorted(set(there)
                                                         - set(first))}


# -- numbers as text --------------------------------------------------------

def digits(x: float, n=3) -> str:
    """A number with n digits, and no exponent."""
    text = f"{x:#.{n}g}"
    if "e" in text:
        text = f"{float(text):,.0f}"
    return text.rstrip(".")


def seconds(x: float) -> str:
    """A time with its unit."""
    for unit, size in (("s", 1), ("ms", 1e-3)):
        if x >= 0.9995 * size:
            return f"{digits(x / size)} {unit}"
    return f"{digits(x / 1e-6)} µs"


def ratio(x: float) -> str:
    """How many times; two digits are what a noisy machine bears out."""
    return digits(x, 2)


def power(x: float) -> str:
    """A small difference."""
    return "0" if x == 0 else f"{x:.0e}"


def provenance(record) -> str:
    """Where, when and with what a subject was measured."""
    packages = ", ".join(f"{name} {number}"
                         for name, number in record["versions"].items())
    return (f"{record['machine']}, Python {record['python']}, {packages}; "
            f"{record['date']}.")


# -- the tables -------------------------------------------------------------

def speed_rows(record) -> list[str]:
    """A subject's table: who does what in which time."""
    lines = ["| work | peer | this book | peer | peer / book |",
             "|:--|:--|--:|--:|--:|"]
    return lines + [
        f"| {c['name']} | {c['peer_name']} | {seconds(c['ours'])} | "
        f"{seconds(c['peer'])} | {ratio(c['ratio'])} |"
        for c in record["cases"]]


def own_table(record) -> str:
    """The table that the lecture of a subject includes."""
    return "\n".join(speed_rows(record)) + (
        "\n\nMedians of runs in turns, after compilation and after the "
        f"answers were found to agree. {provenance(record)}\n")


def works(record) -> str:
    """What the rows of a subject do, each once."""
    seen = dict.fromkeys(c["work"] for c in record["cases"])
    return "; ".join(seen)


def checked(entries) -> str:
    """How many headline numbers of a lecture its ledger checks, how closely.

    Tolerances are relative; a number that must be zero has none.
    """
    if not entries:
        return ""
    found = sorted(e.tolerance / abs(e.value) for e in entries if e.value)
    ends = [power(x) for x in found[:1] + found[-1:]]
    closely = (f", to a relative tolerance of "
               f"{' to '.join(dict.fromkeys(ends))}" if ends else "")
    return (f" Its {{ref}}`ledger <robustness-ledger>` checks {len(entries)} "
            f"headline number{'s' * (len(entries) > 1)}{closely}.")


def speed(records) -> str:
    """Every subject's table below a heading."""
    numbers = ledger.read()
    parts = []
    for record in records.values():
        whys = dict.fromkeys(c["why"] for c in record["cases"]
                             if c["ratio"] < 1 and c["why"])
        parts.append("\n".join([
            f"### {record['title']}", "",
            f"The code of {{doc}}`/{record['lecture']}`."
            f"{checked(numbers.get(record['lecture']))} Work: "
            f"{works(record)}.", "",
            *speed_rows(record), "",
            *([" ".join(whys), ""] if whys else []),
            f"*{provenance(record)}*", ""]))
    return "\n".join(parts)


def details(records) -> str:
    """Agreement, compilation and memory of every row."""
    lines = ["| subject, work | peer | difference | tolerated | compile, book"
             " | compile, peer | memory, book | memory, peer |",
             "|:--|:--|--:|--:|--:|--:|--:|--:|"]
    for record in records.values():
        for c in record["cases"]:
            a, b = c["compile"]
            m, n = c["memory_mib"]
            lines.append(
                f"| {record['title']}: {c['name']} | {c['peer_name']} | "
                f"{power(c['difference'])} | {power(c['tolerance'])} | "
                f"{seconds(a)} | {seconds(b)} | {m:,.0f} MiB | "
                f"{n:,.0f} MiB |")
    return "\n".join(lines) + "\n"


def verdict(records) -> str:
    """Ahead and behind, by peer: the range of the ratios."""
    rows = {}
    for record in records.values():
        for c in record["cases"]:
            rows.setdefault((record["title"], c["peer_name"]), []).append(
                c["ratio"])
    ahead, level, behind = [], [], []
    for (title, peer), found in rows.items():
        low, high = min(found), max(found)
        text = ratio(low) if ratio(low) == ratio(high) else \
            f"{ratio(low)} to {ratio(high)}"
        where = (ahead if low > 1.05 else behind if high < 1 / 1.05
                 else level)
        where.append((low, f"- {title}, against {peer}: {text}"))
    count = sum(len(found) for found in rows.values())
    wins = sum(r > 1 for found in rows.values() for r in found)
    lines = [f"Of {count} rows the book is the faster in {wins}. The numbers "
             "are the peer's time over the book's, the smallest and the "
             "largest of a group of rows."]
    for name, group in (("Ahead in every row", ahead),
                        ("Ahead in some sizes and not in others, or level",
                         level), ("Behind in every row", behind)):
        if group:
            lines += ["", f"**{name}**", "",
                      *(text for _, text in sorted(group, reverse=True))]
    return "\n".join(lines) + "\n"


# -- the speed of the book itself -------------------------------------------

def page_link(doc: str) -> str:
    """A link to a page, by its short name."""
    return f"{{doc}}`{doc.split('/')[-1]} </{doc}>`"


def book_times(run) -> tuple[float, float, float]:
    """Wall, processor and compile seconds of an execution of the book."""
    pages = run["pages"].values()
    return (run["seconds"], sum(p["cpu_seconds"] for p in pages),
            sum(p["compile_seconds"] for p in pages))


def book_totals(runs) -> list[str]:
    """One row an execution of the whole book."""
    lines = ["| pages | wall | processor | compiling | share of wall-clock "
             "time of the pages |", "|:--|--:|--:|--:|--:|"]
    for name, run in runs.items():
        wall, cpu, compiling = book_times(run)
        text = (f"{run['jobs']} at a time, each on cores of its own"
                if name == "parallel" else "one after another, on all cores")
        share = compiling / sum(p["seconds"] for p in run["pages"].values())
        lines.append(f"| {text} | {wall:,.0f} s | {cpu:,.0f} s | "
                     f"{compiling:,.0f} s | {share:.0%} |")
    return lines


def book_pages(run) -> list[str]:
    """One row a page, the longest first."""
    lines = ["| page | wall | processor | compiling | share | peak memory |",
             "|:--|--:|--:|--:|--:|--:|"]
    order = sorted(run["pages"].items(), key=lambda item: -item[1]["seconds"])
    return lines + [
        f"| {page_link(doc)} | {p['seconds']:.1f} s | "
        f"{p['cpu_seconds']:.1f} s | {p['compile_seconds']:.1f} s | "
        f"{p['compile_seconds'] / p['seconds']:.0%} | "
        f"{p['peak_mib']:,.0f} MiB |" for doc, p in order]


def book_cells(run) -> list[str]:
    """The slowest cells, with their first lines of code."""
    lines = ["| cell begins with | page | wall |", "|:--|:--|--:|"]
    for c in run["slowest_cells"]:
        code = c["starts"].replace("|", "\\|")
        quote = "``" if "`" in code else "`"
        lines.append(f"| {quote}{code}{quote} | {page_link(c['doc'])} | "
                     f"{c['seconds']:.1f} s |")
    return lines


def book(found=None) -> str:
    """What results/book.json says of the book's time, or that it is not there.

    Pages and cells are those of the execution one after another, where no
    page shares the machine, if there is one.
    """
    path = RESULTS / "book.json"
    if found is None and not path.exists():
        return ("No measurement of the whole book is recorded yet; "
                "{ref}`status` has the last build's times.\n")
    found = found or json.loads(path.read_text("utf-8"))
    runs = {name: found["runs"][name] for name in ("parallel", "sequential")
            if name in found["runs"]}
    chosen = list(runs.values())[-1]
    count = len(chosen["pages"])
    parts = [f"All {count} pages with code were executed from nothing, with "
             "an empty cache, before figures and text are put together. "
             "Processor time is that of all cores. *Compiling* is the "
             "wall-clock time that XLA takes.",
             "\n".join(book_totals(runs))]
    if failed := sorted({doc for run in runs.values()
                         for doc in run["failed"]}):
        parts.append("Not in these numbers, because they failed: "
                     f"{', '.join(map(page_link, failed))}.")
    how = ("one after another" if "sequential" in runs
           else f"{chosen['jobs']} pages at a time")
    parts += [
        f"Page by page, as they ran {how}, the longest first. What is neither "
        "compiling nor arithmetic is mostly the start of Python and the "
        "imports, and drawing.", "\n".join(book_pages(chosen)),
        f"The {len(chosen['slowest_cells'])} slowest cells of that execution.",
        "\n".join(book_cells(chosen))]
    lines = dict.fromkeys(
        f"{run['machine']}, {run['device']}, Python {run['python']}, "
        f"jax {run['jax']}; {run['date']}." for run in runs.values())
    parts.append(f"*{' '.join(lines)}*")
    return "\n\n".join(parts) + "\n"


# -- the data of the figures ------------------------------------------------

def series(records) -> list[dict]:
    """The rows with a size, by subject and peer, where there are three."""
    found = {}
    for record in records.values():
        for c in record["cases"]:
            if c["size"] is not None:
                key = (record["title"], c["peer_name"].replace("`", ""),
                       c["ours_name"])
                one = found.setdefault(key, {
                    "title": key[0], "peer": key[1], "line": key[2],
                    "unit": c["unit"], "size": [], "ours": [], "theirs": []})
                one["size"].append(c["size"])
                one["ours"].append(float(f"{c['ours']:.4g}"))
                one["theirs"].append(float(f"{c['peer']:.4g}"))
    return [one for one in found.values() if len(one["size"]) >= 3]


def rows(records) -> list[tuple]:
    """Title, row, peer; run and compile times in ms, ours and theirs."""
    def ms(x):
        return float(f"{1e3 * x:.4g}")

    return [(record["title"], c["name"], c["peer_name"].replace("`", ""),
             *map(ms, (c["ours"], c["peer"], *c["compile"])))
            for record in records.values() for c in record["cases"]]


def cell(records) -> str:
    """The assignments between the two comments of the page's cell."""
    return "".join(
        f"{name} = {pprint.pformat(value, width=78, sort_dicts=False)}\n"
        for name, value in (("series", series(records)),
                            ("rows", rows(records))))


def with_cell(page: str, records) -> str:
    """The page with the data of its figures renewed."""
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    if len(re.findall(pattern, page, re.S)) != 1:
        raise ValueError(f"page must hold one cell with {BEGIN!r} and {END!r}")
    return re.sub(pattern, lambda _: BEGIN + cell(records) + END, page,
                  flags=re.S)


def files(records) -> dict[Path, str]:
    """Every file that the records determine, and what it holds."""
    found = {PEERS / "benchmarks.md": speed(records),
             PEERS / "benchmarks_details.md": details(records),
             PEERS / "benchmarks_verdict.md": verdict(records),
             PEERS / "benchmarks_book.md": book()}
    found |= {PEERS / f"{name}.md": own_table(records[name])
              for name in OWN_TABLE if name in records}
    if PAGE.exists():
        found[PAGE] = with_cell(PAGE.read_text("utf-8"), records)
    return found


def write_all():
    """Rewrite them."""
    PEERS.mkdir(exist_ok=True)
    for path, text in files(load()).items():
        path.write_text(text, encoding="utf-8")
