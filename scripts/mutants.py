"""Break a lecture on purpose, many times, and see whether its tests notice.

usage: mutants.py PAGE [--number N] [--seed S] [--limit SECONDS] [--list]

Each mutant has one small change in the body of a function of the lecture, made
at a node of the syntax tree and written back at the node's place. Its tests run
with `-x` in a copy of the book, for at most --limit seconds of processor time,
which a busy machine does not stretch. The compiled programs of all runs are
kept in a cache, so that a mutant compiles only what its change touches. Results
go to tests/mutation/<part>.json. Mutants that change no result are listed with
the reason in tests/mutation/equivalent.toml.

The tools that mutate packages know modules, not the cells of a notebook.
"""
import argparse
import ast
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import execution
import lecture_loader

FILES = ("_config.yml", "_toc.yml", "_static", "benchmarks", "lectures",
         "pytest.ini", "requirements.txt", "ruff.toml", "scripts", "tests")
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div,
             ast.Div: ast.Mult, ast.MatMult: None, ast.Pow: ast.Mult}
COMPARISONS = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE,
               ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
# what measures or draws says nothing of the model
LEFT_OUT = re.compile(r"perf_counter|process_time|\bplt\.|\bax\.|\bax\[|"
                      r"print\(|def \w*(seconds|timed|bytes|benchmark|report)")
# pytest with a limit of processor time, set in the child: JAX warns of forks
BOUNDED = """
import resource, sys
import pytest
seconds = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
sys.exit(pytest.main(sys.argv[2:]))
"""


class Mutant(NamedTuple):
    """One change of a lecture."""
    line: int           # in the lecture's source, from 1
    column: int         # in UTF-8 bytes
    kind: str           # which change
    function: str       # in whose body
    old: str            # source of the changed expression
    new: str


def offsets(source: str, node) -> tuple[int, int]:
    """Where a node's source starts and ends, in bytes of its cell."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return (starts[node.lineno - 1] + node.col_offset,
            starts[node.end_lineno - 1] + node.end_col_offset)


def is_source_of(text: str, node) -> bool:
    """Whether a node's place holds its source: not always in an f-string."""
    try:
        found = ast.parse(f"({text})", mode="eval").body
    except SyntaxError:
        return False
    return ast.dump(found) == ast.dump(node)


def changes(node):
    """Yield (kind, replacement) for each way to break one node."""
    def other(**fields):
        return type(node)(**{**dict(ast.iter_fields(node)), **fields})

    if isinstance(node, ast.BinOp):
        if new := OPERATORS.get(type(node.op)):
            kind = "sign" if isinstance(node.op, ast.Add | ast.Sub) \
                else "operator"
            yield kind, other(op=new())
        if isinstance(node.op, ast.Add | ast.Sub):
            yield "dropped term", node.left
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign", node.operand
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        if new := COMPARISONS.get(type(node.ops[0])):
            yield "comparison", other(ops=[new()])
    elif isinstance(node, ast.Call):
        for i, keyword in enumerate(node.keywords):
            value = keyword.value
            if keyword.arg == "axis" and isinstance(value, ast.Constant) \
                    and value.value in (0, 1):
                keywords = [*node.keywords]
                keywords[i] = ast.keyword("axis",
                                          ast.Constant(1 - value.value))
                yield "axis", other(keywords=keywords)
        name = getattr(node.func, "attr", "")
        swap = {"maximum": "minimum", "minimum": "maximum", "max": "min",
                "min": "max", "argmax": "argmin"}.get(name)
        if swap:
            yield "extremum", other(func=ast.Attribute(
                node.func.value, swap, ast.Load()))
    elif isinstance(node, ast.Subscript) and not isinstance(
            node.ctx, ast.Store):
        index = node.slice
        if isinstance(index, ast.Constant) and type(index.value) is int:
            yield "index", other(slice=ast.Constant(index.value + 1))
    elif isinstance(node, ast.Constant) and type(node.value) is float:
        if 0 < node.value < 1e-3:
            yield "tolerance", ast.Constant(node.value * 1e4)
        elif node.value:
            yield "constant", ast.Constant(node.value * 1.1)


def candidates(doc: str) -> list[tuple[Mutant, int, int, bytes]]:
    """Every mutant of a lecture, with its place in the source's bytes."""
    path = execution.source(doc)
    text = path.read_bytes()
    found = []
    for _, _, cell in lecture_loader.code_cells(path):
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:         # a magic
            continue
        start = text.find(cell.source.encode())
        if start < 0 or text.count(cell.source.encode()) > 1:
            continue
        above = text[:start]
        solution = above.count(b"{solution-start}") > above.count(
            b"{solution-end}")
        if solution:
            continue
        for function in tree.body:
            if not isinstance(function, ast.FunctionDef) or LEFT_OUT.search(
                    ast.get_source_segment(cell.source, function)):
                continue
            for statement in function.body:
                if isinstance(statement, ast.If) and any(
                        isinstance(s, ast.Raise) for s in statement.body):
                    continue        # the check of an argument
                for node in ast.walk(statement):
                    for kind, new in changes(node):
                        a, b = offsets(cell.source, node)
                        old = cell.source.encode()[a:b].decode()
                        if not is_source_of(old, node):
                            continue
                        code = ast.unparse(ast.fix_missing_locations(new))
                        row = text[:start + a].count(b"\n") + 1
                        found.append((
                            Mutant(row, node.col_offset, kind, function.name,
                                   old, code),
                            start + a, start + b, f"({code})".encode()))
    return found


