"""A user's own task from JSONL files."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowres.data.examples import Task
from lowres.data.own import SPLIT_WORDS, Rows, TaskOptions, build_task

PREFIX = "jsonl:"

_Stamp = tuple[str, Path, int, int]  # split, file, time of change, size: a changed file is read again


def check_path(place: str) -> str | None:
    """What is wrong with the path after the prefix, or None. Reads no data."""
    path = Path(place).expanduser()
    if not place.strip():
        return f"{PREFIX} needs a path after the colon"
    if not path.exists():
        return f"{PREFIX}{place}: there is no such file or folder ({path.absolute()})"
    if path.is_dir() and "train" not in _split_files(path):
        return f"{PREFIX}{place}: the folder has no train.jsonl (validation.jsonl and test.jsonl may stand beside it)"
    return None


def jsonl_task(name: str, options: TaskOptions) -> Task:
    """The task in a JSONL file, which is split here, or in a folder of train.jsonl, validation.jsonl and test.jsonl.

    Raises InputError that lists every broken line (the first ten) with file, line number and field.
    """
    path = Path(name.removeprefix(PREFIX)).expanduser()
    files = _split_files(path) if path.is_dir() else {"train": path}
    stamps = ((split, file, file.stat().st_mtime_ns, file.stat().st_size) for split, file in files.items())
    return _jsonl_task(name, options, tuple(stamps))


@functools.cache
def _jsonl_task(name: str, options: TaskOptions, files: tuple[_Stamp, ...]) -> Task:
    problems: list[str] = []
    rows = {split: read_rows(file, problems) for split, file, _, _ in files}
    return build_task(name, rows, options, problems, licence="the user's own")


def _split_files(folder: Path) -> dict[str, Path]:
    found = {}
    for split, words in SPLIT_WORDS.items():
        there = [folder / f"{word}.jsonl" for word in words if (folder / f"{word}.jsonl").exists()]
        if there:
            found[split] = there[0]
    return found


def read_rows(file: Path, problems: list[str]) -> Rows:
    """The rows of a JSONL file; what cannot be read is added to `problems`."""
    try:
        content = file.read_bytes()
    except OSError as error:
        problems.append(f"{file}: cannot be read ({error.strerror})")
        return []
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.append(f"{file}: not UTF-8 but UTF-16; save it as UTF-8")
        return []
    rows: Rows = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            where = f"{file} line {number}"
            row = _parse(line, where, problems)
            if row is not None:
                rows.append((where, row))
    if not rows and not problems:
        problems.append(f"{file}: the file is empty")
    return rows


def _parse(line: bytes, where: str, problems: list[str]) -> Mapping[str, Any] | None:
    try:
        row = json.loads(line.decode("utf-8"))
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        problems.append(f"{where}: not UTF-8 (byte {error.start + 1} of the line)")
    except UnicodeEncodeError:
        problems.append(f"{where}: holds half of a surrogate pair, which is no character")
    except (ValueError, RecursionError) as error:
        problems.append(f"{where}: not valid JSON ({error})")
    else:
        if isinstance(row, dict):
            return row
        problems.append(f"{where}: not a JSON object with named fields")
    return None
