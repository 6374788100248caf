"""Coursework: what students and instructors get, and that a marker survives whatever is handed in."""

from __future__ import annotations

import ast
import csv
import ctypes
import io
import json
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

from lowres.course import MASTERS, STUDENT_SEED, assignments, capstone, cells, check, grading, making, same
from lowres.course.contained import Limits, contained, landlock_version
from lowres.ledger import Ledger, serialise
from lowres.optimisation import Optimisation
from lowres.params import InputError
from lowres.trial import from_dict, run

GRADER_SEED = 20_261
ANSWER = 'def double(x):\n    """Twice x."""\n    return 2 * x\n'
HALF = 'def half(x):\n    """Half of x."""\n    return x / 2\n'
VISIBLE = '''def test_twice(double, points=2):
    """Two becomes four."""
    same(double(2), 4)


check(test_twice)
'''
HIDDEN = '''def test_any(double, half, seed, points=3):
    """Doubling any number and halving it changes nothing."""
    same(half(double(seed)), seed, "secret detail")


def test_where(folder, points=1):
    """A result file says yes."""
    assert (folder / "result.txt").read_text() == "yes"
'''


def notebook(*sources: str, tags: tuple[str, ...] = (), language: str = "python") -> str:
    kinds = dict(zip(sources, tags, strict=False))
    made = [
        {"cell_type": "code", "source": one, "metadata": {"tags": [kinds[one]] if one in kinds else []}}
        for one in sources
    ]
    return json.dumps({"cells": made, "metadata": {"kernelspec": {"language": language}}})


@pytest.fixture(scope="module")
def masters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masters")
    setup = "from lowres.course import check, same\n"
    values = json.loads(
        notebook(setup, ANSWER, VISIBLE, HALF, HIDDEN, tags=("setup", "answer", "test", "answer", "hidden-test"))
    )
    values["metadata"]["lowres"] = {"assignment": "toy", "seconds": 2}
    (folder / "toy.ipynb").write_text(json.dumps(values))
    return folder


def marks_of(masters: Path, *sources: str, **settings: str) -> grading.Marks:
    path = masters.parent / "handed-in_toy.ipynb"
    path.write_text(notebook(*sources, **settings))
    found = grading.submissions(masters.parent, assignments(masters), masters.parent)
    (submission,) = [one for one in found if one.notebook == path]
    return grading.mark(submission, masters, GRADER_SEED)


# --- a right answer, and what may happen to one ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "sources",
    [
        (ANSWER, HALF),
        (HALF, "print('in between')", ANSWER),
        ("def double(x):\n    return 0", ANSWER, HALF),
        (ANSWER, HALF, making.blanked(ANSWER)),
        (ANSWER.replace("\n", "\r\n"), HALF),
        (ANSWER, HALF, "this is no python", "%matplotlib inline\n!pip install numpy==1.0\nraise SystemExit"),
        (ANSWER, HALF, VISIBLE.replace("4", "5"), HIDDEN.replace("seed)", "0)")),
        ("TWO = 2\ndef double(x, by=TWO):\n    return by * x", "half = lambda x: x / TWO"),
        ("ways = list([2])\nlate = time.sleep(99)\ndef double(x):\n    return ways[0] * x", HALF, "import time"),
        (ANSWER, HALF, "import a_package_of_the_student"),
    ],
    ids=[
        "plain",
        "reordered",
        "doubled",
        "blank-again",
        "windows",
        "broken-cells",
        "own-tests",
        "helpers",
        "calls",
        "own-package",
    ],
)
def test_a_right_answer_earns_its_points_whatever_the_cells(masters: Path, sources: tuple[str, ...]) -> None:
    assert marks_of(masters, *sources).total == 5


def test_hidden_tests_tell_their_property_and_no_more(masters: Path) -> None:
    marks = marks_of(masters, ANSWER, HALF.replace("/ 2", "/ 3"))
    assert marks.points == {("toy", "test_twice"): 2}
    said = "; ".join(marks.comments)
    assert "changes nothing" in said
    assert "secret" not in said


