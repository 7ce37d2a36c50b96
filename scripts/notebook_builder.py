"""Sphinx extension: the builder `ipynb`, one .ipynb a page that has code.

It works from the same resolved document trees as the HTML pages, so numbers,
citations and references are those of the site. What Jupyter and Colab cannot
show becomes plain Markdown: exercises, solutions and theorems get headings or
quotations, equations their `\\tag`, and internal links go to the site. Code
cells are those of the lecture, without outputs. The last cell recomputes three
numbers of the results ledger in the reader's session.

With SOLUTIONS=hidden in the environment, solutions are left out.
"""
import ast
import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
from docutils import nodes
from IPython.core.inputtransformer2 import TransformerManager
from myst_nb.core.render import base_render_priority
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sphinx.builders import Builder
from sphinx.util.math import get_node_equation_number
from sphinx_exercise.nodes import is_exercise_node, is_solution_node

import execution
import hidden_solutions
import lecture_loader
import ledger

# What a notebook finds on Colab: the scientific stack, and the kernel's own.
COLAB = {"numpy", "scipy", "matplotlib", "pandas", "jax", "jaxlib", "optax",
         "keras", "statsmodels", "seaborn", "sympy", "numba",
         "ipykernel", "ipython", "psutil"}

METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3",
                   "language": "python"},
    "language_info": {"name": "python", "file_extension": ".py",
                      "mimetype": "text/x-python",
                      "pygments_lexer": "ipython3"},
}


# -- what a lecture needs ---------------------------------------------------

