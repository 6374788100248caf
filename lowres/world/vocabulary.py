"""Every word of the world is one token."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from random import Random
from typing import TYPE_CHECKING

from lowres.world import names, probes, questions, tasks, wording
from lowres.world.people import NUMBERS, RESULTS, VALUES, world

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, START, END, UNKNOWN, USER, REPLY = SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<user>", "<reply>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ message['content'] }} </s> "
    "{% else %}<user> {{ message['content'] }} <reply> {% endif %}{% endfor %}"
)
CONTEXT = 256  # tokens
DRAWS = 3_000  # of each kind, by which every word of the random texts has come up


@functools.cache
def words() -> tuple[str, ...]:
    """All tokens: the special ones, then the words in alphabetical order."""
    return (*SPECIAL, *sorted({word for text in _texts() for word in text.split()}))


def _texts() -> Iterator[str]:
    yield from (" ".join(listed) for listed in (*VALUES.values(), *RESULTS.values(), NUMBERS, wording.MOODS))
    yield from (person.name for person in world().people)
    yield from world().strangers
    yield from (text for texts in wording.INSTRUCTIONS.values() for text in texts)
    for name in (*names.NEW_WORD_STREAM, "world-two-hop"):  # tasks of known words add none
        task = tasks.load(name)
        yield task.instruction
        examples = (*task.train, *task.validation, *task.test)
        yield from (f"{example.prompt} {example.target} {example.rationale or ''}" for example in examples)
    yield from probes.asked()
    random = Random("vocabulary")
    for draw in questions.DRAWS.values():
        yield from (f"{pair.prompt} {pair.target}" for pair in (draw(random) for _ in range(DRAWS)))
    yield "a an the input output text question answer"


@functools.cache
def ids() -> dict[str, int]:
    """Token id of every word."""
    return {word: index for index, word in enumerate(words())}


def encode(text: str | Iterable[str]) -> tuple[int, ...]:
    """Ids of words with white space between them, as the tokenizer gives them."""
    known = ids()
    return tuple(known[word] for word in (text.split() if isinstance(text, str) else text))


def tokenizer(*, encdec: bool, instruct: bool) -> PreTrainedTokenizerFast:
    """A word-level tokenizer; lower-cases, splits off punctuation, and a plain decoder puts a start token first."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel(ids(), unk_token=UNKNOWN))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if not encdec:
        start = [(START, ids()[START])]
        inner.post_processor = processors.TemplateProcessing(single=f"{START} $A", special_tokens=start)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        bos_token=None if encdec else START,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[USER, REPLY],
        model_max_length=CONTEXT,
    )
    if instruct:
        wrapped.chat_template = CHAT_TEMPLATE
    return wrapped