def test_a_renamed_function_is_looked_for_in_vain(masters: Path) -> None:
    marks = marks_of(masters, ANSWER.replace("double", "doubled"), HALF)
    assert marks.total == 0
    assert "there is no double" in "; ".join(marks.comments)
    assert "doubled" in "; ".join(marks.comments)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("while True: pass", "more than 2 seconds"),
        ("while True:\n        try:\n            while True: pass\n        except BaseException: pass", "more than 2"),
        ("time.sleep(10**9)", "more than 2 seconds"),
        ("return len([0] * (20 * 2**27))", "MemoryError"),
        ("import ctypes, os; ctypes.pythonapi.kill(os.getppid(), 9)", "refused"),
        ("import os; os.fork()", "refused"),
        ("import subprocess; subprocess.run(['ls'])", "refused"),
        ("open('/tmp/outside-of-the-folder', 'w')", "refused"),
        ("import os; return os.listdir(os.path.expanduser('~') + '/..')", "refused"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "refused"),
        ("import os; os._exit(0)", "ended before"),
        ("import sys; sys.exit()", "SystemExit"),
        ("raise ValueError('mine')", "mine"),
        ("return 'four'", "could not convert"),
    ],
)
def test_what_goes_wrong_costs_its_points_only(masters: Path, body: str, told: str) -> None:
    marks = marks_of(masters, f"import time\ndef double(x):\n    {body}", HALF)
    assert marks.total == 0
    assert told in "; ".join(marks.comments)


def test_definitions_that_hang_cost_the_submission(masters: Path) -> None:
    marks = marks_of(masters, "class Hang:\n    while True: pass", ANSWER, HALF)
    assert marks.total == 0
    assert "more than 2 seconds" in marks.comments[-1]


def test_what_is_to_be_written_cannot_be_called(tmp_path: Path) -> None:
    values = json.loads(notebook("from lowres.course import check, same", VISIBLE, tags=("setup", "test")))
    values["metadata"]["lowres"] = {"not_allowed": ["operator:mul"]}
    masters = tmp_path / "masters"
    masters.mkdir()
    (masters / "toy.ipynb").write_text(json.dumps(values))
    marks = marks_of(masters, "import operator\ndef double(x):\n    return operator.mul(2, x)")
    assert marks.total == 0
    assert "asked to write" in "; ".join(marks.comments)


