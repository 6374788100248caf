"""How long `lowres grade` takes on a class of thirty: solved, half done, empty, hanging, sleeping, eating memory.

    python -m benchmarks.grading      marks 30 submissions with two processes, into results/grading.json

The solved ones are the masters, executed as a student would; the rest are made of them. That a solution scores in full,
result files included, and an empty copy nothing is insisted on.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from lowres.course import MASTERS, Assignment, assignments, grading, making
from lowres.places import RESULTS
from lowres.trial import provenance

KEPT, SOLVED = RESULTS / "grading.json", making.MADE / "solved"
WORKERS, SEED = 2, 20_261
SPOILT = {  # what is put in the place of an assignment's first function
    "hanging": "while True: pass",
    "sleeping": "import time; time.sleep(10**9)",
    "eating memory": "return [0] * (20 * 2**27)",
    "writing elsewhere": "open('/tmp/of-another', 'w')",
}
KINDS = (
    *("solved",) * 14,
    *("half done",) * 6,
    *("empty",) * 4,
    "with a broken cell",
    *("hanging",) * 2,
    "sleeping",
    "eating memory",
    "writing elsewhere",
)


def main() -> None:
    """Make the class, mark it, keep what it took."""
    for name in assignments():
        solve(name)
    with tempfile.TemporaryDirectory() as scratch:
        kinds = made(SOLVED, Path(scratch))
        started = time.perf_counter()
        text, summary = grading.grade(Path(scratch), grading.How(MASTERS, SEED, WORKERS))
        seconds = time.perf_counter() - started
    rows = {row["student"]: row for row in csv.DictReader(io.StringIO(text))}
    insist(rows, kinds)
    kept = {
        **{"date": datetime.date.today().isoformat(), "machine": provenance.hardware(), "workers": WORKERS},
        **{"submissions": len(kinds), "seconds": round(seconds), "kinds": Counter(kind for kind, _ in kinds.values())},
    }
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(summary, kept, sep="\n")


def solve(name: str) -> None:
    """Execute a master, unless that was done since it changed."""
    master, place = MASTERS / f"{name}.ipynb", SOLVED / name
    if (place / master.name).is_file() and (place / master.name).stat().st_mtime > master.stat().st_mtime:
        return
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    making.solve(master, place)
    print(f"solved: {name}", file=sys.stderr, flush=True)


def made(solved: Path, folder: Path) -> dict[str, tuple[str, str]]:
    """A class in a folder: by student, the kind of submission and the assignment."""
    names, kinds = list(assignments()), {}
    for number, kind in enumerate(KINDS):
        name = names[number % len(names)]
        if kind in SPOILT and name == "08_capstone":
            name = names[0]  # which has functions to spoil
        student = f"student{number:02d}"
        place = folder / f"{student}_{number}_assignsubmission_file"
        if kind == "solved":
            shutil.copytree(solved / name, place)
        else:
            place.mkdir(parents=True)
            (place / f"{name}.ipynb").write_text(spoilt(assignments()[name], kind), encoding="utf-8")
        kinds[student] = (kind, name)
    return kinds


def spoilt(assignment: Assignment, kind: str) -> str:
    """A student's copy with a part of the answers, or with one that does harm."""
    copy = json.loads(making.student_copy(assignment))
    answers = assignment.code("answer")
    if kind in SPOILT:
        answers[0] = making.blanked(answers[0]).replace(making.TO_WRITE, SPOILT[kind])
    if kind == "half done":
        answers = answers[: len(answers) // 2]
    if kind == "with a broken cell":
        answers = [*answers, "def broken(:"]
    written = [{"cell_type": "code", "metadata": {}, "source": one} for one in answers if kind != "empty"]
    return json.dumps({**copy, "cells": [*copy["cells"], *written]})


def insist(rows: dict[str, dict[str, str]], kinds: dict[str, tuple[str, str]]) -> None:
    """The solved ones have all points, the empty ones none; `AssertionError` tells which has not."""
    for student, (kind, name) in kinds.items():
        most, got = assignments()[name].points, int(rows[student]["total"])
        told = f"{student}, {kind}, {name}: {got} of {most}; {rows[student]['comments']}"
        assert got == {"solved": most, "empty": 0}.get(kind, got), told
        assert kind not in SPOILT or got < most, told


if __name__ == "__main__":
    main()
