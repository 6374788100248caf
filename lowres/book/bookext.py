"""The Sphinx extension of the book: executed notebooks, generated tables, one stylesheet, mathematics offline."""

from __future__ import annotations

import json
import re
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

from lowres import book, registry
from lowres.book import pages
from lowres.page import markup, records
from lowres.params import InputError

MARKER = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)
MATHJAX = "mathjax/tex-svg-full.js"  # the one file that loads nothing further; tex-svg.js silently needs others


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the hooks."""
    app.connect("config-inited", use_address)
    app.connect("builder-inited", copy_mathjax)
    app.connect("builder-inited", write_files)
    app.connect("source-read", replace_source)
    app.connect("env-get-updated", number_exercises_by_page, priority=900)  # after Sphinx has numbered them
    app.connect("html-page-context", drop_scripts, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def use_address(_app: Sphinx, config: Config) -> None:
    """Show the buttons that lead to the repository and to Binder if _config.yml tells its address, and none if not."""
    options = config.html_theme_options
    known = bool(options.get("repository_url"))
    options.update(use_repository_button=known, use_issues_button=known)
    if not known:
        options["launch_buttons"] = {}


def replace_source(app: Sphinx, name: str, source: list[str]) -> None:
    """Show the executed copy in place of a notebook, and generated tables in place of their markers.

    Raises:
        ExtensionError: the notebook was not executed since its inputs changed, or there is no such table.
    """
    root = Path(app.srcdir)
    page = Path(app.env.doc2path(name))
    try:
        if page.suffix == ".ipynb":
            source[0] = without_styles(book.executed_text(page.relative_to(root).as_posix(), root))
        else:
            source[0] = MARKER.sub(lambda marker: pages.fragment(marker[1], root), source[0])
    except (book.BookError, InputError) as error:
        raise ExtensionError(f"{name}: {error}") from error


def copy_mathjax(app: Sphinx) -> None:
    """Copy one file of the package, whose own extension would copy all of its 23 MB."""
    found = [path for path in metadata.files("sphinx-mathjax-offline") or () if path.as_posix().endswith(MATHJAX)]
    if not found:
        raise ExtensionError("the package sphinx-mathjax-offline is missing: run `make book`, which installs it")
    target = Path(app.outdir) / "_static" / MATHJAX
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(str(found[0].locate()), target)


def write_files(app: Sphinx) -> None:
    """Write the stylesheet of all exhibits, once for all pages, and the records of every study as a table to take."""
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    (static / "exhibits.css").write_text(
        markup.STYLE.removeprefix("<style>").removesuffix("</style>"), encoding="utf-8"
    )
    for study in registry.study_names():
        (static / f"records-{study}.csv").write_text(records.as_csv(study), encoding="utf-8")


def without_styles(text: str) -> str:
    """A notebook whose outputs leave their style to the stylesheet."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            shown = output.get("data", {}).get("text/html")
            if shown:
                output["data"]["text/html"] = "".join(shown).replace(markup.STYLE, "")
    return json.dumps(notebook)


def number_exercises_by_page(_app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Let the exercises of every page begin with 1; Sphinx would count them through the whole book."""
    for page in env.toc_fignumbers.values():
        if "exercise" in page:
            page["exercise"] = {name: (number,) for number, name in enumerate(page["exercise"], start=1)}
    return []


def drop_scripts(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Leave out the scripts of sphinx-thebe, which nothing here uses, and MathJax where a page has no formula."""
    unwanted = ["thebe"]
    if doctree is None or not next(
        doctree.findall(lambda node: isinstance(node, (nodes.math, nodes.math_block))), None
    ):
        unwanted.append("mathjax")
    scripts = context.get("script_files", [])
    context["script_files"] = [
        each for each in scripts if not any(name in f"{each.filename} {each.attributes}".lower() for name in unwanted)
    ]