# --- what is no notebook ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "not a notebook"),
        ("[1, 2]", "not a notebook"),
        ('{"cells": 3}', "not a notebook"),
        ("{" * 100_000, "not a notebook"),
        (notebook("x <- 1", language="R"), "in R"),
        (notebook(), "no code"),
    ],
    ids=["empty-file", "list", "number", "deep", "other-kernel", "empty-notebook"],
)
def test_what_is_no_notebook_is_named(masters: Path, tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "ada_toy.ipynb"
    path.write_text(content)
    (submission,) = grading.submissions(tmp_path, assignments(masters), tmp_path)
    marks = grading.mark(submission, masters, GRADER_SEED)
    assert submission.student == "ada"
    assert marks.total == 0
    assert told in "; ".join(marks.comments)


# --- a folder of submissions -----------------------------------------------------------------------------------------


def test_a_folder_becomes_a_table(masters: Path, tmp_path: Path) -> None:
    good, bad = notebook(ANSWER, HALF), notebook("def double(x):\n    import os; os._exit(1)")
    folder = tmp_path / "in"
    for place in ("Bo Berg_7_assignsubmission_file", "empty"):
        (folder / place).mkdir(parents=True)
    (folder / "adalove_12_34_toy.ipynb").write_text(bad)
    (folder / "adalove_12_35_toy-1.ipynb").write_text(good)
    with zipfile.ZipFile(folder / "Bo Berg_7_assignsubmission_file" / "all of it.zip", "w") as archive:
        archive.writestr("mine/my toy.ipynb", good)
        archive.writestr("mine/result.txt", "yes")
    with zipfile.ZipFile(folder / "cy_toy.zip", "w") as archive:
        archive.writestr("../../escaped.txt", "no")
        archive.writestr("toy.ipynb", good)
    (folder / "dee_toy.zip").write_text("no zip")
    damaged = bytearray((folder / "cy_toy.zip").read_bytes())
    damaged[-200:-150] = bytes(50)
    (folder / "eve_toy.zip").write_bytes(damaged)
    (tmp_path / "roster.csv").write_text('Student,ID\n  Points Possible,\n"Love, Ada",1\n"Berg, Bo",2\n"Ek, Fia",3\n')
    text, _ = grading.grade(folder, grading.How(masters, GRADER_SEED, workers=2))
    rows = {row["student"]: row for row in csv.DictReader(io.StringIO(text))}
    assert {name: row["total"] for name, row in rows.items()} == {
        "adalove": "5", "Bo Berg": "6", "cy": "5", "dee": "0", "eve": "0", "empty": "0",
    }  # fmt: skip
    assert "2 submissions" in rows["adalove"]["comments"]
    assert "no submission" in rows["empty"]["comments"]
    assert rows["Bo Berg"]["toy: test_where (of 1)"] == "1"
    assert "zip" in rows["dee"]["comments"]
    assert not list(tmp_path.glob("escaped*"))

    text, _ = grading.grade(folder, grading.How(masters, GRADER_SEED, roster=tmp_path / "roster.csv"))
    table = list(csv.DictReader(io.StringIO(text)))
    assert [(row["ID"], row["total"]) for row in table[:4]] == [("", "6"), ("1", "5"), ("2", "6"), ("3", "0")]
    assert "no submission" in table[3]["comments"]
    assert "not in the roster" in table[-1]["comments"]


def test_text_of_students_is_no_formula() -> None:
    marks = grading.Marks(grading.Submission("=1+1", "toy", None))
    (row,) = csv.DictReader(io.StringIO(grading.as_csv({"=1+1": [marks]}, [], [])))
    assert row["student"] == "'=1+1"


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("toy", "toy"),
        ("toy-1", "toy"),
        ("ada_toy", "ada"),
        ("doejane_123_456_toy", "doejane"),
        ("doejane_LATE_123_456_toy-2", "doejane"),
        ("Jane Doe_123_assignsubmission_file_", "Jane Doe"),
        ("jean-luc_toy", "jean-luc"),
        ("doejane_123_456_my homework", "doejane"),
        ("Jane Doe_123_assignsubmission_file_homework", "Jane Doe"),
    ],
)
def test_names_of_platforms(name: str, student: str) -> None:
    assert grading.student_of(name, ["toy"]) == student


def test_no_folder_and_no_submissions_are_refused(masters: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError):
            grading.grade(folder, grading.How(masters, 1))


def test_a_submission_that_ends_its_marker_leaves_the_others(masters: Path, tmp_path: Path) -> None:
    """Such as one for whose memory the system ends the whole process; here the test of a master does it."""
    shutil.copytree(masters, tmp_path / "masters")
    path = tmp_path / "masters" / "toy.ipynb"
    path.write_text(
        path.read_text().replace(
            "    assert (folder", "    assert not (folder / 'deadly').exists() or exit_()\\n    assert (folder"
        )
    )
    path.write_text(
        path.read_text().replace(
            "def test_where", "def exit_():\\n    import os\\n    os._exit(1)\\n\\n\\ndef test_where"
        )
    )
    for student, names in (("ada", ("result.txt",)), ("bo", ("deadly",)), ("cy", ())):
        (tmp_path / "in" / f"{student}_toy").mkdir(parents=True)
        (tmp_path / "in" / f"{student}_toy" / "toy.ipynb").write_text(notebook(ANSWER, HALF))
        for name in names:
            (tmp_path / "in" / f"{student}_toy" / name).write_text("yes")
    text, _ = grading.grade(tmp_path / "in", grading.How(tmp_path / "masters", GRADER_SEED))
    rows = {row["student"]: row for row in csv.DictReader(io.StringIO(text))}
    assert {name: row["total"] for name, row in rows.items()} == {"ada": "6", "bo": "0", "cy": "5"}
    assert "not marked" in rows["bo"]["comments"]


