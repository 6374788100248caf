"""The Sphinx extension of the book: executed notebooks, generated tables, mathematics without a network."""

from __future__ import annotations

import re
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from lowres import book, pages
from lowres.params import InputError

MARKER = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)
MATHJAX = "mathjax/tex-svg-full.js"  # the one file that loads nothing further; tex-svg.js silently needs others


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the hooks."""
    app.connect("builder-inited", copy_mathjax)
    app.connect("source-read", replace_source)
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def replace_source(app: Sphinx, name: str, source: list[str]) -> None:
    """Show the executed copy in place of a notebook, and generated tables in place of their markers.

    Raises:
        ExtensionError: the notebook was not executed since its inputs changed, or there is no such table.
    """
    root = Path(app.srcdir)
    page = Path(app.env.doc2path(name))
    try:
        if page.suffix == ".ipynb":
            source[0] = book.executed_text(page.relative_to(root).as_posix(), root)
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


def drop_thebe(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: object) -> None:
    """Leave out the scripts of sphinx-thebe, which is always loaded: nothing here uses them, and they throw errors."""
    scripts = context.get("script_files", [])
    context["script_files"] = [each for each in scripts if "thebe" not in f"{each.filename} {each.attributes}"]