def choose(found: list, number: int, seed: int) -> list:
    """Some of the mutants, of as many kinds and functions as there are."""
    rng = random.Random(seed)
    pool = rng.sample(found, len(found))
    used, chosen = Counter(), []
    while pool and len(chosen) < number:
        best = min(pool, key=lambda c: used[c[0].kind]
                   + 2 * used[c[0].function])
        pool.remove(best)
        used.update([best[0].kind, best[0].function])
        chosen.append(best)
    return chosen


def run(doc: str, change, limit: float, copy: Path) -> dict:
    """What the tests say of one mutant: its state, and which test spoke."""
    mutant, start, end, code = change
    text = execution.source(doc).read_bytes()
    target = copy / "lectures" / f"{doc}.md"
    part, slug = doc.split("/")
    target.write_bytes(text[:start] + code + text[end:])
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-c", BOUNDED, str(int(limit)),
             f"tests/{part}/test_{slug}.py", "-x", "-q", "-p",
             "no:cacheprovider"],
            cwd=copy, capture_output=True, text=True, timeout=10 * limit, env={
                **os.environ, "JAX_COMPILATION_CACHE_DIR": str(
                    execution.ROOT / "_build" / "mutation_cache"),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"})
    except subprocess.TimeoutExpired:
        state, by = "noticed", f"not done after {10 * limit:.0f} s"
    else:
        failed = re.search(r"^(?:FAILED|ERROR) \S*?::(.*?)(?: - |$)",
                           done.stdout, re.M)
        ended = done.returncode == -signal.SIGXCPU
        by = f"not done after {limit:.0f} s of processor time" if ended \
            else failed[1] if failed else ""
        state = "survived" if done.returncode == 0 else \
            "noticed" if ended else \
            "stopped" if "LectureError" in done.stdout else \
            "noticed" if failed else "broken"
    finally:
        target.write_bytes(text)
    return {**mutant._asdict(), "state": state, "by": by,
            "seconds": round(time.perf_counter() - begin, 1)}


# -- records ----------------------------------------------------------------

def folder() -> Path:
    """Where the results are kept."""
    return execution.ROOT / "tests" / "mutation"


def scores() -> dict[str, dict]:
    """The kept results, by page."""
    found = {}
    for path in sorted(folder().glob("*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        found |= {f"{path.stem}/{slug}": r for slug, r in kept.items()}
    return found


def equivalent(doc: str, mutant: dict) -> bool:
    """Whether a mutant is listed as one that changes no result."""
    path = folder() / "equivalent.toml"
    listed = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
    return any(e["function"] == mutant["function"] and e["old"] ==
               mutant["old"] and e["new"] == mutant["new"] and e["reason"]
               for e in listed.get(doc.split("/")[-1], []))


def count(doc: str, results: list[dict]) -> Counter:
    """How many mutants ended in each state, the equivalent ones apart."""
    return Counter("equivalent" if m["state"] == "survived"
                   and equivalent(doc, m) else m["state"] for m in results)


def score(count: Counter) -> float | None:
    """The share noticed, of those that ran and changed something."""
    told = count["noticed"] + count["survived"]
    return count["noticed"] / told if told else None


def fingerprint(doc: str) -> str:
    """Which version of a lecture was broken."""
    return hashlib.sha256(execution.source(doc).read_bytes()).hexdigest()[:12]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("page")
    parser.add_argument("--number", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=300)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    try:
        path = lecture_loader.path_of(options.page)
    except ValueError as error:
        parser.error(str(error))
    doc = str(path.relative_to(lecture_loader.LECTURES).with_suffix(""))
    found = candidates(doc)
    chosen = choose(found, options.number, options.seed)
    print(f"{doc}: {len(chosen)} of {len(found)} mutants", flush=True)
    if options.list:
        for mutant, *_ in chosen:
            print(f"  {mutant.line}: {mutant.kind} in {mutant.function}: "
                  f"{mutant.old} -> {mutant.new}")
        return 0
    results = []
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place)
        for name in FILES:
            source = execution.ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.
                                ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, copy / name)
        for change in chosen:
            results.append(run(doc, change, options.limit, copy))
            m = results[-1]
            print(f"  {m['state']:9} {m['seconds']:6.1f} s  line {m['line']}, "
                  f"{m['kind']} in {m['function']}: {m['old'][:40]!r} -> "
                  f"{m['new'][:40]!r}  {m['by']}", flush=True)
    total = count(doc, results)
    share = score(total)
    print(f"{doc}: {dict(total)}, score "
          f"{'none' if share is None else f'{share:.0%}'}")
    part, slug = doc.split("/")
    kept = folder() / f"{part}.json"
    kept.parent.mkdir(exist_ok=True)
    record = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    record[slug] = {"lecture": fingerprint(doc), "seed": options.seed,
                    "mutants": results}
    kept.write_text(json.dumps(record, ensure_ascii=False, indent=1,
                               sort_keys=True) + "\n", encoding="utf-8")
    return int(total["survived"] + total["broken"] > 0)


if __name__ == "__main__":
    sys.exit(main())
