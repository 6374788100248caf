"""Tasks from data sets that the `datasets` library loads: a user's own, and those of papers, by name."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lowres.data.examples import Task
from lowres.data.own import SPLIT_WORDS, Rows, TaskOptions, build_task
from lowres.data.text import one_line
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


@functools.cache
def hub_task(name: str, options: TaskOptions) -> Task:
    """The task in a data set that `datasets` loads: a hub id, `id:configuration`, or a local folder.

    Raises InputError when it cannot be had (and says how to download it beforehand) or its rows do not fit.
    """
    place = name.removeprefix(PREFIX)
    splits = _splits_of(_load_data_set(place))
    rows: dict[str, Rows] = {
        split: [(f"{place} {split} row {number}", row) for number, row in enumerate(_named_labels(data), start=1)]
        for split, data in splits.items()
    }
    labelled = {split: part for split, part in rows.items() if part}
    if "train" not in labelled:
        raise InputError(f"the split train of {place} has no labelled rows")
    return build_task(name, labelled, options, [], licence=f"see the card of {place}")


@functools.cache
def named_task(name: str) -> Task:
    """A task of a paper, fetched from the hub on first use."""
    place, options = NAMED[name]
    return replace(hub_task(f"{PREFIX}{place}", options), name=name)


def _load_data_set(place: str) -> Any:
    import datasets  # slow to import, and needed only here

    folder = Path(place).expanduser()
    if not folder.exists() and place.startswith((".", "/", "~")):
        raise InputError(f"{PREFIX}{place}: there is no such folder ({folder.absolute()})")
    try:
        if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
            return datasets.load_from_disk(str(folder))
        if folder.exists():
            return datasets.load_dataset(str(folder))
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


def _splits_of(loaded: Any) -> dict[str, Any]:
    if not isinstance(loaded, Mapping):
        return {"train": loaded}
    named = {split: [loaded[word] for word in words if word in loaded] for split, words in SPLIT_WORDS.items()}
    found = {split: data[0] for split, data in named.items() if data}
    if "train" not in found:
        raise InputError(f"the data set has no split train, only {', '.join(loaded)}")
    return found


def _named_labels(data: Any) -> Iterator[dict[str, Any]]:
    """The labelled rows of a data set, class labels as their names; all names become the field "choices"."""
    names = {column: feature.names for column, feature in data.features.items() if hasattr(feature, "names")}
    offered: dict[str, Any] = {"choices": list(*names.values())} if len(names) == 1 else {}
    for row in data:
        if all(row[column] is not None and row[column] >= 0 for column in names):
            yield {**offered, **row, **{column: names[column][row[column]] for column in names}}
