"""A model of a user's own looked at once, before anything runs with it: what is wrong is refused, what is odd is told.

Configuration and tokenizer first, which costs nothing; then the weights are loaded (see `lowres.models.checkpoints` for
what is refused there) and a few items are scored as in a trial and row by row, which must agree: so an architecture
that the scoring loop cannot handle, whatever it is, is found before it is trained. Bundled and world models are known.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lowres import models
from lowres.language import LanguageModel, formats, inside
from lowres.models import checkpoints
from lowres.params import InputError

WORKING = (
    "llama, qwen2, qwen3, gemma, gemma2, gemma3_text, mistral, mixtral, phi3, olmo2, gpt2, gpt_neox, opt, bloom, t5"
)
TEXTS = (("What is asked here?", "this"), ("A question that is a little longer than the other one:", "that"))
DIFFERENCE = 1e-2  # nats, between the two ways of scoring; half precision rounds
UNTRAINED = 0.1  # of the chance of a token drawn blindly


@dataclass(frozen=True)
class Finding:
    """One thing about a model: what it was, and in words what was found; `wrong` if nothing can run with it."""

    about: str
    text: str
    wrong: bool = False


def insist(name: str, precision: str = "auto", chat_format: str = "auto") -> list[str]:
    """What there is to tell about a model.

    Raises:
        InputError: all that is wrong with it, each in a line.
    """
    found = examine(name, precision, chat_format)
    wrong = [f"model {name!r}, {each.about}: {each.text}" for each in found if each.wrong]
    if wrong:
        raise InputError(*wrong)
    return [f"{each.about}: {each.text}" for each in found]


def examine(name: str, precision: str = "auto", chat_format: str = "auto") -> tuple[Finding, ...]:
    """What was found out about a model; nothing about those of the book.

    Raises:
        InputError: it cannot be had or read, or lacks a chat format that is asked for.
    """
    if models.is_known(name):
        if chat_format == "on":
            models.without_weights(name, chat_format)
        return ()
    return _examine(name, models.fingerprint(name), precision, chat_format)


@functools.lru_cache(maxsize=16)
def _examine(name: str, identity: str, precision: str, chat_format: str) -> tuple[Finding, ...]:
    config = checkpoints.configuration(name, models.folder_of(name))
    found = tuple(_of_configuration(config))
    if any(each.wrong for each in found):
        return found
    own = models.without_weights(name, chat_format)
    found += tuple(_of_words(own, chat_format))
    if any(each.wrong for each in found):
        return found
    loaded = models.load(name, precision, chat_format=chat_format)
    return (*found, *_of_scoring(loaded))


# --- configuration ---------------------------------------------------------------------------------------------------


def _of_configuration(config: Any) -> Iterator[Finding]:
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    )

    kind, named = config.model_type, " ".join(getattr(config, "architectures", None) or [])
    quantised = getattr(config, "quantization_config", None)
    if quantised is not None:
        values = quantised if isinstance(quantised, dict) else vars(quantised)
        method = values.get("quant_method") or "some method"
        yield Finding(
            "weights", f"they are quantised ({method}); tuning needs plain ones: take the model it was made from", True
        )
    if any(hasattr(config, part) for part in ("vision_config", "audio_config", "speech_config")):
        yield Finding(
            "architecture",
            f"{kind} reads more than text: save its language model alone (its config has text_config)",
            True,
        )
        return
    encoder = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not config.is_encoder_decoder
    writes = named.endswith(("CausalLM", "LMHeadModel")) or getattr(config, "is_decoder", False)
    known = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    if (encoder and not writes) or not known:
        reads = "reads text and writes none (an encoder)" if encoder else "is no language model that writes"
        yield Finding("architecture", f"{kind} {reads}; families that work: {WORKING}", True)


# --- tokenizer and chat format ---------------------------------------------------------------------------------------


def _of_words(own: LanguageModel, chat_format: str) -> Iterator[Finding]:
    tokenizer, rows = own.tokenizer, getattr(own.model.config, "vocab_size", None)
    largest = max(tokenizer.get_vocab().values(), default=0)
    if rows is not None and largest >= rows:
        beyond = [word for word, token in tokenizer.get_vocab().items() if token >= rows]
        shown = ", ".join(map(repr, sorted(beyond)[:4]))
        yield Finding(
            "tokenizer",
            f"it has {len(beyond):,} tokens that the model has no row for ({shown}): call resize_token_embeddings and "
            "save the model again, or take the tokenizer that belongs to it",
            True,
        )
        return
    chat = formats.chat_format(tokenizer) if tokenizer.chat_template else None
    if chat and chat.fault:
        yield Finding(
            "chat format", f"{chat.fault}; mend chat_template, or say chat_format=off to have plain text", True
        )
        return
    try:
        end = formats.turn_end(tokenizer)
    except InputError as error:
        yield Finding("tokenizer", str(error), True)
        return
    if not chat:
        why = "as chat_format=off says" if chat_format == "off" else "there is no chat format"
        yield Finding("format", f"plain text, ended by {tokenizer.convert_ids_to_tokens(end)!r}: {why}")
        return
    yield Finding("chat format", f"used; an answer ends with {tokenizer.convert_ids_to_tokens(end)!r}{_placed(chat)}")
    template = str(tokenizer.chat_template)
    if "strftime_now" in template or "date_string" in template:
        yield Finding("chat format", f"it prints the day, which is always {formats.DATE} here")


def _placed(chat: formats.Chat) -> str:
    if chat.added or chat.taken:
        return f"; it begins behind {chat.added!r}" if chat.added else "; a thought is not opened before it"
    return "" if chat.behind else "; the format does not show answers, so the end token of the tokenizer ends them"


# --- weights ---------------------------------------------------------------------------------------------------------


def _of_scoring(own: LanguageModel) -> Iterator[Finding]:
    try:
        difference = _difference(own)
    except Exception as error:  # a library's model may fail in any way on what others take
        first = (str(error).splitlines() or [""])[0]
        told = f"it cannot be scored here ({type(error).__name__}: {first}); families that work: {WORKING}"
        yield Finding("architecture", told, True)
        return
    if not difference < DIFFERENCE:
        yield Finding(
            "architecture",
            f"in a batch with padding and a cache it scores an answer otherwise than alone (by {difference:.3f} nats); "
            f"families that work: {WORKING}",
            True,
        )
        return
    share = _chance_of_end(own)
    if share < UNTRAINED:
        end = own.tokenizer.convert_ids_to_tokens(formats.turn_end(own.tokenizer))
        yield Finding(
            "end token",
            f"the model never ends an answer with {end!r} (a token drawn blindly is {1 / max(share, 1e-9):,.0f} times "
            "as likely), as if its row were untrained; tuners that leave the output layer frozen will hardly teach it "
            "to: use full tuning, or a model that was trained to chat",
        )


def _difference(own: LanguageModel) -> float:
    """Nats by which answers scored in one batch differ from each alone, without cache and padding."""
    from lowres.evaluate.answers import Item, answer

    rows = [formats.encode(own, *pair) for pair in TEXTS]
    items = [Item(row.ids[: row.prompt_length], (row.target,), (1,)) for row in rows]
    scored = answer(own.model, own, items, max_new_tokens=2).log_likelihoods
    return max(abs(score[0] - sum(_alone(own, row))) for score, row in zip(scored, rows, strict=True))


def _alone(own: LanguageModel, row: formats.Encoded) -> list[float]:
    """Log-likelihood of each token of a target, from one pass over the row alone."""
    import torch

    def ids(tokens: tuple[int, ...]) -> torch.Tensor:
        return torch.tensor([tokens], device=own.device)

    with torch.no_grad(), inside.precision_context(own):
        if formats.is_encoder_decoder(own):
            begun = formats.decoder_start(own)
            prompt, read = row.ids[: row.prompt_length], (*begun, *row.target)
            logits = own.model(input_ids=ids(prompt), decoder_input_ids=ids(read[:-1])).logits[0, len(begun) - 1 :]
        else:
            logits = own.model(input_ids=ids(row.ids[:-1])).logits[0, row.prompt_length - 1 :]
    chosen = logits.float().log_softmax(-1)
    return [float(chosen[at, token]) for at, token in enumerate(row.target)]


def _chance_of_end(own: LanguageModel) -> float:
    """Mean probability of the end token behind an answer (geometric), as a multiple of that of a random token."""
    ends = [_alone(own, formats.encode(own, *pair))[-1] for pair in TEXTS]
    vocabulary = own.model.get_output_embeddings().weight.shape[0]
    return math.exp(sum(ends) / len(ends)) * vocabulary
