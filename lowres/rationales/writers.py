"""Who writes rationales: a local model, a world model that was taught to, or a model behind an endpoint."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lowres.data import Example
from lowres.data.mixing import derived_seed
from lowres.language import LanguageModel, formats, inside
from lowres.language.formats import turn_ids
from lowres.params import InputError
from lowres.rationales import teaching
from lowres.rationales.endpoint import Endpoint
from lowres.rationales.parsing import Parsed, parse
from lowres.rationales.prompts import ReasoningPrompt

LEAST_INPUT = 32  # tokens of an example's own text that have to fit into the context
JOINTS = 4  # tokens


@dataclass(frozen=True)
class Draft:
    """What a model wrote about one example, and what it cost; `samples` are the answers of its sampled paths."""

    parsed: Parsed
    prompt_tokens: int
    new_tokens: int
    seconds: float
    samples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """Reasoning paths to sample besides the greedy one."""

    paths: int = 0
    temperature: float = 0.7
    seed: int = 0

    def seed_of(self, example: Example) -> int:
        """A seed that does not depend on which examples are asked for together."""
        return derived_seed(self.seed, f"sample/{example.prompt}")


class Writer(Protocol):
    """Drafts for `chunk` examples at a time."""

    chunk: int

    def drafts(self, examples: Sequence[Example]) -> list[Draft]:
        """One draft per example."""


# --- models of this machine ------------------------------------------------------------------------------------------


@dataclass
class LocalWriter:
    """Writes with a model that is loaded here, greedily and in batches. `prompt` None: the bare input is asked."""

    language_model: LanguageModel
    prompt: ReasoningPrompt | None
    max_new_tokens: int
    sampling: Sampling
    chunk: int = 32

    def drafts(self, examples: Sequence[Example]) -> list[Draft]:
        """One draft per example; the time of a batch is shared evenly between its examples."""
        from lowres.evaluate import Item, answer

        started, own = time.perf_counter(), self.language_model
        contexts = [self.context(example) for example in examples]
        items = [Item(context, (), ()) for context in contexts]
        texts = answer(own.model, own, items, self.max_new_tokens, "write").texts
        samples = [self._sampled(*pair) for pair in zip(examples, contexts, strict=True)]
        seconds = (time.perf_counter() - started) / len(examples)
        return [
            Draft(self._parsed(text, example), len(context), self._length(text), seconds, paths)
            for text, example, context, paths in zip(texts, examples, contexts, samples, strict=True)
        ]

    def context(self, example: Example) -> tuple[int, ...]:
        """The model's prompt in tokens; an input that does not fit loses its beginning, never the worked examples.

        Raises:
            InputError: the context is so small that hardly anything of the input would be left.
        """
        own = self.language_model
        if self.prompt is None:
            return formats.prompt_ids(own, example.prompt)
        room, context = own.context - self.max_new_tokens, self._asked(self.prompt, example.prompt)
        if len(context) <= room:
            return context
        spare = room - len(self._asked(self.prompt, ""))
        if spare < LEAST_INPUT:
            raise InputError(
                f"model {own.name!r} has a context of {own.context} tokens: the worked examples of {self.prompt.place} "
                f"and {self.max_new_tokens} new tokens leave {max(0, spare)} for the input. Use fewer or shorter ones."
            )
        # Some tokens are spare for where the shortened text joins what stands around it.
        body = formats.shorten(own, example.prompt, spare - JOINTS + len(formats.prompt_ids(own, "")))
        return self._asked(self.prompt, body)

    def _asked(self, prompt: ReasoningPrompt, text: str) -> tuple[int, ...]:
        tokenizer = self.language_model.tokenizer
        if not tokenizer.chat_template:
            return formats.plain_ids(self.language_model, prompt.text(text))
        return turn_ids(tokenizer, tuple((turn["role"], turn["content"]) for turn in prompt.turns(text)))

    def _parsed(self, text: str, example: Example) -> Parsed:
        cut = self._length(text) >= self.max_new_tokens
        if self.prompt is None:
            answer = teaching.conclusion(text)
            return Parsed(text, answer, empty=not text, truncated=cut and not answer)
        return parse(text, example.choices, cut=cut)

    def _length(self, text: str) -> int:
        """Tokens of a text; a model that splits words in its own way may have written one or two more."""
        return len(self.language_model.tokenizer(text, add_special_tokens=False).input_ids)

    def _sampled(self, example: Example, context: Sequence[int]) -> tuple[str, ...]:
        if not self.sampling.paths:
            return ()
        texts = sample(self.language_model, context, self.max_new_tokens, self.sampling, self.sampling.seed_of(example))
        return tuple(self._parsed(text, example).answer for text in texts)


def sample(
    language_model: LanguageModel, context: Sequence[int], max_new_tokens: int, sampling: Sampling, seed: int
) -> list[str]:
    """Texts drawn from a model's own distribution at a temperature, the same ones for the same seed."""
    import torch

    own, model = language_model, language_model.model
    ids = torch.tensor([context], device=own.device)
    given: dict[str, Any] = {"max_new_tokens": max_new_tokens, "num_return_sequences": sampling.paths}
    given |= {"do_sample": True, "temperature": sampling.temperature, "top_k": 0, "top_p": 1.0}
    given |= {"eos_token_id": list(formats.end_tokens(own)), "pad_token_id": own.tokenizer.pad_token_id}
    with (
        torch.inference_mode(),
        torch.random.fork_rng([own.device] if own.device.type == "cuda" else []),
        inside.precision_context(own),
    ):
        torch.manual_seed(seed)
        made = model.generate(ids, attention_mask=torch.ones_like(ids), **given)
    start = 0 if model.config.is_encoder_decoder else len(context)
    return [str(own.tokenizer.decode(row[start:], skip_special_tokens=True)).strip() for row in made]


# --- models elsewhere ------------------------------------------------------------------------------------------------


@dataclass
class EndpointWriter:
    """Writes with a model behind an endpoint, one example at a time so that nothing paid for is lost."""

    endpoint: Endpoint
    prompt: ReasoningPrompt
    sampling: Sampling
    chunk: int = 1

    def drafts(self, examples: Sequence[Example]) -> list[Draft]:
        """One draft per example."""
        return [self._draft(example) for example in examples]

    def _draft(self, example: Example) -> Draft:
        started, turns = time.perf_counter(), self.prompt.turns(example.prompt)
        greedy = self.endpoint.complete(turns)
        seeds = [derived_seed(self.sampling.seed_of(example), str(path)) for path in range(self.sampling.paths)]
        paths = [self.endpoint.complete(turns, self.sampling.temperature, seed) for seed in seeds]
        return Draft(
            parse(greedy.text, example.choices, cut=greedy.cut),
            greedy.prompt_tokens,
            greedy.new_tokens,
            time.perf_counter() - started,
            tuple(parse(path.text, example.choices, cut=path.cut).answer for path in paths),
        )
