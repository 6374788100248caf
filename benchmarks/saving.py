"""Save what a tuner trained, and put it back exactly."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from lowres import tuners
from lowres.language import LanguageModel
from lowres.params import InputError

WEIGHTS, DESCRIPTION = "adapter.safetensors", "adapter.json"
ROTATIONS = ("representation_edits.", "rotate_layer.")  # whose fixed part is drawn at random and belongs to the result


def save(model: nn.Module, tuner: tuners.Tuner, seed: int, language_model: LanguageModel, folder: Path) -> Path:
    """Write the trained parameters of a model (as `tuners.apply` returned it) and what they belong to.

    Raises:
        InputError: the folder cannot be written.
    """
    from safetensors.torch import save_file

    description = {
        "tuner": {"name": tuner.name, **asdict(tuner)},
        "seed": seed,
        "model": {"name": language_model.name, "fingerprint": language_model.fingerprint},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in _kept(model).items()}, folder / WEIGHTS)
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}") from error
    return folder


def load(language_model: LanguageModel, folder: Path) -> nn.Module:
    """Apply the saved tuner to a model, changing it in place, and give it the saved parameters.

    Raises:
        InputError: files are missing or of another model; names what differs.
    """
    from safetensors.torch import load_file

    missing = [name for name in (WEIGHTS, DESCRIPTION) if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} is no saved tuner: {' and '.join(missing)} missing")
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    made_for = description["model"]
    if made_for["fingerprint"] != language_model.fingerprint:
        raise InputError(
            f"{folder} was tuned on {made_for['name']} ({made_for['fingerprint']}), which is not "
            f"{language_model.name} ({language_model.fingerprint})"
        )
    model = tuners.apply(tuners.make(**description["tuner"]), language_model, description["seed"])
    saved, own = load_file(folder / WEIGHTS), _kept(model)
    if saved.keys() != own.keys():
        raise InputError(f"{folder / WEIGHTS} does not fit: {', '.join(sorted(saved.keys() ^ own.keys())[:4])}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(saved[name])
    return model


def _kept(model: nn.Module) -> dict[str, torch.Tensor]:
    trained: dict[str, torch.Tensor] = {name: each for name, each in model.named_parameters() if each.requires_grad}
    fixed = {name: each for name, each in model.named_buffers() if any(part in name for part in ROTATIONS)}
    return trained | fixed
