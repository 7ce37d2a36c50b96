"""Sphinx extension: mends of the theme, made on the pages as written.

Each entry of `MENDS` is a pattern of the theme's HTML and what stands instead.
What they achieve is tested in a browser by `tests/site/test_browser.py`.
"""
import re
from pathlib import Path

MENDS = {
    # a first visit follows the system at once, without a message of error
    r'(dataset\.mode = localStorage.getItem\("mode"\)) \|\| "";':
        r'\1 || "auto";',
    r'(dataset\.theme = localStorage.getItem\("theme"\)) \|\| "";':
        r'\1 || (matchMedia("(prefers-color-scheme: dark)").matches'
        r' ? "dark" : "light");',
    # icons come from the theme's fonts; the same as a script is 1.5 MB
    r'<script [^>]*/scripts/fontawesome\.js[^>]*></script>\s*': "",
    # code runs in notebooks, never in the page by way of another host
    r'<script>const THEBE_JS_URL[^<]*</script>\s*': "",
    r'<(script|link) [^>]*sphinx-thebe[^>]*>(</script>)?\s*': "",
    # all content of a page belongs to a landmark
    r'<div id="pst-primary-sidebar" class=':
        '<div id="pst-primary-sidebar" role="navigation" aria-label="Book"'
        ' class=',
    # a list holds items of a list
    r' role="doc-biblioentry"': ' role="listitem"',
}

# The index grows with the book, and only the page that searches needs it.
SEARCH = (r'<script src="[^"]*(searchtools|language_data|searchindex)\.js">'
          r"</script>\s*")


def mend(html: str, name: str) -> str:
    """The page of that file name with every mend made, once and for all."""
    for pattern, replacement in MENDS.items():
        html = re.sub(pattern, replacement, html)
    return html if name == "search.html" else re.sub(SEARCH, "", html)


def mend_pages(app, exception):
    """Mend every page that was written."""
    if exception is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            html = path.read_text(encoding="utf-8")
            path.write_text(mend(html, path.name), encoding="utf-8")


def setup(app):
    app.connect("build-finished", mend_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