def pins() -> dict[str, list[str]]:
    """The lines of requirements.txt, by the package that they pin.

    A package has more than one line if its version depends on Python's.
    """
    found = {}
    text = (execution.ROOT / "requirements.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if match := re.match(r"([A-Za-z0-9_.-]+)==", line):
            found.setdefault(normal(match[1]), []).append(line.strip())
    return found


def normal(package: str) -> str:
    """The name of a package as registries compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def imports(sources: list[str]) -> set[str]:
    """The top-level modules that code cells import, magics set aside."""
    found = set()
    for source in sources:
        code = TransformerManager().transform_cell(source)
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split(".")[0])
    return found


def install_cell(sources: list[str], pinned=None, distributions=None):
    """The cell that installs what Colab lacks, or None if nothing is missing.

    Raises `ValueError` if a module belongs to no pinned package.
    """
    pinned = pins() if pinned is None else pinned
    distributions = distributions or packages_distributions()
    lines = set()
    for module in imports(sources) - sys.stdlib_module_names:
        packages = {normal(p) for p in distributions.get(module, [module])}
        if packages & COLAB:
            continue
        known = sorted(packages & pinned.keys())
        if not known:
            raise ValueError(f"module must belong to a package that "
                             f"requirements.txt pins, got {module!r}")
        lines |= {f'"{line}"' for line in pinned[known[0]]}
    if not lines:
        return None
    return new_code_cell("# what Colab lacks, in the version that made the "
                         "book\n%pip install -q " + " ".join(sorted(lines)))


# -- whether the reader's machine reproduces the book ------------------------

YES = "This session reproduces the book."
NO = "This session does not reproduce the book."

SELF_CHECK = """\
# Three numbers of this page: yours, the book's, and how far they may differ.
import platform

import jax

numbers = [
{rows},
]
made_with = [
{pins},
]
differs = False
for name, yours, book, allowed in numbers:
    wrong = not abs(float(yours) - book) <= allowed     # also if it is NaN
    differs |= wrong
    print(f"{{'DIFFERS' if wrong else 'ok':9}}{{name}}: {{float(yours):.10g}}, "
          f"in the book {{book:.10g}} to within {{allowed:.1g}}")
print(f"JAX {{jax.__version__}}, Python {{platform.python_version()}}, "
      f"{{jax.devices()[0].device_kind}}, by default "
      f"{{jax.numpy.zeros(()).dtype}}")
if differs:
    print("{no}")
    print("Restart and run all cells in order. If it still does not, install "
          "what made the book, restart and run again:")
    print("%pip install", *(f'"{{pin}}"' for pin in made_with))
else:
    print("{yes}")"""


def self_check_cell(entries: list[ledger.Entry]):
    """The cell in which a notebook's reader checks three numbers of the page.

    They are the first three of the page's entries in the ledger.
    """
    rows = ",\n".join(f"    ({json.dumps(e.name, ensure_ascii=False)},\n"
                      f"     {e.expression},\n"
                      f"     {e.value!r}, {e.tolerance:.3g})"
                      for e in entries[:3])
    made = ",\n".join(f'    "{line}"' for package in ("jax", "numpy")
                      for line in pins().get(package, []))
    return new_code_cell(SELF_CHECK.format(rows=rows, pins=made, yes=YES,
                                           no=NO))


# -- Markdown ---------------------------------------------------------------

class Markdown:
    """Markdown that Jupyter and Colab show, from nodes of a page's tree."""

    def __init__(self, builder, doc: str):
        self.builder, self.doc = builder, doc
        self.in_table = self.in_quote = self.in_title = False
        macros = (builder.config.mathjax3_config or {}).get("tex", {}).get(
            "macros", {})
        self.macros = {rf"\{name}": value for name, value in macros.items()}

    # numbers, as on the site

    def number(self, kind: str, node) -> str:
        """The number of a figure, table, theorem ... or an empty string."""
        numbers = self.builder.env.toc_fignumbers.get(self.doc, {})
        for name in node["ids"]:
            if found := numbers.get(kind, {}).get(name):
                return ".".join(map(str, found))
        return ""

    def label(self, kind: str, node) -> str:
        """As `**Fig. 4.1** `, empty for what has no number."""
        number = self.number(kind, node)
        if not number:
            return ""
        return f"**{self.builder.config.numfig_format[kind] % number}** "

    def heading(self, title, section) -> str:
        """The text of a section's title, with its number."""
        numbers = self.builder.env.toc_secnumbers.get(self.doc, {})
        place = "" if isinstance(section.parent, nodes.document) else \
            f"#{section['ids'][0]}"
        number = ".".join(map(str, numbers.get(place) or ()))
        suffix = self.builder.config.html_secnumber_suffix
        return (f"{number}{suffix}" if number else "") + self.inline(title)

    # inside a paragraph

    def inline(self, node) -> str:
        """The Markdown of a node's children, on one line."""
        return "".join(self.span(child) for child in node.children)

    def span(self, node) -> str:
        for kind in type(node).__mro__:
            if method := getattr(self, f"span_{kind.__name__}", None):
                return method(node)
        raise self.unknown(node)

    def unknown(self, node) -> ValueError:
        return ValueError(f"{self.doc}: no Markdown is known for the node "
                          f"{type(node).__name__}: {node.astext()[:60]!r}")

    def span_Text(self, node) -> str:
        text = re.sub(r"\s+", " ", node.astext())
        return re.sub(r"([\\`*_$<>\[\]|~])", r"\\\1", text)

    def span_emphasis(self, node) -> str:
        return f"*{self.inline(node)}*"

    def span_strong(self, node) -> str:
        return f"**{self.inline(node)}**"

    def span_literal(self, node) -> str:
        text = re.sub(r"\s+", " ", node.astext())
        if self.in_table:
            text = text.replace("|", r"\|")
        fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
        pad = " " if "`" in text else ""
        return f"{fence}{pad}{text}{pad}{fence}"

    def span_math(self, node) -> str:
        return f"${self.tex(node.astext())}$"

    def tex(self, text: str) -> str:
        """TeX without the book's own macros, safe where it stands."""
        for name, value in self.macros.items():
            used = re.compile(re.escape(name) + r"(?![A-Za-z])")
            if used.search(text):
                if isinstance(value, str):
                    text = used.sub(lambda _, v=value: f"{{{v}}}", text)
                else:
                    marks = "".join(f"#{i + 1}" for i in range(value[1]))
                    text = rf"\def{name}{marks}{{{value[0]}}}{text}"
        if self.in_table:
            text = re.sub(r"\\?\|", lambda m: r"\Vert " if len(m[0]) > 1
                          else r"\vert ", text)
        return re.sub(r"\s+", " ", text).strip()

    def span_reference(self, node) -> str:
        text = self.inline(node)
        if self.in_title:
            return text
        before, text, after = re.fullmatch(r"( *)(.*?)( *)", text).groups()
        return f"{before}[{text}]({self.address(node)}){after}"

    def address(self, node) -> str:
        if "refuri" in node:
            return node["refuri"].replace(" ", "%20").replace(
                ")", "%29").replace("(", "%28")
        return f"{self.builder.get_target_uri(self.doc)}#{node['refid']}"

    def span_subscript(self, node) -> str:
        return f"<sub>{self.inline(node)}</sub>"

    def span_superscript(self, node) -> str:
        return f"<sup>{self.inline(node)}</sup>"

    def span_footnote_reference(self, node) -> str:
        return f"<sup>{node.astext()}</sup>"

    def span_image(self, node) -> str:
        return self.block_image(node)

    def span_inline(self, node) -> str:
        return self.inline(node)

    span_title_reference = span_emphasis
    span_abbreviation = span_inline

    def nothing(self, node) -> str:
        return ""

    span_target = span_index = span_comment = span_raw = nothing
    span_problematic = nothing

    # blocks

    def blocks(self, children) -> str:
        """The Markdown of blocks, with empty lines between them."""
        found = [self.block(child) for child in children]
        return "\n\n".join(text for text in found if text.strip())

    def block(self, node) -> str:
        if "realtype" in node:
            return self.theorem(node)
        for kind in type(node).__mro__:
            if method := getattr(self, f"block_{kind.__name__}", None):
                return method(node)
        raise self.unknown(node)

    def block_paragraph(self, node) -> str:
        text = self.inline(node).strip()
        # what would start a list or a heading starts none
        return re.sub(r"^([#+-]|\d+(?=[.)]\s))", self.escape, text)

    @staticmethod
    def escape(match) -> str:
        text = match[1]
        return text + "\\" if text.isdigit() else "\\" + text

    def block_math_block(self, node) -> str:
        parts = [p.strip() for p in re.split(r"\n\s*\n", node.astext())
                 if p.strip()]
        if not node.get("nowrap"):
            parts = [rf"\begin{{split}}{p}\end{{split}}" if r"\\" in p else p
                     for p in parts]
            if len(parts) > 1:
                parts = [r"\begin{gathered}" + r"\\ ".join(parts)
                         + r"\end{gathered}"]
        tex = self.tex("\n".join(parts))
        # as on the site: what brings its own environment has no number
        if node["ids"] and node.get("number") and not node.get("nowrap"):
            number = get_node_equation_number(self, node)
            tex += rf" \tag{{{number}}}"
        # one line: the sign of a quotation must not stand in a formula
        return f"$$ {tex} $$" if self.in_quote else f"$$\n{tex}\n$$"

    def block_literal_block(self, node) -> str:
        language = node.get("language", "")
        language = language if language in ("python", "bash", "json") else ""
        text = node.astext().strip("\n")
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)),
                                     default=0))
        return f"{fence}{language}\n{text}\n{fence}"

    def block_bullet_list(self, node) -> str:
        return self.items(node, lambda i: "- ")

    def block_enumerated_list(self, node) -> str:
        start = node.get("start", 1)
        return self.items(node, lambda i: f"{start + i}. ")

    def items(self, node, mark) -> str:
        found = []
        for i, item in enumerate(node.children):
            text = self.blocks(item.children)
            indent = " " * len(mark(i))
            found.append(mark(i) + text.replace("\n", "\n" + indent))
        tight = all(len(item) == 1 for item in node.children)
        text = ("\n" if tight else "\n\n").join(found)
        return re.sub(r"^ +$", "", text, flags=re.M)

    def block_definition_list(self, node) -> str:
        found = []
        for item in node.children:
            for part in item.children:
                found.append(f"**{self.inline(part)}**"
                             if isinstance(part, nodes.term)
                             else self.blocks(part.children))
        return "\n\n".join(found)

    def block_field_list(self, node) -> str:
        return "\n\n".join(
            f"**{self.inline(field[0])}**: {self.blocks(field[1].children)}"
            for field in node.children)

    def block_block_quote(self, node) -> str:
        return self.quote(node.children)

    def quote(self, children, title: str = "") -> str:
        outer, self.in_quote = self.in_quote, True
        text = self.blocks(children)
        self.in_quote = outer
        text = f"**{title}**\n\n{text}" if title else text
        return re.sub(r"^", "> ", text, flags=re.M).replace("> \n", ">\n")

    def block_Admonition(self, node) -> str:
        title, body = self.titled(node)
        return self.quote(body, title)

    block_system_message = nothing

    def titled(self, node) -> tuple[str, list]:
        """The title of an admonition, and the rest."""
        title, *rest = node.children or [None]
        if isinstance(title, nodes.title):
            self.in_title = True
            text = self.inline(title).strip()
            self.in_title = False
            return text, rest
        kind = type(node).__name__
        return "" if kind == "admonition" else kind.title(), node.children

    def exercise(self, node, title: str) -> str:
        """The heading of an exercise or a solution, as on the site."""
        if number := self.number("exercise", node):
            name = self.builder.config.numfig_format["exercise"] % number
            return f"{name} {title}".strip()
        return title

    def block_proof_node(self, node) -> str:
        return self.blocks(node[0].children if len(node) else [])

    def theorem(self, node) -> str:
        title, body = self.titled(node)
        number = self.number(node.get("countertype", ""), node)
        name = " ".join(filter(None, [node["realtype"].title(), number, title]))
        return self.quote(body, name)

    def block_section(self, node) -> str:
        return self.blocks(node.children)

    block_container = block_compound = block_legend = block_section
    block_note = block_Admonition

    def block_figure(self, node) -> str:
        return self.blocks(c for c in node.children
                           if not isinstance(c, nodes.caption)) + \
            "\n\n" + self.caption(node)

    def caption(self, figure) -> str:
        """The number and caption of a figure, empty without a caption."""
        return "\n\n".join(self.label("figure", figure) + self.inline(c)
                           for c in figure.findall(nodes.caption))

    def block_image(self, node) -> str:
        name = self.builder.images.get(node["uri"])
        address = f"{self.builder.site}_images/{name}" if name else node["uri"]
        alt = re.sub(r"([\[\]])", r"\\\1", node.get("alt", ""))
        return f"![{alt}]({address})"

    def block_table(self, node) -> str:
        outer, self.in_table = self.in_table, True
        rows = [[" ".join(self.cell(entry)) for entry in row.children]
                for row in node.findall(nodes.row)]
        self.in_table = outer
        if not any(node.findall(nodes.thead)):
            rows.insert(0, [""] * len(rows[0]))
        rows.insert(1, ["---"] * len(rows[0]))
        title = "".join(self.label("table", node) + self.inline(t)
                        for t in node.findall(nodes.title))
        lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        return f"{title}\n\n{lines}".strip()

    def cell(self, entry) -> list[str]:
        """A cell of a table; its blocks stand on one line."""
        outer, self.in_quote = self.in_quote, True
        text = self.blocks(entry.children)
        self.in_quote = outer
        return [re.sub(r"\n+", "<br>", text)]

    def block_footnote(self, node) -> str:
        number, *body = node.children
        return f"<sup>{number.astext()}</sup> {self.blocks(body)}"

    def block_rubric(self, node) -> str:
        return f"**{self.inline(node)}**"

    def block_transition(self, node) -> str:
        return "---"

    block_target = block_index = block_comment = block_raw = nothing
    block_meta = block_substitution_definition = nothing


