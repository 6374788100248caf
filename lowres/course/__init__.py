"""Coursework: assignments whose functions and result files are marked, never their cells.

A master in notebooks/coursework/ holds everything of one assignment. Its code cells are tagged `setup` (imports and
helpers), `answer` (functions that the student writes), `test` (what stands beneath them) and `hidden-test`. A test is a
function that asks by name for what it needs: functions of the notebook, `seed`, `folder` (where what was handed in
lies), `before` (the prediction handed in before, or None). Its docstring says the property, its default `points` what
that is worth.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from lowres.course import cells
from lowres.params import InputError, did_you_mean
from lowres.places import ROOT

MASTERS = ROOT / "notebooks" / "coursework"
STUDENT_SEED = 0  # graders have others
GIVEN = ("seed", "folder", "before", "points")


@dataclass(frozen=True)
class Test:
    """A test as its source tells it: nothing of it has run."""

    __test__ = False  # not one of pytest's

    name: str
    says: str
    points: int
    needs: tuple[str, ...]
    hidden: bool


@dataclass(frozen=True, eq=False)
class Assignment:
    """One master, by the name of its file."""

    name: str
    notebook: cells.Notebook

    @cached_property
    def tests(self) -> tuple[Test, ...]:
        """What is marked, visible tests first."""
        tagged = [(source, tag == "hidden-test") for tag in ("test", "hidden-test") for source in self.code(tag)]
        found = [_test(node, hidden) for source, hidden in tagged for node in ast.parse(source).body if _is_test(node)]
        if not found:
            raise InputError(f"{self.name}: nothing tests it; tag cells `test` and `hidden-test`")
        return tuple(found)

    def code(self, *tags: str) -> list[str]:
        """The code cells that have one of the tags."""
        return self.notebook.code(*tags)

    @property
    def points(self) -> int:
        """The most that can be reached."""
        return sum(test.points for test in self.tests)

    @property
    def seconds(self) -> float:
        """Seconds of computing that one test may take."""
        return float(self.notebook.facts.get("seconds", 5))


@cache
def assignments(masters: Path = MASTERS) -> dict[str, Assignment]:
    """All assignments by name, in the order of their names.

    Raises:
        InputError: a folder without masters, or a master that is no notebook.
    """
    found = {path.stem: Assignment(path.stem, cells.read(path)) for path in sorted(masters.glob("*.ipynb"))}
    if not found:
        raise InputError(f"no assignments (*.ipynb) in {masters}")
    return found


def _is_test(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


def _test(node: ast.stmt, hidden: bool) -> Test:
    assert isinstance(node, ast.FunctionDef)
    names = [argument.arg for argument in node.args.args]
    defaults = dict(zip(reversed(names), reversed(node.args.defaults), strict=False))
    points = int(ast.literal_eval(defaults["points"])) if "points" in defaults else 1
    says = (ast.get_docstring(node) or node.name).split("\n")[0]
    return Test(node.name, says, points, tuple(name for name in names if name not in GIVEN), hidden)


# --- tests -----------------------------------------------------------------------------------------------------------


def asked(test: Callable[..., None], names: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What a test asks for, out of what is given and the names of a notebook.

    Raises:
        LookupError: the notebook has no such name.
    """
    wanted = [name for name in inspect.signature(test).parameters if name != "points"]
    missing = [name for name in wanted if name not in given and name not in names]
    if missing:
        functions = [name for name, value in names.items() if inspect.isfunction(value)]
        raise LookupError(f"there is no {missing[0]}{did_you_mean(missing[0], functions)}")
    return {name: given[name] if name in given else names[name] for name in wanted}


def check(*tests: Callable[..., None], seed: int = STUDENT_SEED) -> None:
    """Run tests in the notebook that they stand in, and say of each property whether it holds."""
    for test in tests:
        says = (test.__doc__ or test.__name__).strip().split("\n")[0]
        try:
            test(**asked(test, test.__globals__, {"seed": seed, "folder": Path.cwd(), "before": None}))
        except NotImplementedError:
            print(f"… {says} Not written yet.")
        except Exception as error:
            print(f"✗ {says} {explained(error)}")
        else:
            print(f"✓ {says}")


def explained(error: BaseException) -> str:
    """What went wrong, in a line."""
    text = str(error).strip().split("\n")[0]
    if isinstance(error, AssertionError) and not text:
        return "It does not hold."
    if isinstance(error, (AssertionError, LookupError)) and not isinstance(error, KeyError) and text:
        return text[:300]
    return f"{type(error).__name__}: {text}"[:300] if text else f"{type(error).__name__}."


def same(found: Any, expected: Any, what: str = "", tolerance: float = 1e-9) -> None:
    """Insist that numbers, or tables of them, are the expected ones.

    Raises:
        AssertionError: shape or a number differs; the text shows the first that does.
    """
    import numpy as np

    here, wanted = (np.asarray(value, dtype=np.float64) for value in (found, expected))
    head = f"{what}: " if what else ""
    if here.shape != wanted.shape:
        raise AssertionError(f"{head}expected shape {list(wanted.shape)}, got {list(here.shape)}")
    wrong = np.argwhere(~np.isclose(here, wanted, rtol=tolerance, atol=tolerance, equal_nan=True))
    if len(wrong):
        place = tuple(wrong[0])
        where = f" at {[int(index) for index in place]}" if place else ""
        raise AssertionError(f"{head}expected {wanted[place]:.6g}{where}, got {here[place]:.6g}")