def test_files_are_marked_whatever_the_notebook_does(masters: Path, tmp_path: Path) -> None:
    """They are looked at before any of its code runs, which could put a pipe or a link in their place."""
    (tmp_path / "ada_toy").mkdir()
    (tmp_path / "ada_toy" / "toy.ipynb").write_text(
        notebook(
            "class Swap:\n    import os\n    os.remove('result.txt')\n    os.mkfifo('result.txt')",
            "class Hang:\n    while True: pass",
        )
    )
    (tmp_path / "ada_toy" / "result.txt").write_text("yes")
    (submission,) = grading.submissions(tmp_path, assignments(masters), tmp_path)
    assert grading.mark(submission, masters, GRADER_SEED).points == {("toy", "test_where"): 1}


def test_predictions_are_found_by_student(tmp_path: Path) -> None:
    (tmp_path / "in" / "Bo Berg_7_assignsubmission_file").mkdir(parents=True)
    for name in ("doejane_1_2_prediction-1.json", "Bo Berg_7_assignsubmission_file/prediction.json"):
        (tmp_path / "in" / name).write_text("{}")
    with zipfile.ZipFile(tmp_path / "in" / "cy_08_capstone.zip", "w") as archive:
        archive.writestr("mine/prediction.json", "{}")
    found = grading.predictions(tmp_path / "in", assignments(), tmp_path / "out")
    assert sorted(found) == ["Bo Berg", "cy", "doejane"]
    assert all(path.read_text() == "{}" for path in found.values())


# --- containment -----------------------------------------------------------------------------------------------------


