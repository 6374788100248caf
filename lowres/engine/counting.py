"""How many parameters each tuner trains on a model, without loading its weights."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lowres import models, tuners
from lowres.language import LanguageModel
from lowres.params import InputError, did_you_mean
from lowres.texts import aligned
from lowres.tuners.configurations import DiReFT, DiReFTPyreft, LoReFT, LoReFTPyreft

# pyreft keeps a square matrix per edit, gigabytes for a large model; what it trains is what the book's own edits train.
REFERENCES: dict[type[tuners.Tuner], Callable[[Any], tuners.Tuner]] = {
    LoReFTPyreft: lambda tuner: LoReFT(**asdict(tuner)),
    DiReFTPyreft: lambda tuner: DiReFT(**asdict(tuner)),
}


@dataclass(frozen=True)
class Count:
    """Trained parameters of one tuner on one model of `total` parameters; `problem` says why there are none."""

    tuner: tuners.Tuner
    trained: int
    total: int
    problem: str = ""

    @property
    def percent(self) -> float:
        """Trained parameters in percent of the model's own."""
        return 100 * self.trained / self.total


def count(model: str, chosen: Sequence[tuners.Tuner]) -> list[Count]:
    """Trained parameters of tuners on a model's architecture, built without storage.

    Args:
        model: one of architectures.yaml, a model name, a folder or file with a config.json, or a Hub id.

    Raises:
        InputError: the architecture is not known or cannot be read.
    """
    config = configuration(model)
    return [_counted(tuner, config) for tuner in chosen]


def configuration(name: str) -> Any:
    """The transformers configuration of an architecture.

    Raises:
        InputError: no such name, file, or Hub id within reach.
    """
    import yaml
    from transformers import AutoConfig

    known = yaml.safe_load(Path(__file__).with_name("architectures.yaml").read_text(encoding="utf-8"))
    if name in known:
        return AutoConfig.for_model(**known[name])
    path = Path(name).expanduser()
    if path.is_file():
        try:
            return AutoConfig.for_model(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path} is not the configuration of a transformers model: {error}") from error
    problem = models.check_name(name)
    if problem:
        near = did_you_mean(name, known)
        raise InputError(f"{problem} Architectures without weights: {', '.join(known)}{near}")
    try:
        if name in models.BUNDLED:
            return copy.deepcopy(_bundled(name))
        return AutoConfig.from_pretrained(models.folder_of(name) if name in models.OPTIONAL else name)
    except (OSError, ValueError) as error:
        raise InputError(f"the configuration of {name!r} could not be read: {str(error).splitlines()[0]}") from error


@functools.cache
def _bundled(name: str) -> Any:
    """The configuration in a bundled file, of which transformers reads every tensor for it: once is enough."""
    from transformers import AutoConfig

    weights = models.bundled_file(name)
    return AutoConfig.from_pretrained(weights.parent, gguf_file=weights.name)


def weights(config: Any) -> int:
    """Weights of a model in all."""
    return sum(parameter.numel() for parameter in _without_storage(config).model.parameters())


def _counted(tuner: tuners.Tuner, config: Any) -> Count:
    subject = _without_storage(config)
    total = sum(parameter.numel() for parameter in subject.model.parameters())
    try:
        tuned = tuners.apply(REFERENCES.get(type(tuner), lambda _: tuner)(tuner), subject, 0)
    except InputError as error:
        return Count(tuner, 0, total, str(error))
    return Count(tuner, sum(each.numel() for each in tuned.parameters() if each.requires_grad), total)


def _without_storage(config: Any) -> LanguageModel:
    """A model on torch's meta device: shapes and no numbers."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    kind: Any = AutoModelForCausalLM
    if config.is_encoder_decoder:
        kind = AutoModelForSeq2SeqLM
    elif type(config) not in AutoModelForCausalLM._model_mapping or config.model_type == "roberta":
        kind = AutoModel  # an encoder
    with torch.device("meta"):
        model = kind.from_config(config)
    return LanguageModel(config.model_type, "", model, None, 0, torch.device("meta"), False)


def table(model: str, counts: Sequence[Count], details: bool = False) -> str:
    """The counts as text, with the total below; `details` shows the options too."""
    rows = [(each.tuner.name, f"{each.trained:,}", f"{each.percent:.4f} %", each.problem) for each in counts]
    shown = [(*row[:3], "") if not row[3] else (row[0], "-", "-", row[3]) for row in rows]
    lines = [aligned([("tuner", "trained", "of the model", ""), *shown], right=(1, 2))]
    if details:
        lines += [f"  {name} = {value}" for name, value in asdict(counts[0].tuner).items()]
    return "\n".join([*lines, "", f"{model}: {counts[0].total:,} parameters"])
