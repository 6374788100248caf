"""Tasks from data sets that the `datasets` library loads: a user's own, and those of papers, by name."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lowres.contents import content
from lowres.data.files import file_task, splits_of
from lowres.data.own import TaskOptions, build_task
from lowres.data.reading import Rows, named_labels
from lowres.data.text import one_line
from lowres.examples import Task
from lowres.params import InputError

PREFIX = "hub:"
GLUE = {  # by its name on the hub: the fields of a sentence or a pair (STS-B, which has no classes, is left out)
    "cola": "sentence",
    "sst2": "sentence",
    "mrpc": "sentence1+sentence2",
    "qqp": "question1+question2",
    "mnli": "premise+hypothesis",
    "qnli": "question+sentence",
    "rte": "sentence1+sentence2",
}
NAMED = {  # training sets of the LoReFT paper; its test sets are other ones, here a part is set aside
    "commonsense170k": ("zwhe99/commonsense_170k", TaskOptions("instruction", "answer", metric="exact_match")),
    "math10k": ("lmms-lab/Math10K", TaskOptions("instruction", "output", metric="number")),
    "ultrafeedback": (
        "argilla/ultrafeedback-binarized-preferences",
        TaskOptions("instruction", "chosen_response", metric="rouge_l"),
    ),
    **{f"glue-{name}": (f"nyu-mll/glue:{name}", TaskOptions(fields, "label")) for name, fields in GLUE.items()},
}


def check_place(place: str) -> str | None:
    """What is wrong with the id or the folder after the prefix, or None. Reads no data."""
    return None if place.strip() else f"{PREFIX} needs a data set id or a folder after the colon"


def hub_task(name: str, options: TaskOptions) -> Task:
    """The task in a data set that `datasets` loads: a hub id, `id:configuration`, or a local folder that it saved.

    Any other folder, and any file, is read as `jsonl:` reads it.
    Raises InputError when it cannot be had (and says how to download it beforehand) or its rows do not fit.
    """
    place = Path(name.removeprefix(PREFIX)).expanduser()
    if not place.exists():
        return _hub_task(name, options, ())
    if not is_saved(place):
        return file_task(name, options)
    return _hub_task(name, options, tuple(content(file) for file in sorted(place.rglob("*")) if file.is_file()))


def is_saved(place: Path) -> bool:
    """Whether a folder was written by `save_to_disk` of `datasets`."""
    return (place / "dataset_dict.json").exists() or (place / "state.json").exists()


@functools.lru_cache(maxsize=64)
def _hub_task(name: str, options: TaskOptions, identity: tuple[str, ...]) -> Task:
    """The task; `identity` is what the files of a local folder hold: a changed one is read again."""
    place = name.removeprefix(PREFIX)
    loaded = _load_data_set(place)
    splits = loaded if isinstance(loaded, Mapping) else {"train": loaded}
    chosen, left = splits_of({split: split.lower() for split in splits})
    if "train" not in chosen:
        raise InputError(f"the data set has no split train, only {', '.join(splits)}")
    rows: dict[str, Rows] = {
        split: [
            (f"{place} {each} row {number}", row)
            for each in names
            for number, row in enumerate(named_labels(splits[each]), start=1)
        ]
        for split, names in chosen.items()
    }
    labelled = {split: part for split, part in rows.items() if part}
    if "train" not in labelled:
        raise InputError(f"the split train of {place} has no labelled rows")
    told = [f"splits not used: {', '.join(left)}"] if left else []
    told += [f"the split {split} has no labelled rows and is not used" for split in rows if split not in labelled]
    return build_task(name, labelled, options, [], f"see the card of {place}", told)


@functools.cache
def named_task(name: str) -> Task:
    """A task of a paper, fetched from the hub on first use."""
    place, options = NAMED[name]
    return replace(_hub_task(f"{PREFIX}{place}", options, ()), name=name)


def _load_data_set(place: str) -> Any:
    import datasets  # slow to import, and needed only here

    folder = Path(place).expanduser()
    if not folder.exists() and place.startswith((".", "/", "~")):
        raise InputError(f"{PREFIX}{place}: there is no such folder ({folder.absolute()})")
    try:
        if is_saved(folder):
            return datasets.load_from_disk(str(folder))
        identifier, _, configuration = place.partition(":")
        return datasets.load_dataset(identifier, configuration or None)
    except Exception as error:  # whatever the library raises for a missing network, a wrong id or a broken file
        asked = ", ".join(map(repr, place.split(":")))
        raise InputError(
            f"{PREFIX}{place} could not be loaded ({type(error).__name__}: {one_line(str(error))[:200]}). It needs the "
            "id of a data set and a network, or a copy made beforehand where there is one: "
            f"`python -c \"import datasets; datasets.load_dataset({asked}).save_to_disk('FOLDER')\"`, then "
            f"{PREFIX}FOLDER; a copy in the library's cache is found too"
        ) from error
