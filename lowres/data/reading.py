"""The rows of a file, whatever its format: told from its first bytes, and from its suffix where they leave it open.

JSON lines, a JSON array (on one line or many), a table with a header row (comma, semicolon, tab or bar), parquet; each
also packed by gzip, bzip2 or xz; text in UTF-8, UTF-16 or UTF-32, with a byte order mark or without, and lines that end
as on any system. Values are read as written: 007 and 1e5 stay what they are. What cannot be read is told with its line.
"""

from __future__ import annotations

import ast
import bz2
import csv
import gzip
import io
import json
import lzma
import re
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Rows = list[tuple[str, Mapping[str, Any]]]  # where the row stands ("data.jsonl line 3"), and the row

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet")
PACKED = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ\x00": lzma.decompress}
PACKED_SUFFIXES = (".gz", ".bz2", ".xz")
OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive or a spreadsheet; unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet or document; save the sheet as CSV",
    b"\x28\xb5\x2f\xfd": "packed by zstd; unpack it first",
    b"ARROW1": "an Arrow file; save it as parquet, or name its data set with hub:FOLDER",
    b"SQLite format 3": "a database; export its table as CSV",
    b"%PDF": "a PDF document",
    b"\x80\x04": "a pickle, which may run code when it is read; save the rows as JSON lines",
    b"version https://git-lfs": "a pointer of Git LFS in place of the data; fetch them with `git lfs pull`",
    b"<": "HTML or XML, such as a page that was saved in place of the file",
}
MARKS = {  # the longer ones first: that of UTF-32 begins with that of UTF-16
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}
WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
DELIMITERS = ",;\t|"
LINE_END = re.compile(r"\r\n|\n|\r")
NO_BYTE = re.compile("[\udc80-\udcff]")  # a byte that is not UTF-8, as Python's "surrogateescape" keeps it


class Written(str):
    """A number as its file writes it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def is_data(path: Path) -> bool:
    """Whether a file's name is that of a file with rows."""
    name = path.name.lower()
    for packed in PACKED_SUFFIXES:
        name = name.removesuffix(packed)
    return name.endswith(SUFFIXES) and not name.startswith(".")


def stem(path: Path) -> str:
    """The name of a file with rows without its suffixes."""
    return path.name.lower().partition(".")[0]


def read_rows(file: Path, problems: list[str]) -> Rows:
    """The rows of a file; what cannot be read is added to `problems`."""
    before = len(problems)
    try:
        rows = _rows(file, _unpacked(file.read_bytes()), problems)
    except OSError as error:
        problems.append(f"{file}: cannot be read ({error.strerror or error})")
        return []
    except (ValueError, EOFError, zlib.error, lzma.LZMAError) as error:
        problems.append(f"{file}: {error}")
        return []
    if not rows and len(problems) == before:
        problems.append(f"{file}: the file is empty")
    return rows


def _unpacked(content: bytes) -> bytes:
    return next((unpack(content) for start, unpack in PACKED.items() if content.startswith(start)), content)


def _rows(file: Path, content: bytes, problems: list[str]) -> Rows:
    if content.startswith(b"PAR1"):
        return _parquet(file, content)
    for start, what in OTHER_FORMATS.items():
        if content.lstrip().startswith(start):
            raise ValueError(f"this is {what}")
    text = _text(content)
    beginning = text.lstrip()[:1]
    name = file.name.lower()
    if beginning in ("{", "[") or any(f".{kind}" in name for kind in ("json", "ndjson")):
        return _json(file, text, problems)
    return _table(file, text, problems) if beginning else []


def _text(content: bytes) -> str:
    """The text of a file, each byte that is not UTF-8 as a lone surrogate (where the rest is)."""
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            errors = "surrogateescape" if encoding == "utf-8-sig" else "strict"
            return content.decode(encoding, errors)
    if b"\0" in content[:4096]:  # no text in UTF-8 has one; of what can be decoded, the most in Latin letters is it
        found = [text for encoding in WIDE if (text := _decoded(content, encoding))]
        if found:
            return max(found, key=lambda text: sum("\t" <= letter <= "~" for letter in text[:1024]))
        raise ValueError("this is no text (it holds bytes of value 0)")
    return content.decode("utf-8", "surrogateescape")


