"""The house: how large its rooms may be, which way imports go, and that a fifth study is added without touching it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
import tiny

from lowres import registry, studies
from lowres.claims import rulebook
from lowres.ledger import Ledger
from lowres.page import drawing, parts, verdicts
from lowres.params import from_mapping, resolve

PACKAGE = tiny.ROOT / "lowres"
FIFTH = Path(__file__).parent / "fifth"
MOST_LINES, MOST_IN_A_STUDY, MOST_IN_A_FILE, MOST_IN_A_FUNCTION = 30_000, 1_200, 500, 50
# Imports go down this list: a room knows those below it and none above. Those from `trial` on make records.
ROOMS = (
    *("__main__", "cli", "course", "book", "studies", "page", "claims", "outcomes", "campaign", "registry"),
    *("engine", "elsewhere", "rates", "stats", "rationales", "ledger"),
    *("trial", "evaluate", "optimisation", "data", "models", "world", "fast", "tuners", "language", "examples"),
    *("machine", "contents", "texts", "places", "params"),
)


def lines_of(*files: Path) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)


def test_the_package_and_its_rooms_stay_small() -> None:
    files = list(PACKAGE.rglob("*.py"))
    assert lines_of(*files) <= MOST_LINES
    assert {path.name: lines_of(path) for path in files if lines_of(path) > MOST_IN_A_FILE} == {}
    sizes = {name: lines_of(*(PACKAGE / "studies" / name).glob("*.py")) for name in registry.study_names()}
    assert {name: size for name, size in sizes.items() if size > MOST_IN_A_STUDY} == {}


def test_functions_stay_short() -> None:
    long = [
        f"{path.name}:{node.name}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= MOST_IN_A_FUNCTION
    ]
    assert long == []


def imports_of(path: Path) -> set[str]:
    """The modules of the package that a file imports anywhere in it, in functions and for types alone too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "lowres":
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else str(node.module) for name in within}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
    return found


def module_of(path: Path) -> str:
    parts = path.relative_to(tiny.ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1]


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}


def test_imports_go_down_the_list_of_rooms() -> None:
    assert {room_of(module) for module in MODULES} == set(ROOMS)
    upward = [
        f"{module} imports {other}"
        for module, path in MODULES.items()
        for other in imports_of(path)
        if ROOMS.index(room_of(other)) < ROOMS.index(room_of(module))
    ]
    assert upward == []


def test_no_files_import_each_other_in_a_circle() -> None:
    left = {module: imports_of(path) - {module} for module, path in MODULES.items()}
    while ended := {module for module, others in left.items() if not others & left.keys()}:
        left = {module: others for module, others in left.items() if module not in ended}
    assert left == {}


# --- a fifth study ---------------------------------------------------------------------------------------------------


def test_a_fifth_study_takes_hardly_more_than_a_hundred_lines() -> None:
    assert lines_of(*FIFTH.rglob("*.py")) <= 120


@pytest.mark.usefixtures("general_pool", "results")
def test_a_fifth_study_is_run_and_judged_and_shown(
    monkeypatch: pytest.MonkeyPatch, chat_folder: Path, task: str, tmp_path: Path
) -> None:
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(FIFTH)])
    assert "fifth" in registry.study_names()
    fifth = registry.load("fifth")
    page = importlib.import_module("lowres.studies.fifth.page")
    verdicts.entries.cache_clear()
    drawing.evidence.cache_clear()
    assert "not run yet" in repr(verdicts.overview("fifth"))
    assert "not run yet" in repr(page.scores())

    params = resolve(from_mapping(fifth.Params, {"model": str(chat_folder), "task": task, "seeds": [0, 1, 2]}))
    records = registry.insist_on_all(registry.execute(fifth, params, Ledger(tmp_path / "ledger")))
    assert "rank-4" in repr(parts.live_table(records))
    monkeypatch.setattr(rulebook, "judged", lambda study: records if study == "fifth" else [])
    verdicts.entries.cache_clear()
    drawing.evidence.cache_clear()
    (entry,) = verdicts.entries("fifth")
    assert entry.decisions["real"].seeds == 3
    assert "fifth-1" in repr(verdicts.cards("fifth"))
    tiny.check_figures([page.scores()])
    assert "a tiny one" in repr(parts.deviations("fifth"))
    verdicts.entries.cache_clear()
    drawing.evidence.cache_clear()