# -- notebooks --------------------------------------------------------------

def is_code(node) -> bool:
    return isinstance(node, nodes.container) and \
        node.get("nb_element") == "cell_code"


class Notebook:
    """One page as a notebook: its text in Markdown, its code as it is."""

    def __init__(self, builder, doc: str, tree, hide_solutions: bool):
        self.markdown = Markdown(builder, doc)
        self.hide_solutions = hide_solutions
        self.cells, self.text = [], []
        path = execution.source(doc)
        self.code = {i: cell for i, _, cell in lecture_loader.code_cells(path)}
        sources = [cell.source for cell in self.code.values()]
        self.introduce(builder, doc)
        try:
            if cell := install_cell(sources):
                self.cells.append(cell)
        except ValueError as error:
            raise ValueError(f"{doc}: {error}") from None
        self.flow(tree.children, 0)
        self.take(max(self.code, default=0))
        self.flush()
        self.conclude(doc)

    def conclude(self, doc: str) -> None:
        """The last cells: whether this session reproduces the book."""
        if entries := ledger.read([doc])[doc]:
            self.head("Does your session reproduce the book?", 2)
            self.text.append(
                "The next cell compares three numbers that this notebook has "
                "just computed with those of the book's [results ledger]"
                f"({self.markdown.builder.site}other/robustness.html). Run it "
                "after all the others.")
            self.flush()
            self.cells.append(self_check_cell(entries))

    def introduce(self, builder, doc: str) -> None:
        """The first cell: what this is, and where its page is."""
        title = self.markdown.inline(builder.env.titles[doc])
        self.text.append(
            f"*This notebook belongs to [{builder.config.html_title}]"
            f"({builder.site}). Its page, [{title}]"
            f"({builder.get_target_uri(doc)}), shows it executed, with all "
            "figures. References lead to the site.*")
        self.flush()

    def notebook(self) -> nbformat.NotebookNode:
        """The notebook, with the numbers of its cells for identifiers."""
        for i, cell in enumerate(self.cells):
            cell["id"] = f"cell-{i}"
        return new_notebook(cells=self.cells, metadata={
            **METADATA, "colab": {"provenance": [], "toc_visible": True}})

    def flush(self) -> None:
        """End the Markdown cell."""
        text = "\n\n".join(t for t in self.text if t.strip())
        if text:
            self.cells.append(new_markdown_cell(text))
        self.text = []

    def take(self, last: int) -> None:
        """Append the lecture's code cells up to this one."""
        for i in [i for i in self.code if i <= last]:
            self.flush()
            cell = self.code.pop(i)
            tags = list(cell.metadata.get("tags", []))
            metadata = {"tags": tags} if tags else {}
            if {"hide-input", "hide-cell"} & set(tags):
                metadata |= {"jupyter": {"source_hidden": True},
                             "cellView": "form"}
            self.cells.append(new_code_cell(cell.source, metadata=metadata))

    def head(self, text: str, depth: int) -> None:
        """Start a Markdown cell with a heading."""
        self.flush()
        self.text.append(f"{'#' * min(depth, 6)} {text}")

    def flow(self, children, depth: int) -> None:
        """Append nodes; a heading starts a Markdown cell of its own."""
        for node in children:
            if is_code(node):
                self.take(int(node["cell_index"]))
                for figure in node.findall(nodes.figure):
                    self.text.append(self.markdown.caption(figure))
                    self.flush()
            elif is_solution_node(node) and self.hide_solutions:
                for code in node.findall(is_code):
                    for i in [i for i in self.code
                              if i <= int(code["cell_index"])]:
                        del self.code[i]
            elif is_exercise_node(node) or is_solution_node(node):
                title, body = self.markdown.titled(node)
                self.head(self.markdown.exercise(node, title), depth + 1)
                self.flow(body, depth + 1)
                self.flush()
            elif isinstance(node, nodes.section):
                title, *body = node.children
                if isinstance(title, nodes.title):
                    self.head(self.markdown.heading(title, node), depth + 1)
                    self.flow(body, depth + 1)
                else:
                    self.flow(node.children, depth)
            elif any(node.findall(is_code)):
                title, body = self.markdown.titled(node)
                self.text.append(f"**{title}**" if title else "")
                self.flow(body, depth)
            else:
                self.text.append(self.markdown.block(node))