def _decoded(content: bytes, encoding: str) -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text[:1024] else text


# --- JSON ------------------------------------------------------------------------------------------------------------


def _json(file: Path, text: str, problems: list[str]) -> Rows:
    """One object per line; or one document that holds them all."""
    lines = [(number, line) for number, line in enumerate(LINE_END.split(text), start=1) if line.strip()]
    if not lines:
        return []
    if len(lines) > 1 and _is_json(lines[0][1]):
        return _lines(file, lines, problems)
    try:
        rows = _document(text)
        if len(lines) == len(rows) == 1:
            return [(f"{file} line {lines[0][0]}", rows[0])]
        return [(f"{file} row {number}", row) for number, row in enumerate(rows, start=1)]
    except (ValueError, RecursionError) as error:
        if text.lstrip()[:1] != "[" and any(_is_json(line) for _, line in lines[1:]):
            return _lines(file, lines, problems)
        line = error.lineno if isinstance(error, json.JSONDecodeError) else lines[0][0]
        problems.append(f"{file} line {line}: {_in_words(error, lines[0][1])}")
        return []


def _is_json(line: str) -> bool:
    try:
        _parsed(line)
    except (ValueError, RecursionError):
        return False
    return True


def _lines(file: Path, lines: Sequence[tuple[int, str]], problems: list[str]) -> Rows:
    rows: Rows = []
    for number, line in lines:
        where = f"{file} line {number}"
        try:
            row = _parsed(line)
        except (ValueError, RecursionError) as error:
            problems.append(f"{where}: {_in_words(error, line)}")
            continue
        if isinstance(row, dict):
            rows.append((where, row))
        else:
            problems.append(f"{where}: not a JSON object with named fields")
    return rows


def _in_words(error: BaseException, line: str) -> str:
    """What is wrong with a line that is not JSON."""
    broken = NO_BYTE.search(line)
    if broken:
        place = len(line[: broken.start()].encode("utf-8", "surrogateescape")) + 1
        return f"not UTF-8 (byte {place} of the line); save the file as UTF-8"
    if isinstance(error, UnicodeEncodeError):
        return "holds half of a surrogate pair, which is no character"
    habit = _habit(line.strip()) if isinstance(error, json.JSONDecodeError) else ""
    return f"not valid JSON ({habit or error})"


def _habit(line: str) -> str:
    """What other notations allow in a line and JSON does not; empty where it is something else."""
    if line.startswith(("//", "/*", "#")):
        return "it has no comments; leave the line out"
    if line.endswith(",") and _is_json(line.rstrip(", ")):
        return "a comma stands behind the object; leave it out, or put all rows between [ and ]"
    try:
        ast.literal_eval(line)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    return "this is how Python writes a row; write it with json.dumps, which sets double quotation marks, true and null"


def _parsed(text: str) -> Any:
    """A JSON value with numbers as written.

    Raises:
        ValueError: it is none, has a field twice, or holds NaN or half a character.
    """
    value = json.loads(
        text, parse_int=Written, parse_float=Written, parse_constant=_refuse_constant, object_pairs_hook=_object
    )
    if "\\ud" in text.lower() or NO_BYTE.search(text):
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no value: write the text, or leave the row out")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _document(text: str) -> list[Mapping[str, Any]]:
    """The rows of a JSON document: an array, an object that holds one, columns, or objects one after another."""
    value = _parsed(text) if text.lstrip()[:1] == "[" else _one_after_another(text)
    if len(value) == 1 and isinstance(value[0], dict):
        value = _inside(value[0])
    if not all(isinstance(row, dict) for row in value):
        raise ValueError("not an array of objects with named fields")
    return list(value)


def _one_after_another(text: str) -> list[Any]:
    """The values of a text that holds one or several, each on any number of lines."""
    try:
        return [_parsed(text)]
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data") or not text[: error.pos].strip():
            raise
        return [_parsed(text[: error.pos]), *_one_after_another(text[error.pos :])]


