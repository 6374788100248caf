"""Masters -> what students get, what instructors get, and a page for each assignment.

python -m lowres.course.making              make _build/course/
python -m lowres.course.making --measure    first solve every assignment, and keep how long the computing took
"""

from __future__ import annotations

import ast
import json
import resource
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowres.course import MASTERS, Assignment, assignments, cells
from lowres.places import ROOT
from lowres.trial import provenance

MADE = ROOT / "_build" / "course"
MEASURED = "measured.json"
TO_WRITE = 'raise NotImplementedError("write this")'
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
_NARROW = "<style>.jp-InputArea-editor, .highlight pre { overflow-x: auto !important; }</style>\n"  # for phones
_NO_TIME_STAMP = (2026, 1, 1, 0, 0, 0)


def make(masters: Path = MASTERS, made: Path = MADE) -> list[Path]:
    """Write student.zip and instructor.zip; returns their paths.

    Raises:
        InputError: a master cannot be read, or nothing tests it.
    """
    guide = ROOT / "book" / "teaching.md"
    known, measured = assignments(masters), _measured(masters)
    copies = {f"{name}.ipynb": student_copy(one, measured.get(name, "")) for name, one in known.items()}
    whole = {path.name: path.read_text(encoding="utf-8") for path in sorted(masters.iterdir()) if path.is_file()}
    whole |= {guide.name: guide.read_text(encoding="utf-8")} if guide.is_file() else {}
    made.mkdir(parents=True, exist_ok=True)
    return [_zip(made / "student.zip", copies), _zip(made / "instructor.zip", whole)]


def student_copy(assignment: Assignment, measured: str = "") -> str:
    """The notebook without hidden tests, in which every function that is asked for is still to be written."""
    kept = [cell for cell in assignment.notebook.cells if not cell.tags & {"hidden-test", "instructor"}]
    written = [_cell(number, cell, measured) for number, cell in enumerate(kept)]
    facts = {"kernelspec": KERNEL, "language_info": {"name": "python"}, "lowres": {"assignment": assignment.name}}
    return json.dumps({"cells": written, "metadata": facts, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def _cell(number: int, cell: cells.Cell, measured: str) -> dict[str, Any]:
    source = (
        blanked(cell.source)
        if "answer" in cell.tags
        else cell.source.replace("{measured}", measured or "computing not measured")
    )
    text = {"cell_type": cell.kind, "id": f"cell-{number}", "metadata": {}, "source": source.splitlines(True)}
    return {**text, "execution_count": None, "outputs": []} if cell.kind == "code" else text


def blanked(source: str) -> str:
    """The functions of a cell with signature and docstring only; helpers, named `_...`, and all else are gone."""
    lines, found = source.splitlines(), []
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            found.append("\n".join(_blank(node, lines)))
    return "\n\n\n".join(found) + "\n"


def _blank(node: ast.FunctionDef | ast.ClassDef, lines: list[str]) -> list[str]:
    first = node.body[0]
    end = first.end_lineno if ast.get_docstring(node) is not None else first.lineno - 1
    return [*lines[node.lineno - 1 : end], f"    {TO_WRITE}"]


def write_pages(masters: Path = MASTERS, made: Path = MADE) -> list[Path]:
    """Write the student's copy of each assignment as a page to read; returns their paths."""
    import nbformat
    from nbconvert import HTMLExporter

    exporter, measured, paths = HTMLExporter(mathjax_url="", require_js_url=""), _measured(masters), []
    for name, assignment in assignments(masters).items():
        copy = nbformat.reads(student_copy(assignment, measured.get(name, "")), 4)
        title = assignment.notebook.cells[0].source.split("\n")[0].lstrip("# ")
        page, _ = exporter.from_notebook_node(copy, {"metadata": {"name": title}})
        page = page.replace("</head>", f"{_NARROW}</head>", 1)
        paths.append(made / "pages" / f"{name}.html")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        paths[-1].write_text(page, encoding="utf-8")
    return paths


def _zip(path: Path, files: Mapping[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(f"{path.stem}/{name}", _NO_TIME_STAMP), text)
    return path


# --- how long it takes -----------------------------------------------------------------------------------------------


def measure(masters: Path = MASTERS) -> dict[str, str]:
    """Execute every master from start to end and keep the minutes of computing that it took, in words."""
    found: dict[str, str] = {}
    for name in assignments(masters):
        before = _children()
        with tempfile.TemporaryDirectory() as place:
            solve(masters / f"{name}.ipynb", Path(place))
        found[name] = f"{(_children() - before) / 60:.1f} minutes of computing on one core ({provenance.hardware()})"
    (masters / MEASURED).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def solve(master: Path, place: Path) -> None:
    """Execute a master as a student would who knows all answers: notebook and result files lie in `place` then.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(master, 4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(place)}}).execute()
    nbformat.write(notebook, place / master.name)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _measured(masters: Path) -> dict[str, str]:
    path = masters / MEASURED
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


if __name__ == "__main__":
    if "--measure" in sys.argv[1:]:
        measure()
    print("\n".join(map(str, [*make(), *write_pages()])))
