"""The house: how large its rooms may be, which way imports go, and that a fifth study is added without touching it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
import tiny

from lowres import rulebook, studies
from lowres.ledger import Ledger
from lowres.page import drawing, parts, verdicts
from lowres.params import from_mapping, resolve

PACKAGE = tiny.ROOT / "lowres"
FIFTH = Path(__file__).parent / "fifth"
MOST_LINES, MOST_IN_A_STUDY, MOST_IN_A_FILE, MOST_IN_A_FUNCTION = 30_000, 1_300, 520, 55
# What makes records knows nothing of what presents them.
MAKING = ("trial", "train", "evaluate", "tuners", "models", "data", "world", "fast", "optimisation", "prompt")
PRESENTING = ("page", "pages", "book", "cli", "bookext", "rulebook", "rules", "claims", "anova", "studies", "course")


def lines_of(*files: Path) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)


def test_the_package_and_its_rooms_stay_small() -> None:
    files = list(PACKAGE.rglob("*.py"))
    assert lines_of(*files) <= MOST_LINES
    assert {path.name: lines_of(path) for path in files if lines_of(path) > MOST_IN_A_FILE} == {}
    sizes = {name: lines_of(*(PACKAGE / "studies" / name).glob("*.py")) for name in studies.study_names()}
    assert {name: size for name, size in sizes.items() if size > MOST_IN_A_STUDY} == {}


def test_functions_stay_short() -> None:
    long = [
        f"{path.name}:{node.name}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= MOST_IN_A_FUNCTION
    ]
    assert long == []


def imports_of(path: Path, first: str) -> set[str]:
    """The rooms that a file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "lowres":
            named = (node.module or "").split(".")[1:2] or [alias.name for alias in node.names]
            found |= set(named)
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("lowres.")}
    return found - {first}


@pytest.mark.parametrize("room", MAKING)
def test_what_makes_records_imports_nothing_that_presents_them(room: str) -> None:
    files = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").is_file() else list((PACKAGE / room).rglob("*.py"))
    assert files
    upward = {path.name: imports_of(path, room) & set(PRESENTING) for path in files}
    assert {name: rooms for name, rooms in upward.items() if rooms} == {}


# --- a fifth study ---------------------------------------------------------------------------------------------------


def test_a_fifth_study_takes_hardly_more_than_a_hundred_lines() -> None:
    assert lines_of(*FIFTH.rglob("*.py")) <= 120


@pytest.mark.usefixtures("general_pool", "results")
def test_a_fifth_study_is_run_and_judged_and_shown(
    monkeypatch: pytest.MonkeyPatch, chat_folder: Path, task: str, tmp_path: Path
) -> None:
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(FIFTH)])
    assert "fifth" in studies.study_names()
    fifth = studies.load("fifth")
    page = importlib.import_module("lowres.studies.fifth.page")
    verdicts.entries.cache_clear()
    drawing.evidence.cache_clear()
    assert "not run yet" in repr(verdicts.overview("fifth"))
    assert "not run yet" in repr(page.scores())

    params = resolve(from_mapping(fifth.Params, {"model": str(chat_folder), "task": task, "seeds": [0, 1, 2]}))
    records = studies.insist_on_all(studies.execute(fifth, params, Ledger(tmp_path / "ledger")))
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
