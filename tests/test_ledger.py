"""Records on disk: written whole or not at all, read with suspicion."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres import ledger, places, trial
from lowres.ledger import Ledger
from lowres.params import InputError
from lowres.trial import Record

SPEC: dict[str, Any] = {
    "study": "tell",
    "arm": "sft",
    "model": "tiny",
    "task": "colours",
    "seed": 0,
    "recipe": {"task_tokens": 200, "general_tokens": 0},
}


A, B, C, D = (letter * 16 for letter in "abcd")


def record(key: str = "0123456789abcdef", **changes: Any) -> Record:
    spec = SPEC | {name: changes.pop(name) for name in list(changes) if name in SPEC}
    made = Record(
        key=key,
        status="done",
        trial=spec,
        fingerprints={"data": "d", "model": "m", "code": "c"},
        outcomes={"task": {"token_f1": [0.1, 1.0, 1 / 3]}},
        texts={"task": ["naïve – 日本", 'a "quoted"\nline']},
        provenance={"date": "2024-05-01 10:00 UTC"},
    )
    return replace(made, **changes)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- one record ------------------------------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was(tmp_path: Path):
    kept = Ledger(tmp_path / "deep" / "ledger")
    kept.put(record())
    assert kept.get("0123456789abcdef") == record()
    assert names(kept.folder) == ["0123456789abcdef.json"]
    assert kept.get("absent") is None


@given(st.lists(st.floats(allow_nan=False)), st.text(), st.dictionaries(st.text(), st.integers()))
def test_any_values_come_back(values: list[float], text: str, counts: dict[str, int]):
    made = record(outcomes={"task": {"x": values}}, error=text.encode("utf-8", "replace").decode(), counts=counts)
    try:
        written = ledger.serialise(made).encode()
    except UnicodeEncodeError:  # half of a surrogate pair is no text
        return
    assert ledger.parse(written.decode(), made.key) == made


def test_putting_again_replaces(tmp_path: Path):
    kept = Ledger(tmp_path)
    kept.put(record())
    kept.put(record(status="failed", error="late"))
    assert kept.records() == [record(status="failed", error="late")]


def test_records_are_those_of_a_study_in_the_order_of_their_keys(tmp_path: Path):
    kept = Ledger(tmp_path)
    made = [record(key, study=study) for key, study in ((C, "tell"), (A, "fiat"), (B, "tell"))]
    for one in made:
        kept.put(one)
    assert [one.key for one in kept.records("tell")] == [B, C]
    assert [one.key for one in kept.records()] == [A, B, C]
    assert kept.records("loreft") == []


# --- corruption ------------------------------------------------------------------------------------------------------


def changed(path: Path, **changes: Any) -> None:
    """Change the body of a record and leave its checksum."""
    values = json.loads(path.read_text())
    values["record"] |= changes
    path.write_text(json.dumps(values))


def without_status(path: Path) -> None:
    """A record that lacks a field, with a checksum that fits."""
    body = json.loads(path.read_text())["record"]
    del body["status"]
    text = json.dumps(body, sort_keys=True, ensure_ascii=False)
    path.write_text(json.dumps({"checksum": ledger._checksum(text), "record": body}))


def rewritten(path: Path, **changes: Any) -> None:
    """A record with other fields and a checksum that fits them."""
    body = json.loads(path.read_text())["record"] | changes
    text = json.dumps(body, sort_keys=True, ensure_ascii=False)
    path.write_text(json.dumps({"checksum": ledger._checksum(text), "record": body}))


DAMAGE = {
    "empty": lambda path: path.write_text(""),
    "cut short": lambda path: path.write_text(path.read_text()[:-20]),
    "not JSON": lambda path: path.write_text("half a"),
    "another thing": lambda path: path.write_text("[1, 2]"),
    "no record": lambda path: path.write_text('{"checksum": "", "record": 1}'),
    "no checksum": lambda path: path.write_text(json.dumps({"record": record(B).as_dict()})),
    "tampered": lambda path: changed(path, outcomes={"task": {"token_f1": [1.0]}}),
    "a field missing": without_status,
    "a field of another kind": lambda path: rewritten(path, outcomes=None),
    "too deep": lambda path: path.write_text("[" * 100_000),
    "not text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "another's": lambda path: path.write_text(ledger.serialise(record(D))),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_record_is_named_and_the_rest_is_used_and_nothing_moves(tmp_path: Path, kind: str):
    kept = Ledger(tmp_path)
    for key in (A, B, C):
        kept.put(record(key))
    DAMAGE[kind](tmp_path / f"{B}.json")
    damaged = (tmp_path / f"{B}.json").read_bytes()
    with pytest.warns(UserWarning, match=rf"record {B}\.json is corrupted .*; it is not used") as told:
        found = [*kept.records(), *kept.records()]
    assert len(told) == 1
    assert [one.key for one in found] == [A, C, A, C]
    assert kept.get(B) is None
    assert f"corrupted: {B}.json" in ledger.describe(kept, "tell")
    assert names(tmp_path) == [f"{key}.json" for key in (A, B, C)]
    kept.put(record(B))
    assert len(kept.records()) == 3
    assert (tmp_path / "quarantine" / f"{B}-1.json").read_bytes() == damaged
    assert f"quarantined: {B}-1.json" in ledger.describe(kept, "tell")
    assert "corrupted" not in ledger.describe(kept, "tell")


def test_a_quarantined_file_is_never_overwritten(tmp_path: Path):
    kept = Ledger(tmp_path)
    for text in ("first", "second"):
        (tmp_path / f"{A}.json").write_text(text)
        with pytest.warns(UserWarning, match="corrupted"):
            kept.get(A)
        kept.put(record(A))
    assert names(tmp_path) == [f"{A}.json", f"quarantine/{A}-1.json", f"quarantine/{A}-2.json"]
    assert [(tmp_path / "quarantine" / f"{A}-{n}.json").read_text() for n in (1, 2)] == ["first", "second"]


def test_a_file_in_place_of_the_quarantine_is_named(tmp_path: Path):
    (tmp_path / "quarantine").write_text("mine")
    (tmp_path / f"{A}.json").write_text("")
    kept = Ledger(tmp_path)
    with pytest.warns(UserWarning, match="corrupted"):
        kept.get(A)
    with pytest.raises(InputError, match=r"cannot move .*quarantine: File exists"):
        kept.put(record(A))
    assert names(tmp_path) == [f"{A}.json", "quarantine"]


FOREIGN = ("package.json", "yarn.lock", "0123.json", f"{A.upper()}.json", f"{A}0.json", "notes.txt")


def test_files_of_others_are_left_alone(tmp_path: Path):
    for name in FOREIGN:
        (tmp_path / name).write_bytes(b"\xff not ours")
    kept = Ledger(tmp_path)
    kept.put(record(A))
    with kept.claim(A), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [one.key for one in kept.records()] == [A]
        assert kept.claimed_by(os.getpid()) == [A]
        ledger.describe(kept, None)
    assert names(tmp_path) == sorted([*FOREIGN, f"{A}.json", f"{A}.lock"])
    assert {(tmp_path / name).read_bytes() for name in FOREIGN} == {b"\xff not ours"}


def test_a_record_of_a_later_version_of_the_package_is_no_damage(tmp_path: Path):
    kept = Ledger(tmp_path)
    kept.put(record(A))
    rewritten(tmp_path / f"{A}.json", mood="good", schema=9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kept.get(A) == replace(record(A), schema=9)


def test_a_file_that_cannot_be_read_is_not_called_corrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = Ledger(tmp_path)
    kept.put(record(A))
    monkeypatch.setattr(Path, "read_text", fail(errno.EIO))
    with pytest.raises(InputError, match=r"cannot read .*a\.json: Input/output error"):
        kept.get(A)
    assert names(tmp_path) == [f"{A}.json"]


# --- writing ---------------------------------------------------------------------------------------------------------


def fail(code: int) -> Any:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("step", ["replace", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_failed_write_leaves_the_old_record_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
):
    kept = Ledger(tmp_path)
    kept.put(record())
    monkeypatch.setattr(os, step, fail(code))
    with pytest.raises(InputError, match=rf"cannot write .*0123456789abcdef\.json: {os.strerror(code)}"):
        kept.put(record(status="failed"))
    monkeypatch.undo()
    assert names(tmp_path) == ["0123456789abcdef.json"]
    assert kept.records() == [record()]


@pytest.mark.parametrize("umask", [0o077, 0o002])
def test_who_may_read_a_record_is_the_users_own_choice(tmp_path: Path, umask: int):
    before = os.umask(umask)
    try:
        Ledger(tmp_path).put(record())
    finally:
        os.umask(before)
    assert (tmp_path / "0123456789abcdef.json").stat().st_mode & 0o777 == 0o666 & ~umask


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    kept = Ledger(tmp_path)
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        kept.put(record())
    assert names(tmp_path) == []


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "ledger"):
        with pytest.raises(InputError, match=r"cannot create the ledger .*file.*Set LOWRES_LEDGER"):
            Ledger(place)


def test_a_folder_that_is_not_writable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match=rf"the ledger {tmp_path} is not writable\. Set LOWRES_LEDGER"):
        Ledger(tmp_path)


def test_the_default_folder_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path / "elsewhere"))
    assert Ledger().folder == tmp_path / "elsewhere"
    monkeypatch.delenv("LOWRES_LEDGER")
    assert places.ledger_folder() == places.ROOT / "_ledger"


# --- several processes -----------------------------------------------------------------------------------------------


def write_many(folder: Path, error: str) -> None:
    kept = Ledger(folder)
    for _ in range(15):
        for key in (A, B, C, D):
            kept.put(record(key, error=error * 5000))
            assert kept.get(key)


def test_two_processes_writing_the_same_records_never_spoil_one(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fork is safe here: the child only writes files
        context = multiprocessing.get_context("fork")
        writers = [context.Process(target=write_many, args=(tmp_path, error)) for error in "xy"]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    kept = Ledger(tmp_path)
    assert {one.error[0] for one in kept.records()} <= {"x", "y"}
    assert names(tmp_path) == [f"{key}.json" for key in (A, B, C, D)]


def test_a_claim_is_exclusive_until_it_is_given_back(tmp_path: Path):
    one, other = Ledger(tmp_path), Ledger(tmp_path)
    assert not one.is_claimed(A)
    with one.claim(A) as mine:
        assert mine
        assert other.is_claimed(A)
        with other.claim(A) as theirs, other.claim(B) as free:
            assert (theirs, free) == (False, True)
    assert not other.is_claimed(A)
    with other.claim(A) as mine:
        assert mine
    assert sorted(one.claimed_by(os.getpid())) == [A, B]
    assert one.claimed_by(1) == []


def test_the_description_counts_states(tmp_path: Path):
    kept = Ledger(tmp_path)
    kept.put(record(A))
    kept.put(record(B, fingerprints={"data": "d", "model": "m", "version": str(trial.RESULT_VERSION)}))
    kept.put(record(C, status="failed", error="diverged: loss nan", arm="tell", seed=2))
    text = ledger.describe(kept, None)
    assert "3 records" in text
    assert "tell: 2 done, 1 failed, 2 made by another version" in text
    assert f"failed {C} tell, seed 2: diverged: loss nan" in text
    assert "0 records" in ledger.describe(kept, "fiat")


# --- ledgers of other machines ---------------------------------------------------------------------------------------


def ledgers(folder: Path, *contents: list[Record]) -> list[Path]:
    """A ledger per list of records."""
    for number, records in enumerate(contents):
        kept = Ledger(folder / str(number))
        for one in records:
            kept.put(one)
    return [folder / str(number) for number in range(len(contents))]


def test_a_merge_copies_what_is_missing_and_a_finished_record_replaces_a_failed_one(tmp_path: Path):
    elsewhere = record(B, provenance={"date": "later"}, cost={"seconds": 3.0})
    first, second, third = ledgers(
        tmp_path,
        [record(A, status="failed", outcomes={}), record(B)],
        [record(A), elsewhere, record(C)],
        [record(A, status="failed", outcomes={}), record(D, status="failed", outcomes={})],
    )
    kept = Ledger(first)
    (second / "rationales").mkdir()
    (second / "rationales" / "some.jsonl").write_text("{}")
    (third / f"{C}.json").write_text("half a")
    with pytest.warns(UserWarning, match="is corrupted"):
        said = ledger.merge(kept, [second, third])
    assert said.startswith("3 of 5 records copied")
    assert {one.key: (one.status, one.provenance["date"]) for one in kept.records()} == {
        A: ("done", "2024-05-01 10:00 UTC"),
        B: ("done", "2024-05-01 10:00 UTC"),
        C: ("done", "2024-05-01 10:00 UTC"),
        D: ("failed", "2024-05-01 10:00 UTC"),
    }
    assert (first / "rationales" / "some.jsonl").read_text() == "{}"
    assert ledger.merge(kept, [second]).startswith("0 of 3 records")


@pytest.mark.parametrize("into", [[A], []])
def test_two_records_of_one_trial_that_differ_are_named_and_nothing_is_copied(tmp_path: Path, into: list[str]):
    other = record(A, outcomes={"task": {"token_f1": [0.2]}}, counts={"items": 1})
    first, second, third = ledgers(tmp_path, [record(key) for key in into], [record(A), record(B)], [other])
    before = names(first)
    place = first if into else second
    with pytest.raises(InputError, match=rf"{A} differs in outcomes, counts: {place} and {third} hold two") as told:
        ledger.merge(Ledger(first), [second, third])
    assert B not in str(told.value)
    assert names(first) == before


def test_a_merge_from_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"no folder .*absent"):
        ledger.merge(Ledger(tmp_path / "here"), [tmp_path / "absent"])
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_named_and_shards_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
):
    monkeypatch.setattr(ledger.fcntl, "flock", fail(code))
    with pytest.raises(InputError, match=rf"{tmp_path} has no locks .*--shard"), Ledger(tmp_path).claim(A):
        pass
    with Ledger(tmp_path / "shard", locks=False).claim(A) as mine:
        assert mine
    assert names(tmp_path / "shard") == []
