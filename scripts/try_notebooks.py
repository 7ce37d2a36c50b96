"""Run notebooks from start to end in an environment like Colab's.

usage: try_notebooks.py [PAGE ...]     as `part/slug`

The environment is made anew each time and removed afterwards. It holds what
Colab has and no more, in the versions of requirements.txt; a package of Colab's
that is not pinned there is used by no lecture. Three notebooks run in it: two
of the book's, and one made up here that has to install something first.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

import build
import execution
import notebook_builder

LECTURES = ["introduction/about", "introduction/jax_intro"]


def make_environment(place: Path) -> Path:
    """A fresh environment with a kernel `colab`; its Python."""
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python = place / "bin" / "python"
    pins = execution.ROOT / "requirements.txt"
    stack = sorted(notebook_builder.COLAB & notebook_builder.pins().keys())
    uv = shutil.which("uv", path=os.path.dirname(sys.executable))
    install = [uv, "pip", "install", "--python", python] if uv else \
        [python, "-m", "pip", "install"]
    subprocess.run([*install, "-q", "-c", pins, *stack], check=True)
    kernel = place / "share" / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({
        "argv": [str(python), "-m", "ipykernel_launcher", "-f",
                 "{connection_file}"],
        "display_name": "Colab", "language": "python"}))
    # so that the kernel's own `%pip` and `!` find this environment
    os.environ["PATH"] = f"{python.parent}:{os.environ['PATH']}"
    os.environ["JUPYTER_PATH"] = str(place / "share" / "jupyter")
    return python


def made_up() -> nbformat.NotebookNode:
    """A notebook whose one import is pinned, but not on Colab."""
    source = ("import bs4\n\nassert bs4.BeautifulSoup('<p>installed</p>', "
              "'html.parser').p.text == 'installed'")
    return new_notebook(cells=[notebook_builder.install_cell([source]),
                               new_code_cell(source)])


def run(name: str, notebook: nbformat.NotebookNode) -> bool:
    """Run a notebook and say how long it took; whether it came to its end."""
    start = time.perf_counter()
    client = NotebookClient(notebook, kernel_name="colab", timeout=600,
                            extra_arguments=["--log-level=ERROR"])
    try:
        client.execute()
    except CellExecutionError as error:
        print(f"FAILED {name}\n{execution.plain(str(error))}", flush=True)
        return False
    print(f"  ok {name} {time.perf_counter() - start:.1f} s", flush=True)
    return True


def main() -> int:
    books = {doc: build.BUILD / "notebooks" / f"{doc}.ipynb"
             for doc in sys.argv[1:] or LECTURES}
    for doc, path in books.items():
        if not path.exists():
            print(f"there is no notebook of {doc}: run `make notebooks` first",
                  file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory(dir=build.BUILD) as place:
        with build.timed("environment"):
            python = make_environment(Path(place))
        if not subprocess.run([python, "-c", "import bs4"],
                              capture_output=True).returncode:
            print("the environment has bs4 before it was installed",
                  file=sys.stderr)
            return 1
        done = [run("a made-up lecture that installs a package", made_up())]
        done += [run(doc, nbformat.read(path, as_version=4))
                 for doc, path in books.items()]
    return int(not all(done))


if __name__ == "__main__":
    sys.exit(main())