def test_native_code_reads_no_other_folder(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    (tmp_path / "mine").mkdir()
    (tmp_path / "other.txt").write_text("secret")
    for name in ("mine/own.txt", "other.txt"):
        (tmp_path / name).write_text("text")
    read = {
        name: contained(lambda name=name: str(pyarrow.OSFile(str(tmp_path / name)).read()), tmp_path / "mine")
        for name in ("mine/own.txt", "other.txt")
    }
    assert read["mine/own.txt"].value == "b'text'"
    if landlock_version():
        assert read["other.txt"].value is None


@pytest.mark.skipif(sys.platform != "linux", reason="the number of a system call of Linux")
def test_processes_that_are_left_behind_are_ended(tmp_path: Path) -> None:
    """A process that native code forked is not seen by Python's audit; it ends with the one that it came from."""
    fork, ended = ctypes.CDLL(None).fork, tmp_path / "ended"

    def work() -> str:
        if fork() == 0:
            time.sleep(5)
            ended.touch()
        return "done"

    assert contained(work, tmp_path, Limits(seconds=1)).value == "done"
    time.sleep(6)
    assert not ended.exists()


# --- what is handed out ----------------------------------------------------------------------------------------------


def test_students_get_neither_solutions_nor_hidden_tests(tmp_path: Path) -> None:
    making.make(made=tmp_path)
    with zipfile.ZipFile(tmp_path / "student.zip") as archive:
        handed = "\n".join(archive.read(name).decode() for name in archive.namelist())
    for assignment in assignments().values():
        given = "\n".join(assignment.code("setup", "test"))
        for test in assignment.tests:
            assert (test.name in handed) != test.hidden, test.name
        for source in assignment.code("answer"):
            blank = making.blanked(source)
            for line in map(str.strip, source.splitlines()):
                if len(line) > 12 and line not in blank and line not in given:
                    assert json.dumps(line)[1:-1] not in handed, line


def test_every_assignment_says_what_it_asks() -> None:
    measured = json.loads((MASTERS / making.MEASURED).read_text())
    for name, assignment in assignments().items():
        prose = [cell.source for cell in assignment.notebook.cells if cell.kind == "markdown"]
        for promised in ("**Goals.**", "**Before you start.**", "**Reading.**", "**Difficulty.**", "{measured}"):
            assert promised in prose[0], (name, promised)
        assert 0 < float(measured[name].split()[0]) <= 10
        assert sum("Signature result" in text for text in prose) == 1, name
        assert any("<details><summary>Hint" in text for text in prose), name
        assert all(test.says != test.name for test in assignment.tests), name


def test_every_function_asked_for_is_in_the_students_copy() -> None:
    for assignment in assignments().values():
        copy = json.loads(making.student_copy(assignment))
        source = "\n".join("".join(cell["source"]) for cell in copy["cells"] if cell["cell_type"] == "code")
        names = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        assert {need for test in assignment.tests for need in test.needs} <= names


@pytest.mark.parametrize("name", list(assignments()))
def test_a_solution_scores_in_full_and_an_empty_copy_nothing(name: str, tmp_path: Path) -> None:
    assignment = assignments()[name]
    empty = tmp_path / f"{name}.ipynb"
    empty.write_text(making.student_copy(assignment))
    solved = grading.mark(grading.Submission("a", name, MASTERS / empty.name, None), MASTERS, GRADER_SEED)
    assert solved.total == sum(test.points for test in assignment.tests if test.needs), solved.comments
    assert grading.mark(grading.Submission("b", name, empty), MASTERS, GRADER_SEED).total == 0


# --- the capstone ----------------------------------------------------------------------------------------------------


PREDICTION = capstone.Prediction("no miracle", "one", "two", 5.0, (11, 12, 13), "no", 0.0, "nothing scores above one")


def test_the_arms_that_are_offered_can_be_run() -> None:
    """Of the records that the capstone really starts from; the other tests put others in their place."""
    offered = replace(PREDICTION, more="loreft", less="loreft-no-subtraction", seeds=(51, 52, 53))
    made = capstone.trials(offered)
    assert [(trial.arm, trial.seed) for trial in made] == [
        (a, s) for a in (offered.more, offered.less) for s in (51, 52, 53)
    ]
    assert all(trial.key() for trial in made)  # model and data of today
    assert 0 in capstone.published_seeds(offered)


@pytest.fixture(scope="module")
def handed_in(chat_folder: Path, task: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A capstone as a student hands it in, with a tiny model in the place of the world's."""
    folder, other = tmp_path_factory.mktemp("capstone"), Optimisation(learning_rate=2e-2, epochs=2, batch_size=4)
    first = [run(tiny.trial(chat_folder, task, arm="one", study=capstone.STUDY))]
    first += [run(tiny.trial(chat_folder, task, arm="two", study=capstone.STUDY, optimisation=other))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capstone, "MODEL", str(chat_folder))
        patch.setattr(capstone, "TASK", task)
        for name in ("read_first_edition", "read_confirmatory"):
            patch.setattr(capstone, name, lambda study: first)
        made, ledger = capstone.predict(PREDICTION, folder), Ledger(folder / "ledger")
        for trial in capstone.trials(made):
            ledger.put(run(trial))
        capstone.conclude(made, folder)
        yield folder


@pytest.fixture
def capstone_folder(handed_in: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(handed_in, tmp_path / "handed-in"))


def holds(folder: Path) -> None:
    capstone.older(folder)
    capstone.recomputed(folder)
    capstone.again(folder, seed=3)


def tampered(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a record, with a checksum that fits."""
    for path in (folder / "ledger").glob("*.json"):
        values = json.loads(path.read_text())["record"]
        change(values)
        path.write_text(serialise(from_dict(values)))


def test_a_capstone_that_holds_and_what_does_not(capstone_folder: Path) -> None:
    holds(capstone_folder)
    verdict = json.loads((capstone_folder / "verdict.json").read_text())
    assert verdict["answer"] == "no"
    (capstone_folder / "verdict.json").write_text(json.dumps({**verdict, "answer": "yes"}))
    with pytest.raises(AssertionError, match="the rule says no"):
        capstone.recomputed(capstone_folder)

    def better(values: dict[str, Any]) -> None:
        if values["trial"]["arm"] == "one":
            values["outcomes"]["task"] = {name: [9.0] * len(them) for name, them in values["outcomes"]["task"].items()}

    tampered(capstone_folder, better)
    capstone.planned(capstone_folder)
    for seed in range(2):
        with pytest.raises(AssertionError, match="run again, differs"):
            capstone.again(capstone_folder, seed)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda values: values["trial"].update(seed=99), "is of another trial"),
        (lambda values: values["trial"].update(study="capstone-0"), "is of another trial"),
        (lambda values: values["provenance"].update(date="2020-01-01 10:00 UTC"), "the prediction is of"),
        (lambda values: values.update(key="0" * 16), "it holds the record of"),
        (lambda values: values.update(status="failed"), "failed"),
    ],
)
def test_records_that_are_not_what_they_say(capstone_folder: Path, change: Any, told: str) -> None:
    tampered(capstone_folder, change)
    with pytest.raises(AssertionError, match=told):
        capstone.older(capstone_folder)


def test_the_prediction_is_the_one_that_was_handed_in_before(capstone_folder: Path, tmp_path: Path) -> None:
    early, values = tmp_path / "early.json", json.loads((capstone_folder / "prediction.json").read_text())
    with pytest.raises(AssertionError, match="no prediction was handed in"):
        capstone.older(capstone_folder, early)
    early.write_text(json.dumps(values))
    capstone.older(capstone_folder, early)
    early.write_text(json.dumps({**values, "answer": "yes"}))
    with pytest.raises(AssertionError, match="another prediction"):
        capstone.older(capstone_folder, early)


def test_a_record_that_is_missing(capstone_folder: Path) -> None:
    next((capstone_folder / "ledger").glob("*.json")).unlink()
    with pytest.raises(AssertionError, match="there is none"):
        capstone.planned(capstone_folder)


def test_a_record_whose_checksum_does_not_fit(capstone_folder: Path) -> None:
    for path in (capstone_folder / "ledger").glob("*.json"):
        path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(AssertionError, match="checksum"):
        capstone.planned(capstone_folder)


def test_a_prediction_stays_and_its_seeds_are_new(
    capstone_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(InputError, match="another prediction"):
        capstone.predict(replace(PREDICTION, margin=0.5), capstone_folder)
    for wrong in ({"seeds": (0, 11, 12)}, {"seeds": (11, 12)}, {"answer": "maybe"}, {"more": "three"}):
        with pytest.raises(InputError):
            capstone.predict(replace(PREDICTION, **wrong), tmp_path_factory.mktemp("new"))


# --- tests beneath a cell --------------------------------------------------------------------------------------------


def test_check_says_of_each_property_whether_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    cells.define(["from lowres.course import same", VISIBLE, HIDDEN, ANSWER, HALF.replace("/ 2", "/ 3 + 1")], names)
    check(names["test_twice"], names["test_any"])  # type: ignore[arg-type]
    assert STUDENT_SEED != GRADER_SEED
    assert capsys.readouterr().out.splitlines() == [
        "✓ Two becomes four.",
        "✗ Doubling any number and halving it changes nothing. secret detail: expected 0, got 1",
    ]


def test_numbers_that_pretend_to_be_equal_are_not() -> None:
    class Yes:
        def __eq__(self, other: object) -> bool:
            return True

    with pytest.raises((AssertionError, TypeError)):
        same(Yes(), 4)
