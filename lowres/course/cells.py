"""What can be read from a notebook that anybody may have edited: the definitions in its cells, whatever their order.

No cell is executed as it stands. Imports, functions and classes are taken, and assignments that call nothing or whose
name a function uses; what trains, prints or plots is passed over. So a missing, doubled or moved cell cannot stop the
rest from being read.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lowres.params import InputError

LARGEST = 20_000_000  # bytes of a notebook
_DEFINING = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_CALLING = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
_MAGIC = re.compile(r"^([ \t]*)[%!].*$", re.MULTILINE)  # a line for IPython or the shell
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Cell:
    """One cell: "code" or "markdown", its text with Unix line ends, its tags."""

    kind: str
    source: str
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Notebook:
    """The cells of a notebook, and the `lowres` entry of its metadata."""

    cells: tuple[Cell, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def code(self, *tags: str) -> list[str]:
        """The code cells that have one of the tags; all where none is named."""
        wanted = frozenset(tags)
        return [cell.source for cell in self.cells if cell.kind == "code" and (not tags or wanted & cell.tags)]


def read(path: Path) -> Notebook:
    """A notebook from its file.

    Raises:
        InputError: it is too large, no notebook, or written for another language than Python.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path.name}: larger than {LARGEST // 1_000_000} MB; clear its outputs")
        values = json.loads(path.read_text(encoding="utf-8-sig"))
        cells = tuple(map(_cell, values["cells"]))
        facts = values.get("metadata", {})
        language = facts.get("kernelspec", {}).get("language") or facts.get("language_info", {}).get("name", "python")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path.name}: not a notebook ({type(error).__name__}: {error})") from error
    if str(language).lower() not in ("python", "ipython", "python3"):
        raise InputError(f"{path.name}: a notebook in {language}; allowed: Python")
    own = facts.get("lowres")
    return Notebook(cells, own if isinstance(own, dict) else {})


def _cell(values: dict[str, Any]) -> Cell:
    source = values["source"]
    text = source if isinstance(source, str) else "".join(source)
    tags = frozenset(map(str, values.get("metadata", {}).get("tags", ())))
    return Cell(str(values["cell_type"]), text.replace("\r\n", "\n").replace("\r", "\n"), tags)


# --- definitions -----------------------------------------------------------------------------------------------------


def define(sources: Sequence[str], names: dict[str, Any]) -> list[str]:
    """Execute the definitions of cells in `names`; the last definition of a name counts, if it is more than a blank.

    Returns:
        What could not be read or executed, in words.
    """
    statements, problems = _statements(sources)
    pending = list(_last(statements))
    while pending:  # one that needs a later one, such as a default value, is tried again
        failed: list[tuple[ast.stmt, BaseException]] = []
        for node in pending:
            try:
                exec(compile(ast.Module([node], []), "<notebook>", "exec"), names)
            except Exception as error:
                failed.append((node, error))
        if len(failed) == len(pending):
            names_of = (getattr(node, "name", "") or ast.unparse(node).split("\n")[0][:60] for node, _ in failed)
            told = zip(names_of, (error for _, error in failed), strict=True)
            return problems + [f"{name}: {type(error).__name__}: {error}" for name, error in told]
        pending = [node for node, _ in failed]
    return problems


def _statements(sources: Sequence[str]) -> tuple[list[ast.stmt], list[str]]:
    found: list[ast.stmt] = []
    problems = []
    for number, source in enumerate(sources, start=1):
        try:
            tree = _parsed(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            problems.append(f"code cell {number} cannot be read: {error}")
            continue
        found += tree.body
    used = {name for node in found if isinstance(node, _DEFINING) for name in _free(node)}
    return [node for node in found if _defines(node, used)], problems


def _parsed(source: str) -> ast.Module:
    """A cell without its magic lines, if it cannot be read with them."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.parse("" if source.lstrip().startswith("%%") else _MAGIC.sub(r"\1pass", source))


def _defines(node: ast.stmt, used: set[str]) -> bool:
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return node.value is not None and (not _calls(node.value) or bool(used & _stored(node)))
    return isinstance(node, _DEFINING)


def _stored(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def _free(node: ast.AST) -> set[str]:
    """Names that a function or class uses and does not set itself."""
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return names - _stored(node) - {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}


def _calls(node: ast.AST) -> bool:
    """Whether evaluating an expression could take time; what stands inside a lambda is not evaluated yet."""
    if isinstance(node, ast.Lambda):
        return False
    return isinstance(node, (*_CALLING, *_COMPREHENSIONS)) or any(map(_calls, ast.iter_child_nodes(node)))


def _last(statements: Iterable[ast.stmt]) -> list[ast.stmt]:
    """Imports and assignments first, then of each function or class the last one that is written out."""
    first: list[ast.stmt] = []
    named: dict[str, ast.stmt] = {}
    for node in statements:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            first.append(node)
        elif node.name not in named or not is_blank(node):
            named[node.name] = node
    return [*first, *named.values()]


def is_blank(node: ast.AST) -> bool:
    """Whether a function is as the student's copy has it: it raises NotImplementedError and does nothing else."""
    body = [one for one in getattr(node, "body", []) if not _is_text(one)]
    return len(body) == 1 and isinstance(body[0], ast.Raise) and "NotImplementedError" in ast.unparse(body[0])


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