def _inside(whole: dict[str, Any]) -> list[Any]:
    """The rows inside one object, or the object as the only row."""
    lists = {name: value for name, value in whole.items() if isinstance(value, list)}
    tables = [name for name, value in lists.items() if value and all(isinstance(row, dict) for row in value)]
    if len(tables) > 1:
        raise ValueError(f"an object with several lists of rows ({', '.join(tables)}): save each as a file of its own")
    if len(whole) > 1 and len(lists) == len(whole) and not tables and len(set(map(len, lists.values()))) == 1:
        return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    parts = list(whole.values())
    if len(whole) > 1 and all(isinstance(part, dict) and part.keys() == parts[0].keys() for part in parts):
        return [{name: part[key] for name, part in whole.items()} for key in parts[0]]  # as pandas writes a table
    return lists[tables[0]] if tables and tables[0] not in ("messages", "conversations") else [whole]


# --- tables ----------------------------------------------------------------------------------------------------------


def _table(file: Path, text: str, problems: list[str]) -> Rows:
    """The rows of a table below its header; every cell is text as it stands."""
    csv.field_size_limit(sys.maxsize)
    told = re.match(r"sep=(.)\s*[\r\n]+", text)  # as spreadsheets write it
    first = LINE_END.split(text[told.end() :] if told else text.lstrip("\r\n"))[0]
    delimiter = told[1] if told else max(DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark))))
    if delimiter not in first:
        kinds = "JSON lines, a JSON array, a table with a header row, or parquet"
        raise ValueError(f"no rows are found in it: its first line is {first[:60]!r}, but it should be {kinds}")
    body = text[told.end() :] if told else text
    if broken := NO_BYTE.search(body):
        line = len(LINE_END.findall(text[: text.index(broken[0])])) + 1
        raise ValueError(f"line {line}: not UTF-8; save the file as UTF-8")
    try:
        cells = list(_cells(body, delimiter, csv.QUOTE_MINIMAL))
    except csv.Error as error:
        if delimiter != "\t":
            raise ValueError(f"not a table: {error}; quotation marks inside a cell are doubled") from error
        cells = list(_cells(body, delimiter, csv.QUOTE_NONE))  # many tables with tabs know no quoting
    (_, header), *rest = cells
    names = [name.strip() for name in header]
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise ValueError(f"the header names the column {twice[0]!r} twice")
    shift = 2 if told else 1
    return list(_named(file, names, [(line + shift - 1, row) for line, row in rest], problems))


def _cells(text: str, delimiter: str, quoting: Any) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    before = 0
    for row in reader:
        if any(cell.strip() for cell in row):
            yield before + 1, row
        before = reader.line_num


def _named(
    file: Path, names: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]], problems: list[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for line, row in rows:
        if len(row) != len(names):
            what = f"has {len(row)} cells, but the header has {len(names)}"
            problems.append(f"{file} line {line}: {what}; a cell that holds the delimiter stands in quotation marks")
        else:
            yield f"{file} line {line}", {name: cell for name, cell in zip(names, row, strict=True) if name}


def _parquet(file: Path, content: bytes) -> Rows:
    import datasets  # slow to import, and needed only here
    import pyarrow

    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content))
    except pyarrow.ArrowException as error:
        raise ValueError(f"this parquet file cannot be read: {error}") from error
    rows = enumerate(named_labels(datasets.Dataset(table)), start=1)
    return [(f"{file} row {number}", row) for number, row in rows]


def named_labels(data: Any) -> Iterator[dict[str, Any]]:
    """The labelled rows of a data set, class labels as their names; all names become the field "choices"."""
    names = {column: feature.names for column, feature in data.features.items() if hasattr(feature, "names")}
    offered: dict[str, Any] = {"choices": list(*names.values())} if len(names) == 1 else {}
    for row in data:
        if all(row[column] is not None and row[column] >= 0 for column in names):
            yield {**offered, **row, **{column: names[column][row[column]] for column in names}}
