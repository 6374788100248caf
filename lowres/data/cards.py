"""The cards of tasks, probes and the general pool, and probes made of theirs.

They stand beside this file, in YAML: what a model is told, how answers are judged, where the data are from.
"""

import functools
from pathlib import Path
from typing import Any

from lowres.examples import Example, Probe


@functools.cache
def cards(kind: str) -> dict[str, Any]:
    """What the file of that name holds: the cards of tasks, probes or the general pool in the order of listing."""
    import yaml  # here, because no data need it before they are read

    return dict(yaml.safe_load(Path(__file__).with_name(f"{kind}.yaml").read_text(encoding="utf-8")))


def probe_of(name: str, examples: tuple[Example, ...]) -> Probe:
    """The probe `name`: with `choices` on its card its answers are chosen among so many, else its text is scored."""
    card = {field: value for field, value in cards("probes")[name].items() if field != "file"}
    choices = card.pop("choices", 0)
    return Probe(name, "choice" if choices else "nll", examples, 1 / choices if choices else None, **card)
