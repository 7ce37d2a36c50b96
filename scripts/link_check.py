"""Sphinx extension: check that a DOI is registered, not that it opens.

Publishers turn robots away, so following a DOI to its end tells nothing. The
registry itself answers whether it knows a DOI.
"""
import re


def registry_of(app, uri: str) -> str | None:
    """The registry's address for a DOI; None leaves other links as they are."""
    found = re.fullmatch(r"https?://(?:dx\.)?doi\.org/(10\..+)", uri)
    return f"https://doi.org/api/handles/{found[1]}" if found else None


def setup(app):
    app.connect("linkcheck-process-uri", registry_of)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
