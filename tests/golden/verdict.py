"""What was recorded against what comes out now, and the rule that ties it to `RESULT_VERSION`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lowres import trial
from lowres.trial import Record, Trial

EXPECTED = Path(__file__).parent / "expected.json"
VERSION = int(getattr(trial, "RESULT_VERSION", 1))
# Rounding differs between processors. Relative tolerances, by precision, and what counts as nothing beside zero.
TOLERANCES = {"fp32": (1e-5, 1e-6), "bf16": (2e-2, 1e-2)}
DIGITS = 9  # of the numbers that are kept
PARTS = ("counts", "outcomes", "curves", "texts")


@dataclass
class Expected:
    """What the file holds: outcomes by case, and how many cases moved at each rise of the version."""

    version: int = VERSION
    moved: dict[str, int] = field(default_factory=dict)
    cases: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Expected:
        """From the file; empty where there is none."""
        return cls(**json.loads(EXPECTED.read_text(encoding="utf-8"))) if EXPECTED.is_file() else cls()

    def write(self) -> None:
        """One line per case, so that a change can be read."""
        head = f'{{"version": {self.version},\n"moved": {json.dumps(self.moved)},\n"cases": {{\n'
        lines = [f"{json.dumps(name)}: {_compact(case)}" for name, case in sorted(self.cases.items())]
        EXPECTED.write_text(head + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def kept_of(record: Record) -> dict[str, Any]:
    """The part of a record that is a result, its numbers with as many digits as can matter."""
    return {part: _rounded(getattr(record, part)) for part in PARTS}


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(f"{value:.{DIGITS}g}")
    return value


def differences(before: Any, now: Any, precision: str, where: str = "") -> Iterator[str]:
    """Where the two are not the same; what is there now and was not before is no difference."""
    if isinstance(before, Mapping):
        for name, value in before.items():
            if isinstance(now, Mapping) and name in now:
                yield from differences(value, now[name], precision, f"{where} {name}".strip())
            else:
                yield f"{where} {name}: gone".strip()
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for place, pair in enumerate(zip(before, now, strict=True)):
            yield from differences(*pair, precision, f"{where}[{place}]")
    elif not _same(before, now, precision):
        yield f"{where}: {before!r}, now {now!r}"


def _same(before: Any, now: Any, precision: str) -> bool:
    """Texts and whole numbers exactly, others to within the tolerance."""
    numbers = all(isinstance(value, int | float) for value in (before, now))
    if before == now or not numbers:
        return bool(before == now)
    relative, absolute = TOLERANCES[precision]
    return math.isclose(before, now, rel_tol=relative, abs_tol=absolute)


def moved_cases(expected: Expected, found: Mapping[str, Any], trials: Mapping[str, Trial]) -> dict[str, list[str]]:
    """Recorded cases whose results differ, each with what differs; a case that no longer exists has moved, too."""
    moved = {}
    for name, before in expected.cases.items():
        told = list(differences(before, found[name], trials[name].precision)) if name in found else ["gone"]
        if told:
            moved[name] = told
    return moved


def problems(
    expected: Expected, found: Mapping[str, Any], moved: Mapping[str, Any], version: int = VERSION
) -> list[str]:
    """What stands against the rule: a result moves together with the version, and the version with a result."""
    new = sorted(found.keys() - expected.cases.keys())
    wrong = [f"{len(new)} cases are not recorded: {', '.join(new[:5])}"] if new else []
    if moved and version == expected.version:
        wrong.append(f"{len(moved)} of {len(found)} results moved, but RESULT_VERSION is still {version}")
    elif moved:
        wrong.append(f"RESULT_VERSION is {version}, but the results recorded are those of {expected.version}")
    elif version != expected.version:
        wrong.append(f"RESULT_VERSION went from {expected.version} to {version}, but no result moved")
    unmoved = [rise for rise, count in expected.moved.items() if not count]
    return wrong + [f"RESULT_VERSION {rise} is recorded without a result that moved" for rise in unmoved]


def recorded(
    expected: Expected, found: Mapping[str, Any], moved: Mapping[str, Any], version: int = VERSION
) -> Expected:
    """What to write: results that moved and cases or measures that are new; the others keep the numbers they have."""
    cases = {name: now if name in moved else _with_new(expected.cases.get(name), now) for name, now in found.items()}
    rises = {**expected.moved, str(version): len(moved)} if version != expected.version else expected.moved
    return Expected(version, rises, cases)


def _with_new(before: Any, now: Any) -> Any:
    """The recorded values, and beside them what is measured now and was not before."""
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        return now if before is None else before
    return {
        name: _with_new(before.get(name), now[name]) if name in now else value
        for name, value in {**now, **before}.items()
    }