class NotebookBuilder(Builder):
    """Writes `<part>/<slug>.ipynb` for each page that has code."""
    name = "ipynb"
    format = "notebook"
    supported_image_types = ["image/svg+xml", "image/png", "image/jpeg",
                             "image/gif"]

    def init(self) -> None:
        self.site = self.config.html_baseurl.rstrip("/") + "/"
        self.docs = set(execution.notebooks())
        self.hide_solutions = hidden_solutions.hidden()

    def get_outdated_docs(self) -> Iterator[str]:
        yield from sorted(self.docs & self.env.found_docs)

    def get_target_uri(self, docname: str, typ: str | None = None) -> str:
        return f"{self.site}{docname}.html"

    def get_relative_uri(self, from_: str, to: str,
                         typ: str | None = None) -> str:
        return self.get_target_uri(to, typ)

    def prepare_writing(self, docnames: set[str]) -> None:
        pass

    def write_doc(self, docname: str, doctree) -> None:
        if docname not in self.docs:
            return
        self.fignumbers = self.env.toc_fignumbers.get(docname, {})
        self.post_process_images(doctree)
        notebook = Notebook(self, docname, doctree,
                            self.hide_solutions).notebook()
        path = Path(self.outdir) / f"{docname}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.validate(notebook)
        nbformat.write(notebook, path)

    def finish(self) -> None:
        pass


def same_outputs_as_html(app, config) -> None:
    """Let this builder choose among a cell's outputs as the pages do."""
    config.nb_mime_priority_overrides = [
        *config.nb_mime_priority_overrides,
        *((NotebookBuilder.name, kind, priority) for kind, priority
          in base_render_priority()["html"].items())]


def setup(app):
    app.add_builder(NotebookBuilder)
    app.connect("config-inited", same_outputs_as_html, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
