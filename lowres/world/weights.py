"""Published weights of world models: what pretraining gives, so that nobody has to wait for it.

At the end of pretraining weights are rounded to half precision, so that the published file, half the size, holds the
very model: pretraining on any machine gives the same bytes (see `lowres.machine`), only later. A file counts for the
model whose fingerprint it names; one of another version of the world is passed over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lowres.places import RESULTS
from lowres.world.names import WorldModel
from lowres.world.network import network, save

FOLDER = RESULTS / "weights"


def rounded(network: Any) -> None:
    """Round all weights of a network, in place, to numbers that half precision holds.

    Raises:
        ValueError: a weight is too large for it.
    """
    import torch

    for name, weight in network.named_parameters():
        half = weight.data.half()
        if not torch.isfinite(half).all():
            raise ValueError(f"weight {name} does not fit half precision: largest {weight.abs().max():.0f}")
        weight.data.copy_(half.float())


def published_file(model: WorldModel) -> Path:
    """Where the weights of a model are published, if they are."""
    return FOLDER / f"{model.name}.safetensors"


def is_published(model: WorldModel, fingerprint: str) -> bool:
    """Whether there are published weights of exactly this model."""
    path = published_file(model)
    if not path.is_file():
        return False
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return bool((file.metadata() or {}).get("fingerprint") == fingerprint)


def publish(model: WorldModel, fingerprint: str, folder: Path) -> Path:
    """Write the weights in the folder of a pretrained model to its published file."""
    import json

    from safetensors.torch import load_file
    from safetensors.torch import save as packed

    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))["lowres_world"]
    weights = {name: weight.half() for name, weight in load_file(folder / "model.safetensors").items()}
    path = published_file(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed(weights, {"fingerprint": fingerprint, "pretrained": json.dumps(facts)}))
    return path


def restore(model: WorldModel, folder: Path) -> None:
    """Make the folder that pretraining would, from published weights."""
    import json

    from safetensors import safe_open
    from safetensors.torch import load_file

    path = published_file(model)
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["pretrained"])
    restored = network(model, None)
    weights = {name: weight.float() for name, weight in load_file(path).items()}
    lacking, surplus = restored.load_state_dict(weights, strict=False)
    tied = set(restored.all_tied_weights_keys)
    if surplus or set(lacking) - tied:
        raise ValueError(f"{path} does not fit {model.name}: without {sorted(set(lacking) - tied)}, with {surplus}")
    save(model, restored, facts, folder)
