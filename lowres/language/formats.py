"""A model's format: how a prompt, an answer and its end are put into tokens, and how many of them fit the context."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lowres.params import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lowres.language import LanguageModel

CHAT_FORMATS = ("auto", "on", "off")
DATE = "26 Jul 2024"  # some chat formats print the day: a result must not depend on when it was made
SAME_MOMENT = (  # put before a format that asks for the time
    "{%- macro strftime_now(format) -%}{{ format"
    + "".join(
        f"|replace('%{letter}', '{datetime.datetime(2024, 7, 26).strftime('%' + letter)}')"
        for letter in "aAbBdHIjmMpSyY"
    )
    + " }}{%- endmacro -%}"
)
QUESTION = "What is asked, in a line that is longer than the others,\nand one below it? 7401"  # to try a format on
ANSWER = "what is answered 7402"
THOUGHT = "<think"  # opens what a model writes for itself


def spoken(name: str, tokenizer: PreTrainedTokenizerBase, chat_format: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, its chat format taken away where plain text is asked for ("off").

    Raises:
        InputError: a chat format is asked for ("on") and the model has none; an unknown choice.
    """
    if chat_format not in CHAT_FORMATS:
        raise InputError(f"unknown chat_format {chat_format!r}; allowed: {', '.join(CHAT_FORMATS)}")
    if chat_format == "on" and not tokenizer.chat_template:
        raise InputError(
            f"model {name!r} has no chat format, which chat_format=on asks for; allowed: auto and off (plain text)"
        )
    if chat_format == "off":
        tokenizer.chat_template = None
    return tokenizer


@dataclass(frozen=True)
class Encoded:
    """Token ids of a prompt followed by its target; the loss is taken on ids[prompt_length:]."""

    ids: tuple[int, ...]
    prompt_length: int

    @property
    def target(self) -> tuple[int, ...]:
        """The ids that carry the loss."""
        return self.ids[self.prompt_length :]


def encode(language_model: LanguageModel, prompt: str, target: str) -> Encoded:
    """Prompt in the model's chat format (plain text where it has none), target, end of turn."""
    tokenizer = language_model.tokenizer
    prefix = prompt_ids(language_model, prompt)
    space = "" if tokenizer.chat_template else " "
    answer = token_ids(tokenizer, space + target)
    return Encoded((*prefix, *answer, turn_end(tokenizer)), len(prefix))


