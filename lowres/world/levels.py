"""What pretrained world models know, as a table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lowres.texts import aligned
from lowres.world import probes
from lowres.world.names import CHANCE, LEVEL_PROBES, PROBES
from lowres.world.pretraining import accuracy


def levels(folder: Path) -> dict[str, float]:
    """Accuracy on every probe of the model in a folder."""
    network = _network(folder)
    return {name: accuracy(network, probes.load(name).examples) for name in PROBES}


def levels_table(rows: Sequence[tuple[str, Path, float | None]]) -> str:
    """One column per model: parameters, seconds of pretraining just now, accuracy per probe, level, hash of weights.

    The level is the mean over the probes' items; "set aside" is that over the items that pretraining itself looks at.
    """
    columns = [["probe", "chance"], ["parameters", ""], ["seconds", ""]]
    columns += [[name, f"{CHANCE[name]:.2f}"] for name in PROBES]
    columns += [["level", f"{_mean(CHANCE):.2f}"], ["set aside", f"{_mean(CHANCE):.2f}"], ["weights", ""]]
    for name, folder, seconds in rows:
        found, network = levels(folder), _network(folder)
        cells = [name, f"{network.num_parameters():,}", "cached" if seconds is None else f"{seconds:.0f}"]
        cells += [f"{found[probe]:.2f}" for probe in PROBES]
        cells += [f"{_mean(found):.2f}", f"{network.config.lowres_world['level']:.2f}", weights_digest(folder)]
        columns = [[*row, cell] for row, cell in zip(columns, cells, strict=True)]
    return aligned(columns, right=range(1, len(columns[0])))


def weights_digest(folder: Path) -> str:
    """Sixteen hex digits over the names, shapes and bytes of all weights: equal only where every bit is."""
    from safetensors.numpy import load_file

    digest = hashlib.sha256()
    for name, weight in sorted(load_file(folder / "model.safetensors").items()):
        digest.update(f"{name}{weight.shape}{weight.dtype}".encode() + weight.tobytes())
    return digest.hexdigest()[:16]


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
