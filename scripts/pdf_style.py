"""Sphinx extension: what the PDF needs beyond `_static/latex/book.sty`.

Nothing here touches the pages of the site.
"""
import sphinx_proof.nodes
from docutils import nodes
from sphinx import addnodes
from sphinx.builders.latex.nodes import thebibliography
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx_exercise.latex import LaTeXMarkup
from sphinx_jupyterbook_latex.nodes import HiddenCellNode, RootHeader


def mathematics(app, config):
    """Give LaTeX the macros that the pages' mathematics has."""
    lines = [config.latex_elements.get("preamble", "")]
    for name, macro in config.mathjax3_config["tex"]["macros"].items():
        body, arguments = (macro, 0) if isinstance(macro, str) else macro[:2]
        lines += [rf"\providecommand{{\{name}}}{{}}",
                  rf"\renewcommand{{\{name}}}[{arguments}]{{{body}}}"]
    config.latex_elements["preamble"] = "\n".join(lines)


def number_as_the_site(app, *_):
    """Number exercises and theorems by chapter, as figures are."""
    if app.builder.name == "latex":
        app.config.numfig_secnum_depth = 1


def number_as_latex(app, *_):
    """Count the part among the levels again: the writer takes it off."""
    if app.builder.name == "latex":
        app.config.numfig_secnum_depth = 2


def page_of(env, node, tag):
    """The page that a theorem of the assembled book comes from."""
    return node["docname"]


class Unfold(SphinxPostTransform):
    """Print the code that the site folds away: paper has no button."""
    builders = ("latex",)
    default_priority = 300      # before Jupyter Book drops it

    def run(self):
        for cell in self.document.findall(nodes.container):
            cell["classes"] = [c for c in cell["classes"]
                               if not c.startswith("tag_hide-")]


class TheoremPages(SphinxPostTransform):
    """Note on each theorem which page it comes from."""
    builders = ("latex",)
    default_priority = 500

    def run(self):
        for page in self.document.findall(addnodes.start_of_file):
            for node in page.findall(nodes.Element):
                if "realtype" in node:
                    node["docname"] = page["docname"]


class Proofs(SphinxPostTransform):
    """Set a proof without a box, from its first word to an open square."""
    builders = ("latex",)
    default_priority = 500

    def run(self):
        for proof in list(self.document.findall(
                sphinx_proof.nodes.proof_node)):
            box = proof[0]
            first, last = box[0], box[-1]
            word, _, rest = first[0].astext().partition(" ")
            first[0:1] = [nodes.emphasis(text=word), nodes.Text(f" {rest}")]
            if isinstance(last, nodes.paragraph):
                last += nodes.raw("", r"\hfill\(\square\)", format="latex")
            proof.children = box.children


class LandingPage(SphinxPostTransform):
    """Make the landing page a foreword: no cards, no second contents."""
    builders = ("latex",)
    default_priority = 710      # after Jupyter Book has arranged the pages

    def run(self):
        root = self.config.root_doc
        page = next(s for s in self.document.findall(nodes.section)
                    if s.get("docname") == root)
        title = page.next_node(nodes.title).astext()
        labels = "".join(rf"\label{{\detokenize{{{root}:{i}}}}}"
                         for i in page["ids"])
        kept, header = [], None
        for node in page.children:
            classes = node.get("classes", [])
            if isinstance(node, RootHeader):
                header = node
            elif "latex-tableofcontents" in classes:
                header = None
            elif "sd-container-fluid" not in classes:
                if header and not isinstance(node, HiddenCellNode):
                    kept.append(header)
                    header = None
                kept.append(node)
        page.children = kept
        page.insert(1, nodes.raw("", (
            rf"\chapter*{{{title}}}\phantomsection{labels}"
            rf"\addcontentsline{{toc}}{{chapter}}{{{title}}}"), format="latex"))


class Bibliography(SphinxPostTransform):
    """Put the list of references into its own page, not at the book's end."""
    builders = ("latex",)
    default_priority = 760      # after Sphinx has gathered the entries

    def run(self):
        for entries in list(self.document.findall(thebibliography)):
            entries.parent.remove(entries)
            for page in self.document.findall(addnodes.start_of_file):
                if page["docname"] == entries[0]["docname"]:
                    page.next_node(nodes.section).append(entries)


def setup(app):
    # the search in sphinx-proof misses pages with an apostrophe in the title
    sphinx_proof.nodes.find_parent = page_of
    # exercises and solutions in a style of their own
    LaTeXMarkup.visit_admonition = lambda _: "\n\\begin{exercisebox}"
    LaTeXMarkup.depart_admonition = lambda _: "\\end{exercisebox}\n"
    app.add_post_transform(Unfold)
    app.connect("config-inited", mathematics)
    app.connect("builder-inited", number_as_the_site, priority=900)
    app.connect("env-check-consistency", number_as_latex)
    app.add_post_transform(TheoremPages)
    app.add_post_transform(Proofs)
    app.add_post_transform(LandingPage)
    app.add_post_transform(Bibliography)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
