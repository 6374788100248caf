"""A language model as all that trains and measures sees it: what it is, how text goes in, what an answer may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class LanguageModel:
    """A model ready to be tuned or evaluated; `autocast` tells whether matrix products run in bfloat16."""

    name: str
    fingerprint: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    context: int
    device: torch.device
    autocast: bool
