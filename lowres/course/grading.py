"""A folder of submissions -> marks: one row per student, points per test, comments.

A submission is a notebook, a folder or a zip file. Files that learning platforms hand out keep their names: Canvas's
`doejane_123_456_NAME.ipynb`, Moodle's folders `Jane Doe_123_assignsubmission_file`.
"""

from __future__ import annotations

import csv
import functools
import importlib
import io
import multiprocessing
import os
import re
import secrets
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from lowres.course import Assignment, Test, asked, assignments, cells, explained
from lowres.course.capstone import PREDICTION
from lowres.course.contained import Limits, Outcome, contained
from lowres.params import InputError

TESTS = 12  # how many times the limit of one test all tests together may take; one that is stopped counts as four
LARGEST = 100_000_000  # bytes of a submission, unpacked
MOST_FILES = 2000
# What Canvas (_LATE_123_456_) and Moodle (_123_assignsubmission_file_) put between a name and that of the file.
_PLATFORM = re.compile(r"(_LATE)?(_\d+_\d+|_\d+_assignsubmission_file)(_.*)?$")
_AGAIN = re.compile(r"-\d+$")


@dataclass(frozen=True)
class Submission:
    """One assignment as one student handed it in: the notebook, if there is one, and the folder that it lies in."""

    student: str
    assignment: str
    notebook: Path | None
    folder: Path | None = None
    problem: str = ""
    before: Path | None = None  # the prediction that was handed in before, where those are given

    @property
    def called(self) -> str:
        """How a comment names it."""
        return self.notebook.name if self.notebook else self.folder.name if self.folder else "nothing"


@dataclass
class Marks:
    """What a submission earned by assignment and test, and what there is to say about it."""

    submission: Submission
    points: dict[tuple[str, str], int] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Points of all tests."""
        return sum(self.points.values())


@dataclass(frozen=True)
class How:
    """How a folder is marked: by which masters, with which seed, held against which predictions."""

    masters: Path
    seed: int
    workers: int = 1
    roster: Path | None = None
    predictions: Path | None = None


def grade(folder: Path, how: How) -> tuple[str, str]:
    """Marks as CSV, and a summary in words.

    Raises:
        InputError: no such folder, nothing in it, or a roster that cannot be read.
    """
    for place in filter(None, (folder, how.predictions)):
        if not place.is_dir():
            raise InputError(f"{place}: no such folder of submissions")
    known, listed = assignments(how.masters), read_roster(how.roster) if how.roster else []
    with tempfile.TemporaryDirectory() as unpacked:
        found = list(submissions(folder, known, Path(unpacked, "now")))
        if not found:
            raise InputError(f"{folder}: no submissions in it (notebooks, folders or zip files)")
        if how.predictions:
            earlier = predictions(how.predictions, known, Path(unpacked, "before"))
            found = [replace(one, before=earlier.get(one.student, Path(unpacked, "none"))) for one in found]
        named = sorted({one.assignment for one in found if one.assignment})
        rows = by_student(_marked(found, how))
    text = as_csv(rows, [known[name] for name in named], listed)
    return (
        text,
        f"{len(rows)} students, {len(found)} submissions of {', '.join(named) or 'nothing known'}, seed {how.seed}",
    )


def _marked(found: Sequence[Submission], how: How) -> list[Marks]:
    """All marks; a submission that ends the process that marks it is tried once more, alone."""
    os.environ["OMP_NUM_THREADS"] = "1"
    work = partial(mark, masters=how.masters, seed=how.seed)
    with _processes(min(how.workers, len(found))) as pool:
        jobs = [pool.submit(work, one) for one in found]
    return [_alone(one, work) if job.exception() else job.result() for one, job in zip(found, jobs, strict=True)]


def _alone(submission: Submission, work: Callable[[Submission], Marks]) -> Marks:
    with _processes(1) as pool:
        try:
            return pool.submit(work, submission).result()
        except BrokenProcessPool:
            return Marks(submission, comments=["not marked: it ended the process that was marking it"])


def _processes(number: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(number, multiprocessing.get_context("spawn"))  # so that each process may fork


# --- who handed in what ----------------------------------------------------------------------------------------------


def submissions(folder: Path, known: Mapping[str, Assignment], unpacked: Path) -> Iterator[Submission]:
    """Every submission in a folder; one that cannot be used says why."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__MACOSX")) or path.is_symlink():
            continue
        if path.is_dir():
            yield from _of_folder(student_of(path.name, known), path, known, unpacked / path.name)
        elif path.suffix.lower() == ".zip":
            yield from _of_zip(student_of(path.stem, known), path, known, unpacked / path.stem)
        elif path.suffix == ".ipynb":
            yield _of_notebook(student_of(path.stem, known), path, known)


