"""Published records: shards that are added to and give back what was written, to the last bit; the newest wins."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ledger import names, record

from lowres import models, places
from lowres.data import rationales
from lowres.ledger import Ledger, published, shards
from lowres.params import InputError
from lowres.trial import Record

README = places.RESULTS / "README.md"


@pytest.fixture(autouse=True)
def _shards_of_one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "_today", lambda: "2026-11-30")


def text(one: Record) -> str:
    """Equal for records that are equal to the last bit, NaN, signs of zero and kinds of numbers included."""
    return json.dumps(one.as_dict(), sort_keys=True)


def row_of(one: Record) -> dict[str, Any]:
    """The columns of a record in its file."""
    return dict(parquet.read_table(pyarrow.BufferReader(shards.to_bytes([one]))).to_pylist()[0])


# --- rows ------------------------------------------------------------------------------------------------------------

WHOLE: dict[str, Any] = {
    "fingerprints": {"data": "d", "model": "m", "version": "2"},
    "outcomes": {
        "1:task": {"exact_match": [1.0, 0.0, 1.0], "chosen": [0.0, 3.0, 255.0]},
        "task": {"target_nll": [0.5, 0.25, -0.0], "rouge_l": [1 / 3, 1.0]},
    },
    "curves": {"loss": [2.5, 0.1]},
    "cost": {"seconds": 1.5, "later": 2.0},
    "counts": {"task_tokens": 250, "1:task_tokens": 0},
    "provenance": {"date": "2026-11-30 10:00 UTC", "hardware": "a machine", "python": "3.11"},
}


def test_a_row_has_typed_columns_and_lists_in_the_narrowest_type():
    row = row_of(record("a", seed=3, **WHOLE))
    assert {name: row[name] for name in ("key", "version", "study", "arm", "seed", "task_tokens", "pool")} == {
        "key": "a", "version": 2, "study": "tell", "arm": "sft", "seed": 3, "task_tokens": 200, "pool": 0,
    }  # fmt: skip
    assert (row["seconds"], row["date"], row["hardware"]) == (1.5, "2026-11-30 10:00 UTC", "a machine")
    assert dict(row["counts"]) == WHOLE["counts"]
    assert dict(row["provenance"]) == {"python": "3.11"}
    assert json.loads(row["other"]) == {"cost": {"later": 2.0}}
    lists = [{name: part for name, part in each.items() if part is not None} for each in row["outcomes"]]
    assert lists == [
        {"where": "1:task", "measure": "exact_match", "bits": [True, False, True]},
        {"where": "1:task", "measure": "chosen", "whole": [0, 3, 255]},
        {"where": "task", "measure": "target_nll", "float32": [0.5, 0.25, -0.0]},
        {"where": "task", "measure": "rouge_l", "float64": [1 / 3, 1.0]},
    ]


def test_whatever_a_record_holds_comes_back():
    made = [record("a", **WHOLE), record("b"), record("c", status="failed", error="é\ud800", outcomes={"task": {}})]
    back = shards.from_bytes(shards.to_bytes(made))
    assert sorted(map(text, back)) == sorted(map(text, made))
    assert shards.to_bytes(made) == shards.to_bytes(made[::-1])


NUMBERS = st.floats(width=32) | st.floats() | st.sampled_from([0.0, -0.0, 1.0, 2.0, 255.0, 256.0, 0.1, 5e-324, 1e-45])
LISTS = st.lists(NUMBERS) | st.lists(st.sampled_from([0.0, 1.0])) | st.lists(st.integers(0, 255).map(float))
VALUES = st.recursive(
    LISTS | NUMBERS | st.integers() | st.none() | st.booleans() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
NAMED = st.dictionaries(st.sampled_from(["task", "date", "seconds", "data", "version", "é"]), VALUES, max_size=4)
OUTCOMES = st.dictionaries(st.text(max_size=4), st.dictionaries(st.text(max_size=4), LISTS, max_size=3), max_size=3)
FIELDS = ("fingerprints", "outcomes", "curves", "cost", "counts", "texts", "provenance")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(OUTCOMES, st.sampled_from(FIELDS), NAMED | VALUES, st.text()), max_size=3))
def test_records_come_back_to_the_last_bit(parts: list[tuple[Any, str, Any, str]]):
    made = [
        record(f"{index}", **{"outcomes": outcomes, "curves": {"loss": [0.1]}, "error": error, field: value})
        for index, (outcomes, field, value, error) in enumerate(parts)
        if field != "fingerprints" or isinstance(value, dict)
    ]
    assert list(map(text, shards.from_bytes(shards.to_bytes(made)))) == list(map(text, made))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], "bits"),
        ([0.0, 1.0], "bits"),
        ([0.0, -0.0], "float32"),
        ([2.0, 255.0], "whole"),
        ([256.0], "float32"),
        ([0.1], "float64"),
        ([float("nan")], "float64"),
        ([float("inf")], "float32"),
        ([1e39], "float64"),
        ([1], ""),
        ([True], ""),
        ([None], ""),
        ("text", ""),
    ],
)
def test_the_narrowest_type_that_is_exact(values: Any, kind: str):
    assert shards.kind_of(values) == kind


@pytest.mark.parametrize(
    ("value", "bits", "rounded"),
    [(5.0, 2, 4.0), (7.0, 2, 8.0), (0.3, 1, 0.25), (-0.3, 1, -0.25), (0.0, 3, 0.0), (1e-300, 60, 1e-300)],
)
def test_significant_digits(value: float, bits: int, rounded: float):
    assert shards.significant([value], bits) == [rounded]


@given(st.floats(1e-30, 1e30))
def test_rounding_errs_by_little_and_then_no_more(value: float):
    (rounded,) = shards.significant([value], 12)
    assert abs(rounded - value) <= 2**-12 * value
    assert shards.significant([rounded], 12) == [rounded]
    assert shards.kind_of([rounded]) != "float64"  # hence four bytes


def test_the_columns_are_documented_and_the_lines_that_read_them_work(results: Path, monkeypatch: pytest.MonkeyPatch):
    text = README.read_text(encoding="utf-8")
    told = re.findall(r"`(\w+)`", text)
    assert set(shards.schema().names) | set(shards.KINDS) | {"where", "measure", "name", "texts"} <= set(told)
    published.write_shard("tell", [record("a", **WHOLE)])
    published.write_shard("tell", [record("b", seed=1)])
    published.verification_file("tell").write_text("{}")  # stands beside the shards and is none
    monkeypatch.chdir(results.parent)
    found: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], found)
    table = found["table"].set_index(["key", "where", "measure"])
    assert list(table["float32"]["a", "task", "target_nll"]) == [0.5, 0.25, -0.0]
    assert list(table["float64"]["b", "task", "token_f1"]) == [0.1, 1.0, 1 / 3]
    assert len(table) == 5


# --- files -----------------------------------------------------------------------------------------------------------


def dated(key: str, day: int, **changes: Any) -> Record:
    return record(key, provenance={"date": f"2024-05-{day:02} 10:00 UTC"}, **changes)


def keys(study: str = "tell") -> list[str]:
    return [one.key for one in published.read_published(study)]


class Held(Ledger):
    """A ledger of records that may have any key."""

    held: tuple[Record, ...] = ()

    def records(self, study: str | None = None) -> list[Record]:
        return [one for one in self.held if study in (None, one.trial["study"])]


def ledger_of(folder: Path, *records: Record) -> Held:
    kept = Held(folder)
    kept.held = records
    return kept


def test_publishing_adds_a_shard_and_touches_no_other(results: Path, tmp_path: Path):
    assert published.read_published("tell") == []
    assert published.edition("tell") == ""
    kept = ledger_of(tmp_path / "ledger", record("a"), record("b", seed=1))
    first = published.publish(kept, "tell")
    assert first == results / "tell" / "2026-11-30-1.parquet"
    assert published.read_published("tell") == [record("a"), record("b", seed=1)]
    before = first.read_bytes()
    assert published.publish(kept, "tell") is None
    kept.held = (*kept.held, record("c", seed=2))
    second = published.publish(kept, "tell")
    assert second == results / "tell" / "2026-11-30-2.parquet"
    assert [one.key for one in shards.from_bytes(second.read_bytes())] == ["c"]
    assert keys() == ["a", "b", "c"]
    assert first.read_bytes() == before
    assert names(results) == ["tell/2026-11-30-1.parquet", "tell/2026-11-30-2.parquet"]


def test_rationales_travel_packed_and_come_back_as_they_were(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kept, line = ledger_of(tmp_path / "ledger", named := record("a")), '{"id": "é", "rationale": "so ."}\n'
    named.trial["recipe"]["rationales"] = "task_beta_0123.jsonl"
    (kept.folder / "rationales").mkdir(parents=True)
    (kept.folder / "rationales" / "task_beta_0123.jsonl").write_bytes(line.encode())
    published.publish(kept, "tell")
    assert [path.name for path in (results / "rationales").iterdir()] == ["task_beta_0123.jsonl.gz"]
    monkeypatch.setattr(rationales, "RESULTS", results)
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path / "another"))
    assert rationales.read(rationales.find("task_beta_0123.jsonl")) == {"é": rationales.Written("so .")}
    with pytest.raises(InputError, match=r"no file of rationales 'other\.jsonl'"):
        rationales.find("other.jsonl")


def test_the_newest_record_of_a_trial_wins(results: Path, tmp_path: Path):
    published.write_shard("tell", [dated("old", 1), dated("kept", 1, seed=7), dated("newest", 30, seed=3)])
    more = {"outcomes": {"task": {"token_f1": [0.5]}}}
    kept = ledger_of(
        tmp_path / "ledger",
        dated("z-middle", 5, **more),
        dated("a-late", 9, error="again"),
        dated("stale", 2, seed=3, **more),
        dated("other", 5, seed=4),
        dated("bad", 6, seed=5, status="failed"),
        dated("foreign", 6, seed=6, study="fiat"),
    )
    shard = published.publish(kept, "tell")
    assert shard is not None
    assert sorted(one.key for one in shards.from_bytes(shard.read_bytes())) == ["a-late", "other"]
    assert keys() == ["a-late", "kept", "newest", "other"]


def test_a_trial_that_was_run_again_and_came_out_the_same_is_not_new(results: Path, tmp_path: Path):
    nan = {"outcomes": {"task": {"target_nll": [0.1, float("nan")]}}}
    assert published.publish(ledger_of(tmp_path / "one", dated("a", 1, **nan)), "tell")
    assert published.publish(ledger_of(tmp_path / "two", dated("a", 2, **nan, cost={"seconds": 2.0})), "tell") is None
    other = {"outcomes": {"task": {"target_nll": [0.2, float("nan")]}}}
    assert published.publish(ledger_of(tmp_path / "three", dated("a", 2, **other)), "tell")
    assert [one.outcomes["task"]["target_nll"][0] for one in published.read_published("tell")] == [3277 / 2**14]


def version(number: int, key: str, day: int, seed: int = 0) -> Record:
    fingerprints = {"data": "d", "model": "m", **({"version": str(number)} if number > 1 else {})}
    return replace(dated(key, day, seed=seed), fingerprints=fingerprints)


def test_only_records_of_the_newest_version_count(results: Path, tmp_path: Path):
    published.write_shard("tell", [version(2, "two", 9), version(2, "two, other", 9, seed=1)])
    assert published.publish(ledger_of(tmp_path / "ledger", version(1, "one", 20, seed=2)), "tell") is None
    assert keys() == ["two", "two, other"]
    assert published.edition("tell") == "records of version 2, from 2024-05-09 to 2024-05-09"
    published.write_shard("tell", [version(3, "three", 1)])
    assert keys() == ["three"]


def test_records_on_other_data_or_another_model_give_way_to_the_newer(results: Path):
    def made(key: str, day: int, data: str, model: str, seed: int = 0) -> Record:
        return replace(dated(key, day, seed=seed), fingerprints={"data": data, "model": model, "version": "2"})

    published.write_shard("tell", [made("data", 1, "d", "m"), made("now", 2, "e", "m")])
    assert keys() == ["now"]
    published.write_shard("tell", [made("other model", 3, "e", "n", seed=1)])
    assert keys() == ["other model"]


def test_a_record_of_todays_world_counts_whatever_the_clock_said(results: Path):
    def made(key: str, day: int, model: str) -> Record:
        fingerprints = {"data": "d", "model": model, "version": "2"}
        return replace(dated(key, day, model="world-s"), fingerprints=fingerprints)

    published.write_shard("tell", [made("today's", 1, models.fingerprint("world-s")), made("earlier", 9, "m")])
    assert keys() == ["today's"]


def test_a_file_of_other_records_is_read_again_whatever_its_time(results: Path):
    path = published.write_shard("tell", [dated("a", 1)])
    stamp = path.stat()
    assert keys() == ["a"]
    path.write_bytes(shards.to_bytes([dated("b", 1)]))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert path.stat().st_size == stamp.st_size
    assert keys() == ["b"]


def test_records_of_an_earlier_world_are_not_published(results: Path, tmp_path: Path):
    def made(key: str, model: str, fingerprint: str) -> Record:
        return replace(dated(key, 1, model=model), fingerprints={"data": "d", "model": fingerprint})

    kept = ledger_of(
        tmp_path / "ledger",
        made("world-s", "world-s", models.fingerprint("world-s")),
        made("earlier", "world-xs", "m"),
        made("no more", "world-z", "m"),
        made("own", "./model", "m"),
    )
    published.publish(kept, "tell")
    assert keys() == ["own", "world-s"]


def test_likelihoods_and_curves_are_published_with_fewer_digits(results: Path, tmp_path: Path):
    exact = {"task": {"token_f1": [1 / 3], "target_nll": [1 / 3], "bits_per_byte": [1 / 3]}}
    made = record("a", outcomes=exact, curves={"loss": [1 / 3]})
    published.publish(ledger_of(tmp_path / "ledger", made), "tell")
    (found,) = published.read_published("tell")
    assert found.outcomes == {
        "task": {"token_f1": [1 / 3], "target_nll": [2731 / 8192], "bits_per_byte": [2731 / 8192]}
    }
    assert found.curves == {"loss": [171 / 512]}
    assert found == published.as_published(made) == published.as_published(found)


def test_nothing_to_publish_is_said(results: Path, tmp_path: Path):
    kept = ledger_of(tmp_path / "ledger", record(status="failed"))
    with pytest.raises(InputError, match=r"nothing to publish: the ledger .* has no finished record of study 'tell'"):
        published.publish(kept, "tell")
    assert not results.exists()


@pytest.mark.parametrize("content", [b"", b"PAR1 broken", b'{"record": 1}'])
@pytest.mark.parametrize("place", ["tell/2026-11-30-1.parquet", "exploratory/tell.parquet"])
def test_a_broken_file_of_published_records_is_named(results: Path, content: bytes, place: str):
    (results / place).parent.mkdir(parents=True)
    (results / place).write_bytes(content)
    with pytest.raises(InputError, match=rf"published records .*{place} cannot be read"):
        published.read_published("tell")


def test_a_file_is_read_once_until_it_changes(results: Path, monkeypatch: pytest.MonkeyPatch):
    reads: list[int] = []
    real = shards.from_bytes
    monkeypatch.setattr(shards, "from_bytes", lambda content: reads.append(len(content)) or real(content))
    published.write_shard("tell", [record("a")])
    assert keys() == keys() == ["a"]
    assert len(reads) == 1
    published.read_published("tell").clear()
    assert keys() == ["a"]
    published.write_shard("tell", [record("b", seed=1)])
    assert keys() == ["a", "b"]


# --- the first edition -----------------------------------------------------------------------------------------------


def first_edition(results: Path, records: list[Record], numbers: Any = None) -> None:
    columns = {"record": list(map(text, records))}
    if numbers is not None:
        columns["float32"] = pyarrow.array([numbers], pyarrow.list_(pyarrow.float32()))
    (results / "exploratory").mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), results / "exploratory" / "tell.parquet")


def test_the_first_edition_stays_beside_the_shards(results: Path, tmp_path: Path):
    first_edition(results, [record("a"), record("b")])
    assert keys() == ["a", "b"]
    assert published.read_confirmatory("tell") == []
    assert published.edition("tell") == "exploratory records of the first edition"
    assert published.verification_file("tell") == results / "exploratory" / "tell-verified.json"
    published.publish(ledger_of(tmp_path / "ledger", version(2, "a", 1)), "tell")
    assert keys() == ["a", "b"]
    assert [one.key for one in published.read_confirmatory("tell")] == ["a"]
    assert published.edition("tell") == "exploratory records of the first edition"
    assert published.verification_file("tell") == results / "tell" / "_verified.json"


def test_the_stream_of_the_first_edition_was_in_new_words(results: Path):
    stage = {"task": "world-question", "recipe": {}, "optimisation": {}}
    kept = [record("a"), record("b", seed=1)]
    kept[0].trial.update(task="world-headline", stream=[stage])
    first_edition(results, kept)
    old, other = published.read_published("tell")
    assert (old.trial["task"], old.trial["stream"][0]["task"]) == (
        "world-headline-new-words",
        "world-question-new-words",
    )
    assert other.trial["task"] == kept[1].trial["task"]


@pytest.mark.parametrize("numbers", [[0.5], [0.5, 0.25, 0.125]])
def test_numbers_missing_or_left_over_are_noticed(results: Path, numbers: list[float]):
    first_edition(results, [record("a", outcomes={"task": {"float32": 2}})], [0.5, 0.25])
    assert published.read_published("tell")[0].outcomes == {"task": [0.5, 0.25]}
    first_edition(results, [record("a", outcomes={"task": {"float32": 2}})], numbers)
    with pytest.raises(InputError, match=rf"cannot be read: {len(numbers)} packed numbers, 2 of them used"):
        published.read_published("tell")


@pytest.mark.parametrize(("study", "count"), [("tell", 36), ("fiat", 1038), ("loreft", 1103), ("forgetting", 400)])
def test_the_records_of_the_first_edition_are_kept(study: str, count: int):
    content = (places.RESULTS / "exploratory" / f"{study}.parquet").read_bytes()
    assert len(published._first_edition(content)) == count
