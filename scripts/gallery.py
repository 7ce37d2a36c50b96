"""Sphinx extension: what a lecture takes, and the gallery on the landing page.

Each lecture's box "At a glance" opens with its question and gets a last line,
how long the page took to execute. The directive `gallery` shows a card a
lecture: one of its figures, its title, its question, its running time. The
figures are those of the build, and the times come from the records that
`execution.py` keeps in the build's cache. `gallery_pictures` in `_config.yml`
names the figure where it is not the lecture's first.
"""
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import execution

BOX, QUESTION = "At a glance", "Question"


class Gallery(nodes.General, nodes.Element):
    """Where the gallery goes; it is filled when every page has been read."""


class Picture(nodes.image):
    """An image that a browser fetches when it comes into sight."""


class Directive(SphinxDirective):
    """The directive `gallery`: no arguments, no content."""

    def run(self):
        return [Gallery()]


def box(document) -> nodes.bullet_list | None:
    """The list in a page's box, if it has one."""
    for admonition in document.findall(nodes.admonition):
        if admonition[0].astext() == BOX:
            return next(admonition.findall(nodes.bullet_list), None)
    return None


def question(document) -> str | None:
    """The question of a lecture, None for any other page."""
    items = box(document)
    name, _, text = items[0].astext().partition(": ") if items else ("",) * 3
    return text if name == QUESTION else None


def picture(document, name: str | None) -> Picture:
    """The figure of that name, or the first, as SVG.

    Raises `ValueError` if the page has no such figure.
    """
    for figure in document.findall(nodes.figure):
        if name in (None, *figure["names"]):
            for image in figure.findall(nodes.image):
                if image["uri"].endswith(".svg"):
                    return Picture("", **image.attributes)
    raise ValueError(f"gallery: {document['source']} has no figure "
                     f"{name or 'at all'}")


def running_time(record: dict | None) -> str:
    """How long a page took and on what, in words; empty if it never ran."""
    if not record:
        return ""
    device = record["environment"]
    name = "a CPU" if device["backend"] == "cpu" else device["device"]
    return f"{record['execution_seconds']:.0f} s on {name}"


def add_running_time(document, record: dict | None) -> None:
    """Put the last line into a lecture's box."""
    items = box(document)
    if question(document) and (text := running_time(record)):
        if (compiling := record.get("compile_seconds")) is not None:
            text += (", with the start of Python and "
                     f"{compiling:.0f} s of compilation")
        paragraph = nodes.paragraph()
        paragraph += [nodes.strong("", "Running time"), nodes.Text(f": {text}")]
        items += nodes.list_item("", paragraph)


def card(app, fromdoc: str, doc: str, document, record) -> nodes.list_item:
    """One lecture of the gallery."""
    title = nodes.reference(
        "", app.env.titles[doc].astext(), internal=True,
        refuri=app.builder.get_relative_uri(fromdoc, doc))
    text = nodes.Text(question(document))
    if app.builder.format == "latex":
        return nodes.list_item("", nodes.paragraph(
            "", "", title, nodes.Text(". "), text))
    out = [picture(document, app.config.gallery_pictures.get(doc)),
           nodes.paragraph("", "", title, classes=["gallery-title"]),
           nodes.paragraph("", "", text)]
    if time := running_time(record):
        out.append(nodes.paragraph("", time, classes=["gallery-time"]))
    return nodes.list_item("", *out)


def gallery(app, fromdoc: str) -> list[nodes.Node]:
    """A heading and a list of cards for each part."""
    documents = {doc: app.env.get_doctree(doc) for doc in execution.notebooks()
                 if doc in app.env.found_docs}
    documents = {d: t for d, t in documents.items() if question(t)}
    records = execution.records(list(documents))
    out = []
    for part, docs in execution.parts():
        cards = [card(app, fromdoc, doc, documents[doc], records[doc])
                 for doc in docs if doc in documents]
        if cards:
            out += [nodes.rubric("", part),
                    nodes.bullet_list("", *cards, classes=["gallery"])]
    return out


def fill(app, document, docname):
    """Replace the place of the gallery, and add each page's running time."""
    for place in list(document.findall(Gallery)):
        place.replace_self(gallery(app, docname))
    if app.builder.format == "html" and question(document):
        add_running_time(document, execution.records([docname])[docname])


def visit_picture(self, node):
    """Write the image of a card."""
    self.body.append(self.emptytag(
        node, "img", "", src=self.builder.imgpath + "/"
        + self.builder.images[node["uri"]], alt=node["alt"], loading="lazy"))


def setup(app):
    app.add_config_value("gallery_pictures", {}, "env")
    app.add_directive("gallery", Directive)
    app.add_node(Gallery)
    app.add_node(Picture, html=(visit_picture, lambda *_: None))
    app.connect("doctree-resolved", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
