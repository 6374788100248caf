"""A user's own task from a file, or from a folder with a file per split."""

import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from lowres.contents import content, is_utf8
from lowres.data.own import SPLIT_WORDS, TaskOptions, build_task
from lowres.data.reading import SUFFIXES, Rows, is_data, read_rows, stem
from lowres.examples import Task
from lowres.params import InputError

PREFIX = "jsonl:"
SHARD = re.compile(r"[-_.]?\d+(-of-\d+)?")  # behind the name of a split that lies in several files

Name = TypeVar("Name")

_Stamp = tuple[str, Path, str]  # split, file, hash of its content: a changed file is read again


def check_path(place: str, prefix: str = PREFIX) -> str | None:
    """What is wrong with the path after the prefix, or None. Reads no data."""
    if not place.strip():
        return f"{prefix} needs a path after the colon"
    if not is_utf8(place):
        return f"{prefix}{os.fsencode(place)!r}: the name is not UTF-8, and records could not hold it: rename the file"
    path = Path(place).expanduser()
    if not path.exists():
        return f"{prefix}{place}: there is no such file or folder ({path.absolute()})"
    if path.is_dir() and "train" not in split_files(path)[0]:
        others = ", ".join(sorted(file.name for file in _data_files(path)))
        return (
            f"{prefix}{place}: the folder has no train.jsonl (or another of {', '.join(SUFFIXES)}; validation and test "
            f"may stand beside it){': it has ' + others if others else ''}"
        )
    return None


def file_task(name: str, options: TaskOptions) -> Task:
    """The task in a file, which is split here, or in a folder with a file for train, validation and test.

    Raises InputError that lists every broken line (the first ten) with file, line number and field.
    """
    prefix, _, place = name.partition(":")
    path = Path(place).expanduser()
    if problem := check_path(place, f"{prefix}:"):
        raise InputError(problem)
    files, told = split_files(path) if path.is_dir() else ({"train": [path]}, [])
    try:
        stamps = [(split, file, content(file)) for split, part in files.items() for file in part]
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error
    return _file_task(name, options, tuple(stamps), tuple(told))


@functools.lru_cache(maxsize=64)
def _file_task(name: str, options: TaskOptions, files: tuple[_Stamp, ...], told: tuple[str, ...]) -> Task:
    problems: list[str] = []
    rows: dict[str, Rows] = {split: [] for split, _, _ in files}
    for split, file, _ in files:
        rows[split] += read_rows(file, problems)
    return build_task(name, rows, options, problems, "the user's own", told)


def split_files(folder: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """The files of each split of a folder, and a line on those that are not used.

    A folder with one file of rows has it as its train split, whatever its name.
    """
    there = _data_files(folder) or _data_files(folder / "data")
    chosen, left = splits_of({file: stem(file) for file in there})
    if not chosen and len(there) == 1:
        return {"train": there}, []
    return chosen, [f"files not used: {', '.join(file.name for file in left)}"] if left else []


def _data_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if is_data(file)) if folder.is_dir() else []


def splits_of(names: Mapping[Name, str]) -> tuple[dict[str, list[Name]], list[Name]]:
    """What belongs to each split by its name, and what belongs to none or comes after another of the same split.

    A name is a word for a split, alone, numbered (`train-00000-of-00002`: all of these) or continued
    (`validation_matched`: the first of these, where nothing is called so alone).
    """
    chosen: dict[str, list[Name]] = {}
    for split, words in SPLIT_WORDS.items():
        rest = {
            key: (rank, name[len(word) :])
            for rank, word in enumerate(words)
            for key, name in names.items()
            if re.fullmatch(rf"{word}([-_.\d].*)?", name)
        }
        alone = [key for key, (_, behind) in rest.items() if not behind]
        shards = [key for key, (_, behind) in rest.items() if behind and SHARD.fullmatch(behind)]
        if found := alone[:1] or shards or sorted(rest, key=lambda key: rest[key])[:1]:
            chosen[split] = found
    used = {key for part in chosen.values() for key in part}
    return chosen, [key for key in names if key not in used]
