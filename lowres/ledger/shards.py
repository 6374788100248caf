"""Records as rows of a parquet file with typed columns, exact to the last bit; results/README.md tells every column.

A reader of the files filters by plain columns and takes the outcomes as lists of numbers. Each list is kept in the
narrowest of four types that holds it exactly: `bits` (all of it 0 or 1: one bit each), `whole` (0 to 255: one byte),
`float32` and `float64`. Whatever of a record no column holds exactly (nothing, of records that trials left) is kept as
JSON in the last column, so that reading always gives back the record that was written.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lowres.trial import Record, from_dict

if TYPE_CHECKING:
    import pyarrow

KINDS = {"bits": "bool", "whole": "uint8", "float32": "float", "float64": "double"}
OTHER = "other"


@dataclass(frozen=True)
class Column:
    """A plain column: its type (an alias of Arrow's), where its value lies in a record, and what stands for none."""

    name: str
    type: str
    path: tuple[str, ...]
    default: Any = None

    @property
    def is_copy(self) -> bool:
        """Whether it only repeats a part of the spec, to filter by."""
        return self.path[0] == "trial"


def _columns(type_: str, *names: str, under: tuple[str, ...] = (), default: Any = None) -> list[Column]:
    """Columns of one type; "name=field" where a column is not called like the field that it holds."""
    pairs = ((name.partition("=")[0], name.rpartition("=")[2]) for name in names)
    return [Column(name, type_, (*under, source), default) for name, source in pairs]


TRIAL, RECIPE, OPTIMISATION = ("trial",), ("trial", "recipe"), ("trial", "optimisation")
EVALUATION, OPTIONS = ("trial", "evaluation"), ("trial", "options")
PLAIN = [
    *_columns("string", "key", "status", "error"),
    *_columns("int64", "record_schema=schema"),
    *_columns("string", "study", "arm", "model", "task", under=TRIAL),
    *_columns("int64", "seed", under=TRIAL),
    *_columns("string", "tuner=name", under=(*TRIAL, "tuner")),
    *_columns("double", "learning_rate", under=OPTIMISATION),
    *_columns("int64", "batch_size", "epochs", "steps", under=OPTIMISATION),
    *_columns("int64", "task_tokens", "task_examples", "general_tokens", "pool", "shots", under=RECIPE, default=0),
    *_columns("string", "anchor", "order", "labels", under=RECIPE),
    *_columns("string", "rationale", under=RECIPE, default="none"),
    *_columns("string", "rationales", under=RECIPE, default=""),
    *_columns("string", "split", under=EVALUATION),
    *_columns("int64", "items", "probe_items", under=EVALUATION),
    *_columns("string", "metric", "instruction", under=OPTIONS),
    *_columns("int64", "split_seed", under=OPTIONS),
    *_columns("string", "data_fingerprint=data", "model_fingerprint=model", under=("fingerprints",)),
    *_columns("double", "seconds", "training_seconds", "evaluation_seconds", "tokens_per_second", under=("cost",)),
    *_columns("double", "training_tokens", "target_tokens", "updates", "peak_memory_bytes", under=("cost",)),
    *_columns("string", "date", "commit", "hardware", "device", "precision", "threads", under=("provenance",)),
]
COPIES = ("probes", "stream")  # names out of the spec, to filter by
NESTED = ("version", "spec", "counts", "provenance", "outcomes", "curves", "texts", OTHER)
READ = (*(column.name for column in PLAIN if not column.is_copy), *NESTED)


def schema() -> pyarrow.Schema:
    """The columns of a shard and their types."""
    import pyarrow as pa

    text, lists = pa.string(), {kind: pa.list_(pa.type_for_alias(alias)) for kind, alias in KINDS.items()}
    types = {column.name: pa.type_for_alias(column.type) for column in PLAIN}
    types |= {"version": pa.int64(), "spec": text, **dict.fromkeys(COPIES, pa.list_(text))}
    types |= {"counts": pa.map_(text, pa.int64()), "provenance": pa.map_(text, text)}
    types["outcomes"] = pa.list_(pa.struct({"where": text, "measure": text, **lists}))
    types["curves"] = pa.list_(pa.struct({"name": text, **lists}))
    types["texts"] = pa.list_(pa.struct({"where": text, "texts": pa.list_(text)}))
    return pa.schema({**types, OTHER: text})


def version_of(record: Record) -> int:
    """The version of the code that made a record; the first edition's have 1 and do not say so."""
    text = record.fingerprints.get("version", "1")
    return int(text) if str(text).isdecimal() else 1


def to_bytes(records: Iterable[Record]) -> bytes:
    """The parquet file of some records; equal records give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    rows = pa.Table.from_pylist([_row(record) for record in sorted(records, key=_neighbours)], schema=schema())
    leaves = [leaf for field in rows.schema for leaf in _leaves(field.name, field.type)]
    floats = [leaf for leaf in leaves if ".float32." in leaf]
    buffer = pa.BufferOutputStream()
    parquet.write_table(
        rows,
        buffer,
        compression="zstd",
        compression_level=19,
        use_dictionary=[leaf for leaf in leaves if leaf not in floats],
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        data_page_size=2**24,
        write_statistics=False,
        store_schema=False,
    )
    return bytes(buffer.getvalue().to_pybytes())


def _leaves(name: str, type_: pyarrow.DataType) -> Iterator[str]:
    """The paths of what a column holds, as parquet files name them."""
    import pyarrow.types as types

    if types.is_map(type_):
        yield from (f"{name}.key_value.key", f"{name}.key_value.value")
    elif types.is_list(type_):
        yield from _leaves(f"{name}.list.element", type_.value_type)
    elif types.is_struct(type_):
        for field in type_:
            yield from _leaves(f"{name}.{field.name}", field.type)
    else:
        yield name


def from_bytes(content: bytes) -> list[Record]:
    """The records of a parquet file that `to_bytes` made.

    Raises:
        ValueError: a record lacks a field, or has one that this version of the package does not know.
        pyarrow.ArrowException, KeyError: it is another file.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    table = parquet.read_table(pa.BufferReader(content), columns=list(READ))
    lists = {"outcomes": _listed(table["outcomes"], "where", "measure"), "curves": _listed(table["curves"], "name")}
    rows = table.drop_columns(list(lists)).to_pylist()
    for row, outcomes, curves in zip(rows, lists["outcomes"], lists["curves"], strict=True):
        row |= {"outcomes": outcomes, "curves": curves}
    return [from_dict(_with(json.loads(row[OTHER] or "{}"), _values(row))) for row in rows]


# --- a record as a row -----------------------------------------------------------------------------------------------


def _neighbours(record: Record) -> tuple[str, ...]:
    """Records that have much in common lie side by side, which makes a file smaller."""
    return (*(str(record.trial.get(name)) for name in ("model", "task", "arm", "seed")), record.key)


def _row(record: Record) -> dict[str, Any]:
    """The columns of a record; what they do not hold exactly stands in OTHER."""
    whole = vars(record)
    row: dict[str, Any] = {column.name: _plain(whole, column) for column in PLAIN}
    row |= {"version": version_of(record), "spec": _json(whole["trial"])}
    row |= {"probes": _names(whole, "evaluation", "probes"), "stream": _names(whole, "stream")}
    held = {column.path for column in PLAIN}
    row["provenance"] = [
        (name, text)
        for name, text in _items(whole["provenance"])
        if ("provenance", name) not in held and _fits(text, "string")
    ]
    row["counts"] = [(name, count) for name, count in _items(whole["counts"]) if _fits(count, "int64")]
    row["texts"] = [{"where": name, "texts": texts} for name, texts in _items(whole["texts"]) if _are_texts(texts)]
    row["curves"] = [(name, values) for name, values in _items(whole["curves"]) if kind_of(values)]
    row["outcomes"] = [
        (where, measure, values)
        for where, measures in _items(whole["outcomes"])
        for measure, values in _items(measures)
        if kind_of(values)
    ]
    left = _left(whole, _values(row))
    row[OTHER] = _json(left) if left else None
    row["curves"] = [{"name": name, **_narrow(values)} for name, values in row["curves"]]
    row["outcomes"] = [{"where": at, "measure": of, **_narrow(values)} for at, of, values in row["outcomes"]]
    return row


def _values(row: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a row, as plain values, but for what stands in OTHER."""
    values: dict[str, Any] = {"fingerprints": {}, "cost": {}, "provenance": {}, "outcomes": {}}
    for column in PLAIN:
        if not column.is_copy and row[column.name] is not None:
            place = values if len(column.path) == 1 else values[column.path[0]]
            place[column.path[-1]] = row[column.name]
    if row["version"] > 1:
        values["fingerprints"]["version"] = str(row["version"])
    values["provenance"] |= dict(row["provenance"])
    for where, measure, numbers in row["outcomes"]:
        values["outcomes"].setdefault(where, {})[measure] = numbers
    values |= {"trial": json.loads(row["spec"]), "counts": dict(row["counts"]), "curves": dict(row["curves"])}
    return {**values, "texts": {each["where"]: each["texts"] for each in row["texts"]}}


def _left(whole: Mapping[str, Any], held: Mapping[str, Any]) -> dict[str, Any]:
    """What of a record its columns do not hold: whole fields, and of fields with names the values of some names."""
    left: dict[str, Any] = {}
    for field, value in whole.items():
        mine = held.get(field)
        if field in held and same(value, mine):
            continue
        if isinstance(value, dict) and isinstance(mine, dict):
            value = {name: part for name, part in value.items() if name not in mine or not same(part, mine[name])}
        left[field] = value
    return left


def same(value: Any, held: Any) -> bool:
    """Equal to the last bit: NaN equals itself, 0.0 neither -0.0 nor 0."""
    if value is held or not isinstance(value, dict) or not isinstance(held, dict):
        return value is held or _json(value) == _json(held)
    return value.keys() == held.keys() and all(same(value[name], held[name]) for name in value)


def _with(left: Mapping[str, Any], held: Mapping[str, Any]) -> dict[str, Any]:
    """The whole record again: the inverse of `_left`."""
    whole = dict(held)
    for field, value in left.items():
        mine = whole.get(field)
        whole[field] = {**mine, **value} if isinstance(value, dict) and isinstance(mine, dict) else value
    return whole


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def significant(values: list[float], bits: int) -> list[float]:
    """Each value to that many significant binary digits, which is an error of at most 2**-bits of it."""
    mantissas, exponents = np.frexp(np.array(values, np.float64))  # of 0.5 to 1
    rounded: list[float] = np.ldexp(np.round(mantissas * 2.0**bits), exponents - bits).tolist()
    return rounded


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, dict) else ()


def _plain(whole: Mapping[str, Any], column: Column) -> Any:
    """The value of a plain column, or None if it has another type."""
    value: Any = whole
    for name in column.path:
        value = value.get(name, column.default) if isinstance(value, dict) else column.default
    if column.is_copy and column.type == "double" and type(value) is int:
        value = float(value)
    return value if _fits(value, column.type) else None


def _fits(value: object, type_: str) -> bool:
    if type_ == "string":
        return (isinstance(value, str) and value.isascii()) or _are_texts([value])
    return type(value) is float if type_ == "double" else type(value) is int and abs(value) < 2**63


def _are_texts(values: object) -> bool:
    """Whether they are a list of texts, none with half of a surrogate pair."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return False
    return "".join(values).encode("utf-8", "ignore").decode() == "".join(values)


def _names(whole: Mapping[str, Any], *path: str) -> list[str]:
    """Names of the probes, or of the tasks of a stream."""
    value: Any = whole["trial"]
    for name in path:
        value = value.get(name, ()) if isinstance(value, dict) else ()
    return [str(each.get("task") if isinstance(each, dict) else each) for each in value]


# --- lists of numbers ------------------------------------------------------------------------------------------------


def kind_of(values: object) -> str:
    """The narrowest of KINDS that holds a list of floats to the last bit, sign of zero included; "" for other things.

    NaN is kept in float64, since fp32 would hold another one.
    """
    if not isinstance(values, list) or not all(type(value) is float for value in values):
        return ""
    exact = np.array(values, np.float64)
    signed = bool(np.signbit(exact).any())
    if not signed and bool(np.isin(exact, (0.0, 1.0)).all()):
        return "bits"
    with np.errstate(over="ignore", invalid="ignore"):
        if not signed and bool((exact.astype(np.uint8) == exact).all()):
            return "whole"
        return "float32" if bool((exact.astype(np.float32) == exact).all()) else "float64"


def _narrow(values: list[float]) -> dict[str, list[Any]]:
    kind = kind_of(values)
    convert = {"bits": bool, "whole": int}.get(kind, float)
    return {kind: list(map(convert, values))}


def _listed(column: pyarrow.ChunkedArray, *labels: str) -> Iterator[list[tuple[Any, ...]]]:
    """Per record its lists of numbers, each behind its labels."""
    import pyarrow.compute as pc

    array = column.combine_chunks()
    entries = array.flatten()
    named = [pc.struct_field(entries, label).to_pylist() for label in labels]
    found: list[list[float]] = [[] for _ in range(len(entries))]
    for kind in KINDS:
        lists = pc.struct_field(entries, kind)
        numbers = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        start = 0
        for at, length in enumerate(pc.list_value_length(lists).to_pylist()):
            if length:
                found[at] = numbers[start : start + length].tolist()
                start += length
    rows = iter(zip(*named, found, strict=True))
    for length in pc.list_value_length(array).to_pylist():
        yield list(itertools.islice(rows, length))
