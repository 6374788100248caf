"""What pretrained world models know, as a table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lowres.world import probes
from lowres.world.names import CHANCE, LEVEL_PROBES, PROBES
from lowres.world.pretraining import accuracy


def levels(folder: Path) -> dict[str, float]:
    """Accuracy on every probe of the model in a folder."""
    network = _network(folder)
    return {name: accuracy(network, probes.load(name).examples) for name in PROBES}


def weights(folder: Path) -> str:
    """Eight hex digits over the weights in a folder, equal wherever they are."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:8]


def levels_table(rows: Sequence[tuple[str, Path, float | None]]) -> str:
    """One column per model: parameters, hash of weights, seconds of pretraining just now, accuracies, level."""
    columns = [["probe", "chance"], ["parameters", ""], ["weights", ""], ["seconds", ""]]
    columns += [[name, f"{CHANCE[name]:.2f}"] for name in PROBES]
    columns.append(["level", f"{_mean(CHANCE):.2f}"])
    for name, folder, seconds in rows:
        found = levels(folder)
        cells = [name, f"{_network(folder).num_parameters():,}", weights(folder)]
        cells.append("cached" if seconds is None else f"{seconds:.0f}")
        cells += [f"{found[probe]:.2f}" for probe in PROBES] + [f"{_mean(found):.2f}"]
        columns = [[*row, cell] for row, cell in zip(columns, cells, strict=True)]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    return "\n".join(_line(row, widths) for row in columns)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(row, widths, strict=True)
    return "  ".join([f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in rest)]).rstrip()


def _mean(found: dict[str, float]) -> float:
    """The mean over the probes that make up the level."""
    return sum(found[name] for name in LEVEL_PROBES) / len(LEVEL_PROBES)


def _network(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    encdec = json.loads((folder / "config.json").read_text()).get("is_encoder_decoder", False)
    kind = AutoModelForSeq2SeqLM if encdec else AutoModelForCausalLM
    return kind.from_pretrained(folder).eval()
