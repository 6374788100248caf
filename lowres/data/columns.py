"""From the columns of a user's rows to prompts, choices and answers: which column is what, and what is not used.

Where the meaning of a column is plain it is used: a passage stands before its question, options are choices, a chat of
one question and one answer is a prompt and a target. Whatever else is there is told, never dropped without a word.
"""

from __future__ import annotations

import difflib
import itertools
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Any

from lowres.data.reading import Rows, Written
from lowres.examples import Example, digest

_USUAL = """
prompt/target query/response instruction/output question/answer prompt/response prompt/completion input/output
instruction/response instruction/answer question/answers question/answerkey question/response question/label
question_stem/answerkey ctx/label goal/label context+question/label sentence/answer premise+hypothesis/label
sentence1+sentence2/label question1+question2/label prompt/answer query/answer problem/solution input/target
inputs/targets source/target article/highlights document/summary text/summary text/label sentence/label
"""
FIELD_PAIRS = [pair.split("/") for pair in _USUAL.split()]  # of prompt and target, the first that is there counts
JOINED = "+"  # between the names of columns that are used together
BESIDE = ("context", "passage", "document", "article", "background", "history")  # read before what is asked
ASKED_ABOUT = ("premise", "sentence", "paragraph", "story")  # likewise where it is a question
BARE = ("prompt", "instruction", "input", "inputs", "text")  # a column whose name says nothing about its text
CHOICES = ("choices", "options", "endings", "answer_choices", "candidates")
CHOICE_COLUMNS = ("", "option", "option_", "choice", "choice_", "answer", "answer_", "ending", "sol", "opt")
CHATS = ("messages", "conversations", "conversation", "chosen", "chat", "dialog", "dialogue", "turns")
ANSWERS = ("completion", "response", "target", "output", "chosen")  # of a prompt that is a list of turns
ROLES = {
    **dict.fromkeys(("user", "human", "prompter", "instruction"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "output"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}
KEPT = ("id", "group")
ONE_SPACE = re.compile(r" (?! )")


@dataclass(frozen=True)
class Columns:
    """Names of the columns: of the prompt and the target, of the choices, and of texts around the prompt."""

    prompt: str
    target: str
    choices: str = ""
    system: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def used(self) -> set[str]:
        """All of them by name."""
        joined = (self.prompt, self.target, self.choices)
        return {part for name in joined for part in name.split(JOINED)} | {self.system, *self.before, *self.after}


@dataclass
class Draft:
    """A row on its way to an example: `answers` as given, `labels` of the choices where the data name them."""

    where: str
    row: Mapping[str, Any]
    prompt: str
    answers: tuple[str, ...]
    choices: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def meant(self) -> dict[str, str]:
        """The choice that the answer points at, by the way in which it would do so."""
        said, found = self.answers[0], {}
        if said in self.choices:
            found["text"] = said
        letter = said.strip("(). :").upper()
        labels = [label.strip("(). :").upper() for label in self.labels or ascii_uppercase[: len(self.choices)]]
        if letter in labels:
            found["letter"] = self.choices[labels.index(letter)]
        if said.isdecimal():
            for base, way in enumerate(("position, counted from 0", "position, counted from 1")):
                if 0 <= int(said) - base < len(self.choices):
                    found[way] = self.choices[int(said) - base]
        return found


@dataclass
class Reading:
    """Examples by split, and what there is to tell about how they were read."""

    columns: Columns
    examples: dict[str, list[Example]]
    told: list[str] = field(default_factory=list)


# --- which column is what --------------------------------------------------------------------------------------------


def find(rows: Mapping[str, Rows], asked: Any, problems: list[str]) -> Columns | None:
    """The columns of rows: those that the options name, else the first known pair that some row has."""
    everything = [row for part in rows.values() for _, row in part]
    there = {name.strip().casefold(): name for row in everything for name in row}  # whatever the case of a header
    pairs = [(asked.prompt_field or prompt, asked.target_field or target) for prompt, target in FIELD_PAIRS]
    known = [(_as_written(one, there, everything), _as_written(other, there, everything)) for one, other in pairs]
    found = next((pair for pair in known if any(_has(row, *pair) for row in everything)), None)
    named = ", ".join(map(repr, there.values()))
    if asked.choices_field and not any(_has(row, asked.choices_field) for row in everything):
        problems.append(f"choices_field is {asked.choices_field!r}, but the rows have {named}")
    if found is None:
        if everything:
            missing = " and ".join(map(repr, pairs[0]))
            usual = ", ".join("/".join(pair) for pair in FIELD_PAIRS[:8])
            first = ", ".join(map(repr, everything[0]))
            inside = next((name for name, value in everything[0].items() if isinstance(value, Mapping)), "")
            problems.append(
                f"no row has the fields {missing}; the first row has {first}: name them with prompt_field and "
                f"target_field, or use a usual pair such as {usual}"
                + (f"; what is inside of {inside!r} has to be made fields of the row" if inside else "")
            )
        return None
    choices = _choices_column(asked, there, everything)
    return _with_context(Columns(*found, choices), asked, there, everything)


def _as_written(name: str, there: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    """A name as the rows spell it; as it is where they have it, or nothing like it."""
    if any(_has(row, name) for row in rows):
        return name
    return JOINED.join(there.get(part.casefold(), part) for part in name.split(JOINED))


def _has(row: Mapping[str, Any], *names: str) -> bool:
    return all(part in row for name in names for part in name.split(JOINED))


def _choices_column(asked: Any, there: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    if asked.choices_field:
        return str(asked.choices_field)
    offered = [there[name] for name in CHOICES if name in there] + _numbered(there)
    free = asked.metric not in (None, "accuracy")  # a metric for written answers: only what is called so is refused
    return next((name for name in offered if name == "choices" or (not free and _are_choices(name, rows))), "")


def _numbered(there: Mapping[str, str]) -> list[str]:
    """Choices that have a column each: A to D, option1 and option2, answerA to answerC, sol1 and sol2."""
    found = []
    for before, first in itertools.product(CHOICE_COLUMNS, "a10"):
        names = [f"{before}{chr(ord(first) + step)}" for step in range(8)]
        listed = list(itertools.takewhile(lambda name: name in there, names))
        found += [JOINED.join(there[name] for name in listed)] if len(listed) > 1 else []
    return found


def _are_choices(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    if JOINED in name:
        return all(isinstance(row.get(part), str | int | float) for row in rows for part in name.split(JOINED))
    filled = [row[name] for row in rows if row.get(name) not in (None, "", [], {})]
    return bool(filled) and all(len(_choices(value)[0]) > 1 for value in filled)


def _with_context(columns: Columns, asked: Any, there: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Columns:
    """The columns, with those whose text belongs to the prompt; what a user names is taken as it is."""
    free = {key: name for key, name in there.items() if name not in columns.used()}
    texts = {key: name for key, name in free.items() if _is_text(name, rows)}
    instructed = columns.prompt == "instruction"
    after = [texts[key] for key in ("input", "context") if instructed and key in texts]
    if asked.prompt_field:
        return Columns(
            columns.prompt, columns.target, columns.choices, after=tuple(after[:1]) if "input" in texts else ()
        )
    about = (*BESIDE, *ASKED_ABOUT) if columns.prompt.casefold() == "question" else BESIDE
    before = tuple(texts[key] for key in about if key in texts and texts[key] not in after)
    system = next((texts[key] for key in ("system", "system_prompt") if key in texts), "")
    return Columns(columns.prompt, columns.target, columns.choices, system, before, tuple(after))


def _is_text(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a column holds text and nothing else, and any at all."""
    values = [row[name] for row in rows if row.get(name) not in (None, "", [], {})]
    return bool(values) and all(isinstance(value, str) for value in values)


def unused(columns: Columns, rows: Mapping[str, Rows]) -> list[str]:
    """A line on the columns that hold something and are not used, each with the number of its rows."""
    used = {*columns.used(), *KEPT}
    filled = Counter(
        name
        for part in rows.values()
        for _, row in part
        for name, value in row.items()
        if name not in used and value not in (None, "", [], {})
    )
    listed = []
    for name, count in filled.items():
        meant = difflib.get_close_matches(name.casefold(), (*CHOICES, *BESIDE, "system"), 1, cutoff=0.8)
        listed.append(
            f"{name!r} ({count:,} rows{f'; did you mean {meant[0]!r}?' if meant != [name] and meant else ''})"
        )
    return [f"columns not used: {', '.join(listed)}; prompt_field=one+another uses several"] if listed else []


# --- chats -----------------------------------------------------------------------------------------------------------


def without_chats(rows: Rows, problems: list[str]) -> Rows:
    """Rows in which a chat of one question and one answer is the fields prompt and target."""
    return [(where, plain) for where, row in rows if (plain := _without_chat(where, row, problems)) is not None]


def _without_chat(where: str, row: Mapping[str, Any], problems: list[str]) -> Mapping[str, Any] | None:
    chats = {name: value for name, value in row.items() if _is_chat(value)}
    if not chats:
        return row
    name = next((each for each in CHATS if each in chats), next(iter(chats)))
    used = [name]
    answer = next((each for each in ANSWERS if each in chats), "")
    if "prompt" in chats and answer and name in ("prompt", answer):
        used = ["prompt", answer]
        if chats["prompt"] == chats[answer][: len(chats["prompt"])]:
            used = [answer]  # the answer repeats what was asked
    try:
        found = _one_turn([turn for each in used for turn in chats[each]])
    except ValueError as error:
        problems.append(f"{where}: field {used[0]!r} {error}")
        return None
    rest = {each: value for each, value in row.items() if each not in {*used, "prompt", "target"}}
    return {**found, **rest} if "system" in found else {**rest, **found}


def _is_chat(value: Any) -> bool:
    """Whether a value is a list of turns, each with who speaks and what."""
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(turn, Mapping) and {"role", "from"} & turn.keys() for turn in value)
    )


def _one_turn(turns: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Prompt, target and, where there is one, the system's text of a chat.

    Raises:
        ValueError: it has more than one answer or none, or something else than text.
    """
    said: dict[str, list[str]] = {"system": [], "user": [], "assistant": []}
    order = []
    for turn in turns:
        role = str(turn.get("role", turn.get("from"))).strip().lower()
        if role not in ROLES or turn.get("tool_calls"):
            raise ValueError(
                f"has a turn of {role!r}{' that calls a tool' * bool(turn.get('tool_calls'))}: only text "
                "of a system, a user and an assistant can be trained on"
            )
        said[ROLES[role]].append(_said(turn))
        order.append(ROLES[role])
    answers = len(said["assistant"])
    if answers > 1:
        raise ValueError(
            f"holds a chat of {answers} answers, but a row is one question and one answer: write one row per answer, "
            "with what was said before it in the prompt"
        )
    if not answers or order[-1] != "assistant" or len(said["user"]) != 1:
        raise ValueError(f"must be one turn of a user and then one of an assistant, not {', '.join(order)}")
    whole = {"prompt": said["user"][0], "target": said["assistant"][0]}
    return whole | ({"system": "\n".join(said["system"])} if any(said["system"]) else {})


def _said(turn: Mapping[str, Any]) -> str:
    content = next((turn[name] for name in ("content", "value", "text") if name in turn), None)
    parts = content if isinstance(content, list | tuple) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    kept = [text for text in texts if isinstance(text, str)]
    if len(kept) < len(texts):
        raise ValueError("has a turn without text (an image, a tool's call, or nothing)")
    return "\n".join(kept)


# --- rows to examples ------------------------------------------------------------------------------------------------


def read(rows: Mapping[str, Rows], columns: Columns, problems: list[str]) -> Reading:
    """All examples; what is wrong with a row is added to `problems`."""
    drafts = {
        split: [draft for where, row in part if (draft := _draft(where, row, columns, problems)) is not None]
        for split, part in rows.items()
    }
    every = [draft for part in drafts.values() for draft in part]
    way = _way([draft for draft in every if draft.choices], columns, problems)
    found: dict[str, list[Example]] = {split: [] for split in drafts}
    for split, part in drafts.items():
        for draft in part:
            example = _example(draft, way, columns, problems)
            found[split] += [example] if example else []
    reading = Reading(columns, found, [_in_words(columns, way), *unused(columns, rows)])
    hidden = sum(any(_is_hidden(letter) for letter in draft.prompt + draft.answers[0]) for draft in every)
    if hidden:
        reading.told.append(f"{hidden:,} rows hold characters that cannot be seen (zero-width spaces and the like)")
    return reading


def _in_words(columns: Columns, way: str) -> str:
    beside = [name for name in (columns.system, *columns.before, *columns.after) if name]
    with_context = f" with {', '.join(map(repr, beside))}" if beside else ""
    meant = f" (an answer is the {way}, of its choice)" if way not in ("", "text") else ""
    choices = f", choices from {columns.choices!r}{meant}" if way else ""
    return f"prompts from {columns.prompt!r}{with_context}, answers from {columns.target!r}{choices}"


def _way(drafts: Sequence[Draft], columns: Columns, problems: list[str]) -> str:
    """How answers point at their choice: in the way that all of them allow, or most; empty without choices."""
    if not drafts:
        return ""
    counts = Counter(way for draft in drafts for way in draft.meant())
    zero, one = "position, counted from 0", "position, counted from 1"
    way = max(("text", "letter", zero, one), key=lambda each: counts[each])
    if way == zero and counts[zero] == counts[one] == len(drafts):
        problems.append(
            f"field {columns.target!r} may count the choices from 0 or from 1, for no row has the first or the last: "
            "write the text of the right choice in its place"
        )
    return way


def _draft(where: str, row: Mapping[str, Any], columns: Columns, problems: list[str]) -> Draft | None:
    """One row taken apart, or None after adding to `problems` what is wrong with it."""
    before = len(problems)
    prompt = _prompt(where, row, columns, problems)
    answers = _texts(where, row, columns.target, problems)
    choices, labels = _offered(row, columns.choices)
    if columns.choices and not choices and row.get(columns.choices) not in (None, "", [], {}):
        problems.append(f"{where}: field {columns.choices!r} is no list of choices")
    repeated = [choice for choice, count in Counter(choices).items() if count > 1]
    if choices and (repeated or len(choices) < 2):
        twice = f"; {repeated[0]!r} is there twice" if repeated else ""
        problems.append(f"{where}: field {columns.choices!r} must list at least two different choices{twice}")
    if isinstance(row.get("history"), list | tuple) and row["history"]:
        problems.append(f"{where}: field 'history' holds earlier turns: write what was said into the prompt")
    return None if len(problems) > before else Draft(where, row, prompt, answers, choices, labels)


def _example(draft: Draft, way: str, columns: Columns, problems: list[str]) -> Example | None:
    answers, row = draft.answers, draft.row
    if draft.choices:
        meant = draft.meant().get(way)
        if meant is None:
            shown = ", ".join(map(repr, draft.choices[:5]))
            told = f"field {columns.target!r} is {answers[0]!r}, which is not among the choices {shown}"
            problems.append(f"{draft.where}: {told}")
            return None
        answers = (meant, *(answer for answer in answers[1:] if way == "text"))
    given, group = row.get("id"), row.get("group")
    identifier = digest(f"{draft.prompt}\n{answers[0]}", 12) if given in (None, "") else str(given)
    return Example(
        identifier, draft.prompt, answers[0], draft.choices, answers, group="" if group is None else str(group)
    )


def _prompt(where: str, row: Mapping[str, Any], columns: Columns, problems: list[str]) -> str:
    """What is asked, behind what belongs to it; of several texts, each on lines of its own, behind its name."""
    asked = {part: "\n".join(_texts(where, row, part, problems)) for part in columns.prompt.split(JOINED)}
    beside = {part: shown(row[part]) for part in columns.before if row.get(part) is not None and shown(row[part])}
    parts = {**beside, **asked}
    named = len(asked) > 1 or columns.before
    lines = [
        text
        if not named or (part in asked and len(asked) == 1 and part.casefold() in BARE)
        else f"{part.capitalize()}: {text}"
        for part, text in parts.items()
    ]
    lines += [shown(row[part]) for part in columns.after if row.get(part) is not None and shown(row[part])]
    system = shown(row.get(columns.system) or "") if columns.system else ""
    return "\n".join([*([f"{system}\n"] if system else []), *lines])


def _texts(where: str, row: Mapping[str, Any], name: str, problems: list[str]) -> tuple[str, ...]:
    """The text of a field, or the texts that it lists; numbers become text."""
    value = row.get(name)
    if value is None:
        what = "is null" if name in row else "is missing"
        problems.append(f"{where}: field {name!r} {what}; the row has {', '.join(map(repr, row)) or 'no field'}")
        return ()
    if isinstance(value, Mapping) and "text" in value:  # the answers of SQuAD
        value = value["text"]
    values = list(value) if isinstance(value, list | tuple) else [value]
    wrong = [each for each in values if not isinstance(each, str | int | float)]
    if wrong:
        problems.append(f"{where}: field {name!r} must be text, not {type(row[name]).__name__}{_advice(wrong[0])}")
        return ()
    if any(isinstance(each, float) and not math.isfinite(each) for each in values):
        problems.append(f"{where}: field {name!r} is not a number (NaN or infinite)")
        return ()
    texts = tuple(map(shown, values))
    if not texts or not all(any(not _is_hidden(letter) for letter in text) for text in texts):
        unseen = " (it holds characters that cannot be seen)" * any(texts)
        problems.append(f"{where}: field {name!r} is empty{unseen}")
        return ()
    return texts


def _advice(value: Any) -> str:
    return ": write an object as text" if isinstance(value, Mapping) else ""


def shown(value: Any) -> str:
    """A value as text: as written, but without the white space around it; an indentation stays.

    One space before a text is what joins it to its prompt, and no indentation.
    """
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = re.sub(r"^(?:[^\S\n]*\n)+", "", text.replace("\r\n", "\n")).rstrip()
    return text[1:] if ONE_SPACE.match(text) else text


def _is_hidden(letter: str) -> bool:
    """Whether a character shows nothing (joiners of emoji and scripts aside)."""
    return unicodedata.category(letter) in ("Cf", "Cc") and letter not in "\n\t\r\u200c\u200d"


def _offered(row: Mapping[str, Any], columns: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choices and their labels of one column, or of several that hold one each."""
    if JOINED in columns:
        return tuple(shown(row[name]) for name in columns.split(JOINED) if row.get(name) is not None), ()
    return _choices(row.get(columns)) if columns else ((), ())


def _choices(value: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choices and, where they have them, their labels: a list, texts by label, or texts beside labels."""
    if isinstance(value, str) and not isinstance(value, Written):
        try:
            value = json.loads(value) if value.lstrip().startswith(("[", "{")) else value.split("|")
        except ValueError:
            return (), ()
    if (
        isinstance(value, list | tuple)
        and value
        and all(isinstance(each, Mapping) and "text" in each for each in value)
    ):
        value = {"text": [each["text"] for each in value], "label": [each.get("label", "") for each in value]}
    if isinstance(value, Mapping):
        texts, labels = (value.get(name) for name in ("text", "label"))
        if not isinstance(texts, list | tuple):
            texts, labels = list(value.values()), list(value)
        named = labels if isinstance(labels, list | tuple) and len(labels) == len(texts) and all(labels) else []
        return tuple(map(shown, texts)), tuple(map(str, named))
    values = value if isinstance(value, list | tuple) else []
    return tuple(shown(each) for each in values if isinstance(each, str | int | float)), ()
