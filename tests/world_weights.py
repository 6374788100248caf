"""Hashes of the weights of short pretrainings, which hold WORLD_VERSION to its word.

Two dozen steps pass through every stage of the text, the warm-up and the decay. When the weights are meant to change,
raise WORLD_VERSION and write the hashes anew:

    python tests/world_weights.py > tests/world_weights.json
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

STEPS = 24
NAMES = ("world-xs", "world-xs-instruct", "world-xs-encdec", "world-xs-encdec-instruct")
GOLDEN = Path(__file__).with_suffix(".json")


def short_pretrainings() -> dict[str, str]:
    """Sixteen hex digits over the weights of each model, instruction-tuned ones going on from their base."""
    from lowres import world
    from lowres.world import sizes
    from lowres.world.pretraining import pretrain

    found, kept = {}, (sizes.DECODERS["xs"], sizes.ENCODER_DECODERS["xs"])
    with tempfile.TemporaryDirectory() as place:
        try:
            for table in (sizes.DECODERS, sizes.ENCODER_DECODERS):
                table["xs"] = replace(table["xs"], steps=STEPS)
            for name in NAMES:
                model, folder = world.parse(name), Path(place) / name
                assert isinstance(model, world.WorldModel)
                pretrain(model, folder, Path(place) / name.replace("-instruct", "") if model.instruct else None, False)
                found[name] = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]
        finally:
            sizes.DECODERS["xs"], sizes.ENCODER_DECODERS["xs"] = kept
    return found


if __name__ == "__main__":
    import world_weights  # under its own name, for the process that computes

    from lowres import world
    from lowres.machine import helper

    hashes = helper.perform(True, world_weights.short_pretrainings)
    print(json.dumps({"world_version": world.WORLD_VERSION, **hashes}, indent=1))