@functools.lru_cache(maxsize=8)
def turn_end(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends an answer: what the chat format puts behind one, or the end-of-text token.

    The two differ in some chat models, which would otherwise be taught to end in a way that they never do.

    Raises:
        InputError: there is neither.
    """
    behind = chat_format(tokenizer).behind if tokenizer.chat_template else ""
    for token in tokenizer(behind, add_special_tokens=False).input_ids if behind else ():
        if token in tokenizer.all_special_ids or token in tokenizer.added_tokens_decoder:
            return int(token)
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"the tokenizer {tokenizer.name_or_path} has no end token: set eos_token in its tokenizer_config.json"
        )
    return int(tokenizer.eos_token_id)


@dataclass(frozen=True)
class Chat:
    """What a chat format does with a turn of a user and an answer.

    An answer begins where the format would put one: behind what it asks a model to go on from (the generation prompt),
    less `taken` from its end and with `added`. So an answer neither stands inside an open thought nor before the empty
    one, or the channel, that belongs before it. `behind` follows an answer; `parts`: texts are lists of parts.
    `fault` says what is wrong with the format, in words; empty if it can be used.
    """

    taken: str = ""
    added: str = ""
    behind: str = ""
    parts: bool = False
    fault: str = ""


@functools.lru_cache(maxsize=8)
def chat_format(tokenizer: PreTrainedTokenizerBase) -> Chat:
    """The chat format of a tokenizer that has a template, tried on a question and an answer."""
    found = [_tried(tokenizer, parts) for parts in (False, True)]
    return next((chat for chat in found if not chat.fault), found[0])


def _tried(tokenizer: PreTrainedTokenizerBase, parts: bool) -> Chat:
    try:
        asked = _rendered(tokenizer, [("user", QUESTION)], parts, add_generation_prompt=True)
        whole = _rendered(tokenizer, [("user", QUESTION), ("assistant", ANSWER)], parts)
    except Exception as error:  # a template is a program, which may fail in any way
        return Chat(fault=f"it fails ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})")
    if QUESTION not in asked:
        return Chat(fault="it does not show the whole text of a user")
    before, answer, behind = whole.rpartition(ANSWER)
    if not answer:
        return Chat(parts=parts)  # what it does with answers is not to be seen: the end token ends them
    if before.startswith(asked):
        return Chat(added=before.removeprefix(asked), behind=behind, parts=parts)
    opened = asked.removeprefix(before) if asked.startswith(before) else ""
    return Chat(taken=opened if THOUGHT in opened else "", behind=behind, parts=parts)


def _rendered(
    tokenizer: PreTrainedTokenizerBase, said: Sequence[tuple[str, str]], parts: bool = False, **how: bool
) -> str:
    """Turns in the chat format: the same on every day, and without thinking where that can be switched off."""
    turns = [{"role": role, "content": [{"type": "text", "text": text}] if parts else text} for role, text in said]
    template = str(tokenizer.chat_template)
    if "strftime_now" in template:
        template = SAME_MOMENT + template
    fixed = {"date_string": DATE, "enable_thinking": False}
    return str(tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False, **fixed, **how))


def end_tokens(language_model: LanguageModel) -> tuple[int, ...]:
    """All tokens at which generation stops."""
    named = language_model.model.generation_config.eos_token_id
    listed = named if isinstance(named, list) else [named]
    own = (turn_end(language_model.tokenizer), language_model.tokenizer.eos_token_id)
    return tuple(dict.fromkeys(int(token) for token in (*own, *listed) if token is not None))


def prompt_ids(language_model: LanguageModel, prompt: str) -> tuple[int, ...]:
    """Token ids of a prompt up to where the answer begins."""
    tokenizer = language_model.tokenizer
    if not tokenizer.chat_template:
        return plain_ids(language_model, prompt)
    return turn_ids(tokenizer, (("user", prompt),))


@functools.lru_cache(maxsize=2**15)  # trials of a study ask for the same texts again and again
def token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """Token ids of a text, and nothing around them; the name of a control token in it is text like any other."""
    kept = {"split_special_tokens": True} if names_control_token(tokenizer, text) else {}
    return tuple(tokenizer(text, add_special_tokens=False, **kept).input_ids)


@functools.lru_cache(maxsize=2**18)  # of the whole general pool, whose ids would take much more room
def token_count(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    """How many token ids a text has."""
    return len(token_ids(tokenizer, text))


def names_control_token(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Whether the name of a control token stands in a text."""
    return _control_tokens(tokenizer).search(text) is not None


@functools.lru_cache(maxsize=8)
def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    names = sorted({*added, *tokenizer.all_special_tokens} - {""}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names)) or r"(?!)")


@functools.lru_cache(maxsize=2**15)
def turn_ids(tokenizer: PreTrainedTokenizerBase, said: tuple[tuple[str, str], ...]) -> tuple[int, ...]:
    """Token ids of turns (who speaks, and what) up to where the answer begins.

    Raises:
        InputError: the chat format does not show what is said.
    """
    chat = chat_format(tokenizer)
    if chat.fault:
        raise InputError(f"the chat format of {tokenizer.name_or_path} cannot be used: {chat.fault}")
    text = _rendered(tokenizer, said, chat.parts, add_generation_prompt=True).removesuffix(chat.taken) + chat.added
    if not any(names_control_token(tokenizer, each) for _, each in said):
        return tuple(tokenizer(text, add_special_tokens=False).input_ids)
    found: list[int] = []
    for _, each in said:
        before, own, text = text.partition(each.strip())
        found += [*tokenizer(before, add_special_tokens=False).input_ids, *token_ids(tokenizer, own)]
    return (*found, *tokenizer(text, add_special_tokens=False).input_ids)


