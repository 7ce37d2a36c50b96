"""The buttons that run and download a page lead to files that are written."""
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

import pytest
from bs4 import BeautifulSoup

import execution
import launch_buttons

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
NOTEBOOKS = ROOT / "_build" / "notebooks"
DOCS = execution.documents()
CONFIG = execution.config()
COLAB = "https://colab.research.google.com/github/{}/blob/{}/".format(
    urlparse(CONFIG["repository"]["url"]).path.strip("/"),
    CONFIG["sphinx"]["config"]["notebooks_branch"])


@pytest.fixture(scope="module")
def buttons(request):
    "Addresses in the header of each page, by the name of the button."
    if not NOTEBOOKS.exists() or not (HTML / f"{DOCS[0]}.html").exists():
        reason = "the site has not been built: run `make site` first"
        if request.config.getoption("--require-book"):
            pytest.fail(reason)
        pytest.skip(reason)
    found = {}
    for doc in DOCS:
        page = BeautifulSoup((HTML / f"{doc}.html").read_text("utf-8"),
                             "html.parser")
        links = page.select(".article-header-buttons a[href]")
        found[doc] = {
            name.removeprefix("btn-").removesuffix("-button"): a["href"]
            for a in links for name in a["class"] if name.endswith("-button")}
    return found


def on_site(doc, address):
    "The path below the site's root to which a page's link leads."
    target = urlparse(urljoin(f"http://site/{doc}.html", address))
    assert target.netloc == "site", address
    return unquote(target.path.lstrip("/"))


def test_colab_opens_the_notebooks_that_are_published(buttons):
    opened = {doc: unquote(links["launch-colab"].removeprefix(COLAB))
              for doc, links in buttons.items() if "launch-colab" in links}
    assert opened == {d: f"{d}.ipynb" for d in execution.notebooks()}
    written = {str(p.relative_to(NOTEBOOKS)) for p in NOTEBOOKS.rglob("*.*")}
    assert set(opened.values()) == written


def test_notebook_is_downloaded_from_the_site(buttons):
    found = {doc: on_site(doc, links["download-notebook"])
             for doc, links in buttons.items() if "download-notebook" in links}
    assert list(found) == execution.notebooks()
    for doc, path in found.items():
        assert (HTML / path).read_bytes() == \
            (NOTEBOOKS / f"{doc}.ipynb").read_bytes()


def test_every_page_offers_the_pdf(buttons):
    assert {on_site(doc, links["download-pdf"])
            for doc, links in buttons.items()} == {launch_buttons.PDF}
    written = ROOT / "_build" / launch_buttons.PDF
    if written.exists():
        assert (HTML / launch_buttons.PDF).read_bytes() == written.read_bytes()


def test_every_page_can_be_edited_and_reported_on(buttons):
    repository = CONFIG["repository"]["url"]
    branch = CONFIG["repository"]["branch"]
    for doc, links in buttons.items():
        source = execution.source(doc).relative_to(ROOT)
        assert links["source-edit"] == f"{repository}/edit/{branch}/{source}"
        assert links["source-issues"].startswith(f"{repository}/issues/new")


def test_no_source_is_offered_that_colab_cannot_read(buttons):
    for doc, links in buttons.items():
        assert "download-source" not in links, doc
        assert not [a for a in links.values() if a.endswith(".md")
                    and "/edit/" not in a], doc


def test_only_repositories_that_colab_opens_are_accepted(monkeypatch):
    monkeypatch.setattr(execution, "config", lambda: {
        "repository": {"url": "https://gitlab.com/a/b"},
        "sphinx": {"config": {"notebooks_branch": "notebooks"}}})
    with pytest.raises(ValueError, match="gitlab.com/a/b"):
        launch_buttons.colab("part/slug")
