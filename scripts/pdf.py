"""Build the book as one PDF: execute what changed, then Sphinx, then XeLaTeX.

usage: pdf.py [--jobs N]

The PDF is written to _build under the repository's name. The build fails where
LaTeX reports an error or a character that no font holds.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys

import build
import execution
import pdf_needs

LATEX = build.BUILD / "latex"
NAME = execution.config()["repository"]["url"].rstrip("/").split("/")[-1]
OUTPUT = build.BUILD / f"{NAME}.pdf"


def typeset() -> int:
    """Run XeLaTeX, and the index, as often as it takes; the exit status."""
    book = execution.config()["latex"]["latex_documents"]["targetname"]
    # log lines in one piece, so that complaints can be found and shown whole
    env = {**os.environ, "max_print_line": "10000", "error_line": "254",
           "LATEXOPTS": "", "XINDYOPTS": "-L english -C utf8 -M sphinx.xdy"}
    status = subprocess.run(
        ["latexmk", "-silent", "-xelatex", "-interaction=nonstopmode",
         "-file-line-error", book], cwd=LATEX, env=env,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL).returncode
    log = (LATEX / book).with_suffix(".log").read_text(
        encoding="utf-8", errors="replace")
    wrong = complaints(log)
    for line in wrong:
        print(line, file=sys.stderr)
    if any(line.startswith("Missing character") for line in wrong):
        print("_static/latex/book.sty says how to give a range of characters "
              "another font", file=sys.stderr)
    if wrong or status:
        print(f"LaTeX failed; its log is {LATEX.relative_to(execution.ROOT)}"
              f"/{book[:-4]}.log", file=sys.stderr)
        return 1
    shutil.copy((LATEX / book).with_suffix(".pdf"), OUTPUT)
    print(f"{OUTPUT.relative_to(execution.ROOT)}: "
          f"{OUTPUT.stat().st_size / 2**20:.1f} MiB")
    return 0


def complaints(log: str) -> list[str]:
    """The lines of a LaTeX log that make the build fail, each once.

    They are errors and characters that a font lacks or, where there are none
    of these, references and citations that lead nowhere.
    """
    return list(dict.fromkeys(
        re.findall(r"^(?:!.*|\S+:\d+: .*|Missing character:.*)$", log, re.M)
        or re.findall(r"^LaTeX Warning: (?:Reference|Citation|Hyper reference)"
                      r" .*$", log, re.M)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, help="lectures at a time")
    options = parser.parse_args()
    missing = pdf_needs.missing()
    if missing:
        print("The PDF needs programs and fonts that are not on this machine. "
              "On Debian and Ubuntu, this installs them:\n\n"
              "    apt-get install --no-install-recommends "
              f"{' '.join(missing)}\n", file=sys.stderr)
        return 1
    with build.alone():
        OUTPUT.unlink(missing_ok=True)
        with build.timed("execution"):
            if execution.execute(execution.notebooks(), options.jobs):
                return 1
        with build.timed("writing LaTeX"):
            shutil.rmtree(LATEX, ignore_errors=True)
            if build.render(execution.ROOT / "_toc.yml", execution.ROOT,
                            "--builder", "latex", "--all", "-W", "-n",
                            "--keep-going"):
                return 1
        with build.timed("typesetting"):
            return typeset()


if __name__ == "__main__":
    sys.exit(main())