def plain_ids(language_model: LanguageModel, text: str) -> tuple[int, ...]:
    """Token ids of plain text as the model was pretrained to read it.

    A decoder gets the start token where the tokenizer itself would put one, and never an end token: the text goes on.
    An encoder reads a whole text, so it gets all that the tokenizer puts around one: an end token in most (T5, BART,
    Marian), a language in some (mBART), nothing in the world's.
    """
    tokenizer = language_model.tokenizer
    ids = token_ids(tokenizer, text)
    if is_encoder_decoder(language_model):
        before, behind = frame(tokenizer)
        return (*before, *ids, *behind)
    start = tokenizer.bos_token_id
    return (start, *ids) if start is not None and frame(tokenizer)[0][:1] == (start,) else ids


@functools.lru_cache(maxsize=8)
def frame(tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer puts before and behind a text: start and end tokens, a language."""
    whole, bare = tuple(tokenizer("a").input_ids), tuple(tokenizer("a", add_special_tokens=False).input_ids)
    if not bare:  # a vocabulary without this word: what is there at all stands before it if it begins a text
        return (whole, ()) if whole[:1] == (tokenizer.bos_token_id,) else ((), whole)
    first = next((at for at in range(len(whole)) if whole[at : at + len(bare)] == bare), 0)
    return whole[:first], whole[first + len(bare) :]


def is_encoder_decoder(language_model: LanguageModel) -> bool:
    """Whether prompts are read by an encoder and continued by a decoder."""
    return bool(getattr(language_model.model.config, "is_encoder_decoder", False))


def decoder_start(language_model: LanguageModel) -> tuple[int, ...]:
    """What a decoder behind an encoder is given to begin with: its start token, and a first token that is forced.

    `generate()` forces the latter (`forced_bos_token_id`: the target language of mBART, the start token of BART's
    summarisers), so it is no choice of the model's: training and scoring take it as given too.
    """
    named = (getattr(language_model.model, "generation_config", None), language_model.model.config)
    start = _first_set(named, "decoder_start_token_id")
    if start is None:
        start = _first_set((*named, language_model.tokenizer), "bos_token_id")
    assert start is not None, language_model.name  # looked at when the model was loaded
    forced = _first_set(named[:1], "forced_bos_token_id")  # where the library takes it to, whatever file it stands in
    return (start,) if forced is None else (start, forced)


def _first_set(places: Sequence[Any], name: str) -> int | None:
    found = (getattr(place, name, None) for place in places)
    return next((int(value[0] if isinstance(value, list) else value) for value in found if value is not None), None)


def prompt_room(language_model: LanguageModel, answer: int) -> int:
    """Tokens that a prompt may have so that an answer of `answer` tokens fits the context.

    An encoder's input and a decoder's answer have a context each.
    """
    return language_model.context - (0 if is_encoder_decoder(language_model) else answer)


def fits(language_model: LanguageModel, prompt: int, target: int) -> bool:
    """Whether a prompt and a target of that many tokens fit the context."""
    return target <= language_model.context and prompt <= prompt_room(language_model, target)


def shorten(language_model: LanguageModel, prompt: str, room: int) -> str:
    """Cut a prompt from its start so that, in the model's format, it has at most `room` tokens."""
    surplus = len(prompt_ids(language_model, prompt)) - room
    tokenizer = language_model.tokenizer
    while surplus > 0:
        ids = tokenizer(prompt, add_special_tokens=False).input_ids
        # A cut inside a character leaves replacement characters, which may be more tokens than were cut.
        prompt = str(tokenizer.decode(ids[surplus:])).lstrip("\ufffd") if surplus < len(ids) else ""
        surplus = len(prompt_ids(language_model, prompt)) - room if prompt else 0
    return prompt
