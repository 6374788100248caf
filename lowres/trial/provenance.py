"""Where and with what a record was made; none of it enters a key."""

from __future__ import annotations

import ast
import datetime
import functools
import hashlib
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from lowres import machine
from lowres.language import LanguageModel

PACKAGE = Path(__file__).parent.parent
RECORD_MAKING = (  # what RESULT_VERSION stands for
    *("trial", "evaluate", "optimisation.py", "data", "models", "world", "fast", "tuners", "language", "examples.py"),
    "machine",
)


def provenance(language_model: LanguageModel | None) -> dict[str, str]:
    """Where and with what a record was made; none of it enters the key."""
    import torch

    facts: dict[str, str] = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "code": code_fingerprint(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "hardware": hardware(),
        "threads": str(torch.get_num_threads()),
    }
    if language_model is not None:
        facts["device"] = language_model.device.type
        facts["precision"] = "bf16" if language_model.autocast else "fp32"
        facts["arithmetic"] = machine.proof()
    for package in ("torch", "transformers", "peft", "numpy"):
        facts[package] = metadata.version(package)
    return facts


@functools.cache
def code_fingerprint() -> str:
    """Hash over the code that makes records, without comments and docstrings."""
    return source_fingerprint(PACKAGE, RECORD_MAKING)


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


@functools.cache
def commit() -> str:
    """The commit of this checkout, with "+" when files differ from it; "unknown" outside a checkout."""
    try:
        command = ["git", "-C", str(PACKAGE), "describe", "--always", "--dirty=+", "--abbrev=10"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


@functools.cache
def hardware() -> str:
    """The GPU's name, or the processor's with its number of cores."""
    if machine.has_gpu():
        import torch

        return str(torch.cuda.get_device_name())
    name = platform.processor() or platform.machine()
    if machine.CPUINFO.is_file():
        lines = machine.CPUINFO.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores"