def predictions(folder: Path, known: Iterable[str], unpacked: Path) -> dict[str, Path]:
    """By student, the file of the prediction that was handed in alone: as it is, in a folder, or zipped."""
    found = {}
    for path in sorted(folder.iterdir()):
        place = path
        if path.suffix.lower() == ".zip" and not _unpack(path, unpacked / path.stem):
            place = unpacked / path.stem
        files = sorted(place.rglob("*prediction*.json")) if place.is_dir() else [path]
        if files and files[-1].suffix == ".json":
            found[student_of(path.name if path.is_dir() else path.stem, [*known, Path(PREDICTION).stem])] = files[-1]
    return found


def student_of(name: str, known: Iterable[str]) -> str:
    """The student in the name of a file or folder: what is left without assignment, platform's numbers and attempt."""
    left = whole = _PLATFORM.sub("", _AGAIN.sub("", name))
    for assignment in known:
        left = left.replace(assignment, "")
    return left.strip("_- ") or whole


def _of_zip(student: str, path: Path, known: Mapping[str, Assignment], place: Path) -> Iterator[Submission]:
    if problem := _unpack(path, place):
        yield Submission(student, "", None, problem=problem)
    else:
        yield from _of_folder(student, place, known)


def _of_folder(
    student: str, folder: Path, known: Mapping[str, Assignment], unpacked: Path | None = None
) -> Iterator[Submission]:
    """What is in a folder; the zip files in it too, where there is room to unpack them."""
    zipped = sorted(folder.glob("*.zip")) if unpacked else []
    for path in zipped:
        assert unpacked is not None
        yield from _of_zip(student, path, known, unpacked / path.stem)
    notebooks = [path for path in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    notebooks = [path for path in notebooks if not path.is_symlink()]
    for path in notebooks:
        found = _of_notebook(student, path, known)
        yield Submission(student, found.assignment, path, path.parent, found.problem)
    if notebooks or zipped:
        return
    named = [name for name in known if (folder / f"{name}.json").is_file() or name in folder.name]
    for name in named:
        yield Submission(student, name, None, folder)
    if not named:
        yield Submission(student, "", None, folder, "no submission: neither a notebook nor a result file")


def _of_notebook(student: str, path: Path, known: Mapping[str, Assignment]) -> Submission:
    try:
        own = cells.read(path).facts.get("assignment", "")
    except InputError as error:
        return Submission(student, _named_in(path.stem, known), path, problem=str(error))
    name = own if own in known else _named_in(path.stem, known)
    problem = "" if name else f"{path.name}: not known which assignment this is; name the file after it"
    return Submission(student, name, path, problem=problem)


def _named_in(stem: str, known: Iterable[str]) -> str:
    return next((name for name in known if name in stem), "")


def _unpack(path: Path, place: Path) -> str:
    """Unpack a zip file; returns why not, "" if it went well."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > LARGEST or len(entries) > MOST_FILES:
                return f"{path.name}: more than {LARGEST // 1_000_000} MB or {MOST_FILES} files when unpacked"
            archive.extractall(place)  # which keeps within the folder, whatever the names say
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, ValueError) as error:
        return f"{path.name}: not a zip file that can be read ({error})"
    return ""


# --- marking ---------------------------------------------------------------------------------------------------------


def mark(submission: Submission, masters: Path, seed: int) -> Marks:
    """The marks of one submission; whatever is in it, the others go on."""
    marks = Marks(submission)
    try:
        _mark(marks, masters, seed)
    except OSError as error:  # it cannot be read or copied
        marks.comments.append(f"could not be marked: {error}")
    return marks


def _mark(marks: Marks, masters: Path, seed: int) -> None:
    submission = marks.submission
    if submission.problem:
        marks.comments.append(submission.problem)
        return
    assignment = assignments(masters)[submission.assignment]
    sources = cells.read(submission.notebook).code() if submission.notebook else []
    if not sources:
        marks.comments.append("no code in it" if submission.notebook else "no notebook: only result files are marked")
    ours = _tests_of(assignment)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch, "handed-in")
        marks.comments += _copied(submission, place)
        given = {"seed": seed, "folder": place, "before": submission.before}
        for test in assignment.tests:  # those of files first: nothing of the student's has run yet
            if not test.needs:
                passed = secrets.token_hex(8)
                _note(marks, test, Outcome(_tested((), ours, (), given, test, passed), "", 0.0), passed)
        if not sources:
            return
        read = contained(lambda: "; ".join(cells.define(sources, {})), place, Limits(assignment.seconds))
        if read.value is None:
            marks.comments.append(f"the notebook's definitions: {read.why}")
            return
        marks.comments += [read.value] if read.value else []
        _run_tests(marks, assignment, sources, given)


@functools.cache
def _tests_of(assignment: Assignment) -> dict[str, Any]:
    """The tests, all that they import and what a function `prepare` reads: once, so that no process has to."""
    ours: dict[str, Any] = {"__name__": "tests"}
    if problems := cells.define([*assignment.code("setup"), *assignment.code("test", "hidden-test")], ours):
        raise InputError(f"the master {assignment.name} is broken: {'; '.join(problems)}")
    for name in assignment.notebook.facts.get("not_allowed", ()):
        importlib.import_module(name.partition(":")[0])
    if "prepare" in ours:
        ours["prepare"]()
    return ours


def _run_tests(marks: Marks, assignment: Assignment, sources: Sequence[str], given: Mapping[str, Any]) -> None:
    """Each test of functions in a process of its own, until the submission has used up its time."""
    ours, forbidden = _tests_of(assignment), assignment.notebook.facts.get("not_allowed", ())
    left = TESTS * assignment.seconds
    for test in (test for test in assignment.tests if test.needs):
        if left <= 0:
            marks.comments.append(f"{test.name}: not run, the tests before took all the time there is")
            continue
        passed = secrets.token_hex(8)  # which code under test cannot know
        work = partial(_tested, forbidden, ours, sources, given, test, passed)
        done = contained(work, given["folder"], Limits(min(left, assignment.seconds)))
        left -= 4 * assignment.seconds if done.why.startswith("stopped") else done.seconds
        _note(marks, test, done, passed)


def _note(marks: Marks, test: Test, done: Outcome, passed: str) -> None:
    if done.value == passed:
        marks.points[marks.submission.assignment, test.name] = test.points
    else:
        why = done.why if done.value is None else done.value
        marks.comments.append(" ".join(part for part in (f"{test.name}: {test.says}", why) if part))


def _copied(submission: Submission, place: Path) -> list[str]:
    """Put what was handed in where the tests may read it, links left out; returns what there is to say."""
    place.mkdir()
    folder = submission.folder
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()] if folder else []
    if len(files) > MOST_FILES or sum(path.stat().st_size for path in files) > LARGEST:
        return [f"{submission.called}: too much to copy; result files are not read"]
    for path in files:
        assert folder is not None
        target = place / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return []


def _tested(
    forbidden: Iterable[str],
    ours: Mapping[str, Any],
    sources: Sequence[str],
    given: Mapping[str, Any],
    test: Test,
    passed: str,
) -> str:
    """Run a test on what a notebook defines: `passed`, or why not; of a hidden test nothing else."""
    _forbid(forbidden)
    theirs: dict[str, Any] = {"__name__": "submission"}
    cells.define(sources, theirs)
    try:
        function = ours[test.name]
        function(**asked(function, theirs, given))
    except NotImplementedError:
        return "Not written."
    except (LookupError, PermissionError, MemoryError, NotAllowed) as error:
        return explained(error)
    except Exception as error:
        return "" if test.hidden else explained(error)
    return passed


class NotAllowed(Exception):
    """What the exercise asks for was taken from the package."""


def _forbid(named: Iterable[str]) -> None:
    """Put in the place of functions of the package, named "module:function", one that says to write it oneself."""
    for name in named:
        module, _, function = name.partition(":")

        def refuse(*_: object, __name: str = name, **__: object) -> None:
            raise NotAllowed(f"{__name} is what you are asked to write.")

        setattr(importlib.import_module(module), function, refuse)


# --- the table -------------------------------------------------------------------------------------------------------


def by_student(marked: Iterable[Marks]) -> dict[str, list[Marks]]:
    """The marks that count, by student: of several submissions of one assignment the best."""
    found: dict[tuple[str, str], list[Marks]] = {}
    for marks in marked:
        found.setdefault((marks.submission.student, marks.submission.assignment), []).append(marks)
    rows: dict[str, list[Marks]] = {}
    for (student, _), several in found.items():
        best = max(several, key=lambda one: one.total)
        if len(several) > 1:
            names = ", ".join(one.submission.called for one in several)
            best.comments.insert(0, f"{len(several)} submissions ({names}): the best counts, {best.submission.called}")
        rows.setdefault(student, []).append(best)
    return dict(sorted(rows.items()))


def as_csv(
    rows: Mapping[str, Sequence[Marks]], graded: Sequence[Assignment], roster: Sequence[Mapping[str, str]]
) -> str:
    """One line per student: of the roster with its columns, where there is one, then of whoever is not in it."""
    columns = list(roster[0]) if roster else ["student"]
    tests = [(assignment, test) for assignment in graded for test in assignment.tests]
    header = [*columns, *(["submission of"] if roster else []), "total", *(one.name for one in graded)]
    header += [f"{assignment.name}: {test.name} (of {test.points})" for assignment, test in tests] + ["comments"]
    lines, left = [], dict(rows)
    for entry in roster:
        if "Points Possible" in map(str.strip, entry.values()):  # the line of maxima in an export of Canvas
            most = {(assignment.name, test.name): test.points for assignment, test in tests}
            lines.append([*entry.values(), "", *_cells([Marks(Submission("", "", None), most)], graded, "")])
            continue
        name = next((student for student in left if _is_of(student, entry.values())), "")
        lines.append([*entry.values(), name, *_cells(left.pop(name, []), graded, "no submission")])
    for student, several in left.items():
        blank = [*([""] * len(columns)), student] if roster else [student]
        lines.append([*blank, *_cells(several, graded, "", "not in the roster" if roster else "")])
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([[_harmless(cell) for cell in line] for line in lines])
    return text.getvalue()


def _cells(several: Sequence[Marks], graded: Sequence[Assignment], none: str, note: str = "") -> list[object]:
    points = {name: earned for marks in several for name, earned in marks.points.items()}
    told = (f"{marks.submission.assignment}: {'; '.join(marks.comments)}" for marks in several if marks.comments)
    said = [note, *(one.removeprefix(": ") for one in told), "" if several else none]
    sums = [sum(points.get((one.name, test.name), 0) for test in one.tests) for one in graded]
    single = [points.get((one.name, test.name), 0) for one in graded for test in one.tests]
    return [sum(sums), *sums, *single, "; ".join(part for part in said if part)]


def _harmless(cell: object) -> object:
    """No spreadsheet shall take a student's text for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t")) else cell


def read_roster(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV of students, such as the export of a gradebook; its columns are kept.

    Raises:
        InputError: it cannot be read, or holds no student.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = [{name: value or "" for name, value in row.items() if name} for row in csv.DictReader(handle)]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"roster {path}: {error}") from error
    if not rows:
        raise InputError(f"roster {path}: no line beneath the header")
    return rows


def _is_of(student: str, values: Iterable[str]) -> bool:
    """Whether a submission's name is one of a student's: name, "Last, First", login, address or number."""
    wanted = _plain(student)
    spelt = [value for value in values if value.strip()]
    spelt += [" ".join(reversed(value.split(",", 1))) for value in spelt if "," in value]
    return any(wanted in (_plain(value), _plain(value.split("@")[0])) for value in spelt)


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))
