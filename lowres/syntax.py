"""A fingerprint of source code that comments, docstrings and formatting cannot change."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence
from pathlib import Path


def source_fingerprint(folder: Path, names: Sequence[str] = ("",)) -> str:
    """Sixteen hex digits over the Python files of a folder, the same on every Python version.

    Args:
        names: files and folders in it to which it is confined; what is not there is passed over.
    """
    digest = hashlib.sha256()
    for name in names:
        place = folder / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place] * place.is_file():
            digest.update(f"{path.relative_to(folder).as_posix()}\n".encode())
            digest.update(_shape(ast.parse(path.read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()[:16]


def _shape(node: object) -> str:
    """A syntax tree as text, without docstrings and positions."""
    if isinstance(node, list):
        return "[" + ",".join(_shape(part) for part in node if not _is_docstring(part)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, value) for name, value in ast.iter_fields(node) if name not in ("kind", "ctx", "type_comment"))
    inside = ",".join(f"{name}={_shape(value)}" for name, value in fields if value not in (None, []))
    return f"{type(node).__name__}({inside})"


def _is_docstring(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
