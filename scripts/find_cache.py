"""Find the workflow run whose execution cache may be published.

It is the newest successful run of `cache.yml` on the book's branch that the
schedule or a maintainer started. A run that a pull request started never
counts: it may bear the same branch's name, and hold anything.

Writes `run=NUMBER`, or `run=` if there is none, to the file that the variable
GITHUB_OUTPUT names. Needs gh, and GH_TOKEN with `actions: read`. Python's
standard library is enough.
"""
import datetime
import json
import os
import re
import subprocess
import sys
from pathlib import Path

CONFIG = Path(__file__).resolve().parent.parent / "_config.yml"
TRUSTED = ("schedule", "workflow_dispatch")
KEPT = datetime.timedelta(days=28)      # artifacts are kept for thirty days


def branch() -> str:
    """The branch that the book is written on."""
    return re.search(r"^  branch: *(\S+)", CONFIG.read_text("utf-8"), re.M)[1]


def newest(runs: list[dict], now: datetime.datetime) -> str:
    """The number of the newest run that may be used, "" if there is none."""
    fit = [(r["createdAt"], r["databaseId"]) for r in runs
           if r["event"] in TRUSTED
           and now - datetime.datetime.fromisoformat(r["createdAt"]) < KEPT]
    return str(max(fit)[1]) if fit else ""


def main() -> int:
    listed = subprocess.run(
        ["gh", "run", "list", "--workflow", "cache.yml", "--branch", branch(),
         "--status", "success", "--limit", "50",
         "--json", "databaseId,event,createdAt"],
        stdout=subprocess.PIPE, text=True)
    if listed.returncode:
        return listed.returncode            # gh has said why
    run = newest(json.loads(listed.stdout), datetime.datetime.now(datetime.UTC))
    print(f"execution cache of run {run}" if run else
          "no execution cache of the last four weeks: every lecture will run")
    if "GITHUB_OUTPUT" in os.environ:
        with open(os.environ["GITHUB_OUTPUT"], "a") as output:
            output.write(f"run={run}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
