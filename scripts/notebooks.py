"""Write one Jupyter notebook a lecture into _build/notebooks.

usage: notebooks.py [OUTPUT]

OUTPUT is another folder to write them to. SOLUTIONS=hidden in the environment
leaves solutions out.
"""
import argparse
import shutil
import sys
from pathlib import Path

import build
import execution
import hidden_solutions
import notebook_builder


def files() -> dict[str, str]:
    """The notebook of each page that has code, as `part/slug.ipynb`."""
    return {doc: f"{doc}.ipynb" for doc in execution.notebooks()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", nargs="?", type=Path,
                        default=build.BUILD / "notebooks")
    options = parser.parse_args()
    try:
        hidden_solutions.hidden()
    except ValueError as error:
        parser.error(str(error))
    name = notebook_builder.NotebookBuilder.name
    with build.alone():
        # captions and numbers hang on outputs, so every cell has run
        with build.timed("execution"):
            if execution.execute(execution.notebooks()):
                return 1
        with build.timed("notebooks"):
            written = build.BUILD / name
            shutil.rmtree(written, ignore_errors=True)
            status = build.render(
                build.ROOT / "_toc.yml", build.ROOT, "--builder", "custom",
                "--custom-builder", name, "-W", "-n", "--keep-going")
        if status:
            return status
        # the notebooks alone: extensions leave files of the site beside them
        shutil.rmtree(options.output, ignore_errors=True)
        for file in files().values():
            path = options.output / file
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(written / file, path)
    print(f"{len(files())} notebooks in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
