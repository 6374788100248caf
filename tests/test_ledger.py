"""Records on disk: written whole or not at all, read with suspicion, published newest first."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres import ledger, models, places, trial
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
    made = [record(key, study=study) for key, study in (("c", "tell"), ("a", "fiat"), ("b", "tell"))]
    for one in made:
        kept.put(one)
    assert [one.key for one in kept.records("tell")] == ["b", "c"]
    assert [one.key for one in kept.records()] == ["a", "b", "c"]
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


DAMAGE = {
    "empty": lambda path: path.write_text(""),
    "cut short": lambda path: path.write_text(path.read_text()[:-20]),
    "not JSON": lambda path: path.write_text("half a"),
    "another thing": lambda path: path.write_text("[1, 2]"),
    "no checksum": lambda path: path.write_text(json.dumps({"record": record("b").as_dict()})),
    "tampered": lambda path: changed(path, outcomes={"task": {"token_f1": [1.0]}}),
    "a field missing": without_status,
    "a field too many": lambda path: changed(path, mood="good"),
    "not text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "another's": lambda path: path.write_text(ledger.serialise(record("z"))),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_record_is_quarantined_and_named_and_the_rest_is_used(tmp_path: Path, kind: str):
    kept = Ledger(tmp_path)
    for key in "abc":
        kept.put(record(key))
    DAMAGE[kind](tmp_path / "b.json")
    with pytest.warns(UserWarning, match=r"record b\.json is corrupted .*; moved to .*quarantine"):
        found = kept.records()
    assert [one.key for one in found] == ["a", "c"]
    assert kept.quarantined == ["b"]
    assert names(tmp_path) == ["a.json", "c.json", "quarantine/b.json"]
    assert "quarantined: b.json" in ledger.describe(kept, "tell")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kept.get("b") is None
    kept.put(record("b"))
    assert len(kept.records()) == 3


def test_a_file_that_cannot_be_read_is_not_called_corrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = Ledger(tmp_path)
    kept.put(record("a"))
    monkeypatch.setattr(Path, "read_text", fail(errno.EIO))
    with pytest.raises(InputError, match=r"cannot read .*a\.json: Input/output error"):
        kept.get("a")
    assert names(tmp_path) == ["a.json"]


# --- writing ---------------------------------------------------------------------------------------------------------


def fail(code: int) -> Any:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("step", ["replace", "fsync", "fdopen", "chmod"])
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
        for key in "abcd":
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
    assert names(tmp_path) == ["a.json", "b.json", "c.json", "d.json"]


def test_a_claim_is_exclusive_until_it_is_given_back(tmp_path: Path):
    one, other = Ledger(tmp_path), Ledger(tmp_path)
    with one.claim("a") as mine:
        assert mine
        with other.claim("a") as theirs, other.claim("b") as free:
            assert (theirs, free) == (False, True)
    with other.claim("a") as mine:
        assert mine
    assert sorted(one.claimed_by(os.getpid())) == ["a", "b"]
    assert one.claimed_by(1) == []


# --- published records -----------------------------------------------------------------------------------------------


def dated(key: str, day: int, **changes: Any) -> Record:
    return record(key, provenance={"date": f"2024-05-{day:02} 10:00 UTC"}, **changes)


def test_published_records_come_back(results: Path):
    made = [record("b", seed=1), record("a")]
    assert ledger.read_published("tell") == []
    path = ledger.write_published("tell", made)
    assert path == results / "tell.parquet"
    assert ledger.read_published("tell") == [made[1], made[0]]
    assert names(results) == ["tell.parquet"]
    first = path.read_bytes()
    assert ledger.write_published("tell", made[::-1]).read_bytes() == first


NUMBERS = st.floats(width=32) | st.floats() | st.sampled_from([0.0, -0.0, 0.1, 1e300, 1.5, 5e-324, 1e-45])
LISTS = (
    st.lists(NUMBERS) | st.lists(st.floats(width=32)) | st.lists(NUMBERS | st.integers() | st.booleans() | st.none())
)
VALUES = st.recursive(
    NUMBERS | st.integers() | st.sampled_from(["float32", '{"float32": 2}', "é"]) | LISTS,
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["b", "a", "float32"]), inner),
    max_leaves=12,
)


def text(one: Record) -> str:
    """Equal for records that are equal to the last bit, NaN, signs of zero and kinds of numbers included."""
    return json.dumps(one.as_dict(), sort_keys=True)


@given(st.lists(VALUES, max_size=3))
def test_published_numbers_come_back_to_the_last_bit(values: list[Any]):
    made = [record(f"{index}", outcomes={"task": value}) for index, value in enumerate(values)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(ledger, "RESULTS", Path(folder))
        ledger.write_published("tell", made)
        assert list(map(text, ledger.read_published("tell"))) == list(map(text, made))


def test_only_lists_that_fp32_holds_exactly_leave_the_json(results: Path):
    exact, other = [0.5, -0.0, float("inf"), float(np.float32(0.1))], [[0.1, 0.5], [1.0, float("nan")], [1, 2], [0.5]]
    made = [record("a", outcomes={"z": exact, "a": other, "m": [[2.0, 3.0], [1e300, 1.0]]})]
    table = parquet.read_table(ledger.write_published("tell", made))
    assert table.column("float32").to_pylist() == [[2.0, 3.0, *exact]]
    stored = json.loads(table.column("record")[0].as_py())["outcomes"]
    assert repr(stored) == repr({"a": other, "m": [{"float32": 2}, [1e300, 1.0]], "z": {"float32": 4}})
    assert text(ledger.read_published("tell")[0]) == text(made[0])


def test_files_with_all_numbers_in_the_json_are_still_read(results: Path):
    made = [record("a", outcomes={"task": {"float32": 2, "nll": [0.5, 0.25]}}), record("b")]
    results.mkdir()
    parquet.write_table(pyarrow.table({"record": list(map(text, made))}), results / "tell.parquet")
    assert ledger.read_published("tell") == made


@pytest.mark.parametrize("numbers", [[0.5], [0.5, 0.25, 0.125]])
def test_numbers_missing_or_left_over_are_noticed(results: Path, numbers: list[float]):
    stored = text(record("a", outcomes={"task": {"float32": 2}}))
    results.mkdir()
    columns = {"record": [stored], "float32": pyarrow.array([numbers], pyarrow.list_(pyarrow.float32()))}
    parquet.write_table(pyarrow.table(columns), results / "tell.parquet")
    with pytest.raises(InputError, match=rf"cannot be read: {len(numbers)} packed numbers, 2 of them used"):
        ledger.read_published("tell")


def test_publishing_merges_and_the_newest_of_a_trial_wins(results: Path, tmp_path: Path):
    ledger.write_published("tell", [dated("old", 1), dated("kept", 1, seed=7), dated("newest", 30, seed=3)])
    kept = Ledger(tmp_path / "ledger")
    for one in (
        dated("z-middle", 5),
        dated("a-late", 9, error="again"),
        dated("stale", 2, seed=3),
        dated("other", 5, seed=4),
        dated("bad", 6, seed=5, status="failed"),
        dated("foreign", 6, seed=6, study="fiat"),
    ):
        kept.put(one)
    ledger.publish(kept, "tell")
    assert sorted(one.key for one in ledger.read_published("tell")) == ["a-late", "kept", "newest", "other"]


def test_records_on_other_data_or_another_model_are_other_trials(results: Path, tmp_path: Path):
    kept = Ledger(tmp_path / "ledger")
    for key, fingerprints in (("a", {"data": "d", "model": "m"}), ("b", {"data": "e", "model": "m"})):
        kept.put(record(key, fingerprints={**fingerprints, "code": key}))
    kept.put(record("c", fingerprints={"data": "d", "model": "m", "code": "c"}, provenance={"date": "2025"}))
    ledger.publish(kept, "tell")
    assert [one.key for one in ledger.read_published("tell")] == ["b", "c"]


def test_records_of_a_model_that_was_made_anew_are_left_out(results: Path, tmp_path: Path):
    def made(key: str, day: int, model: str, seed: int) -> Record:
        return replace(dated(key, day, seed=seed), fingerprints={"data": "d", "model": model, "code": "c"})

    ledger.write_published("tell", [made("old", 1, "first", 0), made("old, other seed", 1, "first", 1)])
    kept = Ledger(tmp_path / "ledger")
    kept.put(made("new", 2, "second", 0))
    ledger.publish(kept, "tell")
    assert [one.key for one in ledger.read_published("tell")] == ["new"]


def test_records_of_an_earlier_world_are_left_out(results: Path, tmp_path: Path):
    def made(key: str, model: str, fingerprint: str) -> Record:
        return replace(dated(key, 1, model=model), fingerprints={"data": "d", "model": fingerprint, "code": "c"})

    today = [made(name, name, models.fingerprint(name)) for name in ("world-s", "world-m~0.55@1")]
    ledger.write_published("tell", [*today, made("earlier seed", "world-s@5", "m"), made("no more", "world-z", "m")])
    kept = Ledger(tmp_path / "ledger")
    kept.put(made("earlier", "world-xs", "m"))
    kept.put(made("own", "./model", "m"))
    ledger.publish(kept, "tell")
    assert {one.key for one in ledger.read_published("tell")} == {"world-s", "world-m~0.55@1", "own"}


def test_world_models_of_two_processors_are_never_mixed(results: Path, tmp_path: Path):
    def made(key: str, day: int, hardware: str, model: str = "world-s", seed: int = 0) -> Record:
        fingerprints = {"data": "d", "model": models.fingerprint("world-s") if model == "world-s" else "m", "code": "c"}
        where = {"date": f"2024-05-{day:02} 10:00 UTC", "hardware": hardware}
        return record(key, model=model, seed=seed, fingerprints=fingerprints, provenance=where)

    start, end, other = made("start", 1, "one"), made("end", 1, "one", seed=1), made("real", 1, "one", model="tiny")
    ledger.write_published("tell", [start, end, other])
    kept = Ledger(tmp_path / "ledger")
    for again in (made("end again", 9, "two", seed=1), made("real again", 9, "two", model="tiny")):
        kept.put(again)
    ledger.publish(kept, "tell")
    assert {one.key for one in ledger.read_published("tell")} == {"start", "end", "real again"}


def test_nothing_to_publish_is_said(results: Path, tmp_path: Path):
    kept = Ledger(tmp_path / "ledger")
    kept.put(record(status="failed"))
    with pytest.raises(InputError, match=r"nothing to publish: the ledger .* has no finished record of study 'tell'"):
        ledger.publish(kept, "tell")
    assert not results.exists()


@pytest.mark.parametrize("content", [b"", b"PAR1 broken", b'{"record": 1}'])
def test_a_broken_file_of_published_records_is_named(results: Path, content: bytes):
    results.mkdir()
    (results / "tell.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"published records .*tell\.parquet cannot be read"):
        ledger.read_published("tell")


def test_the_description_counts_states(tmp_path: Path):
    kept = Ledger(tmp_path)
    kept.put(record("a"))
    kept.put(record("b", fingerprints={"data": "d", "model": "m", "version": str(trial.RESULT_VERSION)}))
    kept.put(record("c", status="failed", error="diverged: loss nan", arm="tell", seed=2))
    text = ledger.describe(kept, None)
    assert "3 records" in text
    assert "tell: 2 done, 1 failed, 2 made by another version" in text
    assert "failed c tell, seed 2: diverged: loss nan" in text
    assert "0 records" in ledger.describe(kept, "fiat")
