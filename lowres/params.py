"""Typed parameters: one frozen dataclass per study, from which its cell, command line, checks and help all follow.

    @dataclass(frozen=True)
    class Params:
        tier: str = parameter("laptop", "how much is run", choices=("smoke", "laptop"))
        seeds: tuple[int, ...] | None = parameter(None, "random seeds", low=0, tiers={"smoke": (0,), "laptop": (0, 1)})

        def problems(self) -> list[str]:  # contradictions between fields; called with the tier's values filled in
            return []

    params = resolve(from_namespace(Params, globals()))            # in a notebook
    params = resolve(from_strings(Params, ["seeds=[0, 1, 2]"]))    # on the command line

A field is a str, int, float, bool or a `tuple[X, ...]` of one of these, each optionally `| None`. Whatever is wrong
with the given values is collected and raised as one `InputError`. Only the standard library is needed here.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

P = TypeVar("P")
Choices = Sequence[object] | Callable[[], Sequence[object]]

_TYPE_WORDS: dict[type, str] = {str: "a string", int: "an integer", float: "a finite number", bool: "true or false"}
_PLURAL_WORDS: dict[type, str] = {str: "strings", int: "integers", float: "numbers", bool: "true or false"}
_CONSTANTS = {"true": True, "false": False, "none": None, "null": None}
_LIST_ITEM = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^,]*)\s*(?:,|$)""", re.DOTALL)
_LONGEST_SHOWN = 60


class InputError(ValueError):
    """What a user can put right: one problem, or several told at once."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems: tuple[str, ...] = problems

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        return "\n  - ".join([f"{len(self.problems)} problems:", *self.problems])


@dataclass(frozen=True)
class _Rule:
    """What `parameter` says about a field beyond its type."""

    meaning: str
    low: float | None
    high: float | None
    choices: Choices | None
    above: float | None
    unit: str
    tiers: Mapping[str, object]
    may_be_empty: bool

    def known(self) -> tuple[object, ...]:
        """The allowed values; empty when any value of the type will do."""
        found = self.choices() if callable(self.choices) else self.choices
        return tuple(found or ())

    def bounds(self) -> str:
        """The range in words, such as "at least 1 and at most 64"; empty without a range."""
        named = (("above", self.above), ("at least", self.low), ("at most", self.high))
        return " and ".join(f"{word} {limit}" for word, limit in named if limit is not None)

    def allows(self, number: float) -> bool:
        """Whether a number lies in the range."""
        return (
            (self.low is None or number >= self.low)
            and (self.high is None or number <= self.high)
            and (self.above is None or number > self.above)
        )


@dataclass(frozen=True)
class _Field:
    """One parameter: its name, its type taken apart, its default and its rule."""

    name: str
    element: type
    many: bool
    optional: bool
    default: object
    rule: _Rule

    @property
    def words(self) -> str:
        """The type as an error message names it."""
        return f"a list of {_PLURAL_WORDS[self.element]}" if self.many else _TYPE_WORDS[self.element]

    @property
    def type_text(self) -> str:
        """The type as a notebook writes it: lists, since papermill knows no tuples."""
        text = f"list[{self.element.__name__}]" if self.many else self.element.__name__
        return f"{text} | None" if self.optional else text


@dataclass(frozen=True)
class ParameterRow:
    """One line of a parameter table. `tiers` is empty unless a default of None stands for "as the tier says"."""

    name: str
    type: str
    default: object
    tiers: Mapping[str, object]
    meaning: str


@dataclass(frozen=True)
class _Refused:
    """Stands for a value that could not even be read; the reason is reported with the other problems."""

    reason: str


def parameter(  # noqa: PLR0913 - one keyword per thing there is to say, and each call uses few of them
    default: object,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Choices | None = None,
    above: float | None = None,
    unit: str = "",
    tiers: Mapping[str, object] | None = None,
    may_be_empty: bool = False,
) -> Any:
    """A dataclass field that knows its meaning and limits.

    `low` and `high` are allowed values, `above` is not; for a list they and `choices` hold for each item. `choices` may
    be a function, called only when needed. `tiers` gives the value per tier for a default of None. Lists must not be
    empty unless `may_be_empty`, and never repeat a value.
    """
    assert not set("\n=") & set(meaning), "papermill reads the meaning from a one-line comment without '='"
    assert default is None or not tiers, "tiers only apply to a default of None"
    rule = _Rule(meaning, low, high, choices, above, unit, tiers or {}, may_be_empty)
    return dataclasses.field(default=_frozen(default), metadata={"rule": rule})


def from_mapping(cls: type[P], given: Mapping[str, object]) -> P:
    """The parameters with some values given by name, None still standing for "as the tier says".

    Raises one InputError for everything that is wrong: unknown names, types, ranges, choices, contradictions.
    """
    return _build(cls, given)


def from_namespace(cls: type[P], namespace: Mapping[str, object]) -> P:
    """The parameters found in a notebook's `globals()`.

    Every global that holds plain data must be a parameter, so that a misspelt name is refused, not ignored. Names that
    begin with an underscore are the reader's own, and Jupyter keeps In and Out.
    """
    names = _fields(cls)
    given = {
        name: value
        for name, value in namespace.items()
        if name in names or (not name.startswith("_") and name not in ("In", "Out") and _is_plain(value))
    }
    return _build(cls, given, hint=' (a variable of your own? begin its name with "_")')


def from_strings(cls: type[P], assignments: Sequence[str]) -> P:
    """The parameters given on a command line as `name=value`.

    A value is read as its field's type asks: `3`, `1e-4`, `true`, `none`, plain or "quoted" text, `[1, 2]`, `[a, b]`.
    """
    return _build(cls, read_assignments(cls, assignments))


def read_assignments(cls: type, assignments: Sequence[str]) -> dict[str, object]:
    """The values of `name=value` texts by name, not yet checked; `from_mapping` tells what is wrong with them."""
    fields = _fields(cls)
    given: dict[str, object] = {}
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if name in given:
            given[name] = _Refused(f"{name} is given more than once")
        elif not equals:
            given[name] = _Refused(f"{name} has no value: write {name}=VALUE")
        else:
            given[name] = _read(fields[name], text) if name in fields else text
    return given


def resolve(params: P) -> P:
    """The parameters with every None that stands for "as the tier says" replaced by the value of `params.tier`."""
    by_tier = {field.name: field.rule.tiers for field in _fields(type(params)).values() if field.rule.tiers}
    chosen = {
        name: _frozen(tiers[typing.cast(Any, params).tier])
        for name, tiers in by_tier.items()
        if getattr(params, name) is None
    }
    return typing.cast(P, dataclasses.replace(typing.cast(Any, params), **chosen))


def describe(cls: type) -> list[ParameterRow]:
    """One row per parameter, in the order of the class; the meaning ends with unit, range and choices in brackets."""
    return [
        ParameterRow(field.name, field.type_text, field.default, field.rule.tiers, _meaning(field.rule))
        for field in _fields(cls).values()
    ]


def parameters_cell(cls: type) -> str:
    """The source of the notebook's `parameters` cell, a line each, as `papermill --help-notebook` can read them."""
    return "\n".join(
        f"{row.name} = {literal(row.default)}  # type: {row.type.replace(' ', '')} {row.meaning}"
        f"{'; None: as the tier says' if row.tiers else ''}"
        for row in describe(cls)
    )


def literal(value: object) -> str:
    """A value as a notebook cell and the command line both write it: `1e-05`, `"text"`, `[1, 2]`, `True`, `None`."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one most resembles, whatever the case of its letters."""
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a misspelt name: ` (did you mean "..."?)`, or nothing when no name is near."""
    close = nearest(name, known)
    return f' (did you mean "{close}"?)' if close else ""


def _fields(cls: type) -> dict[str, _Field]:
    hints, own = typing.get_type_hints(cls), inspect.get_annotations(cls)
    fields = {
        field.name: _Field(field.name, *_shape(hints[field.name]), field.default, field.metadata["rule"])
        for field in sorted(dataclasses.fields(cls), key=lambda field: field.name not in own)  # inherited ones last
    }
    for name, field in fields.items():
        tiers = field.rule.tiers
        assert not tiers or set(tiers) == set(fields["tier"].rule.known()), f"{name} needs a value for every tier"
    return fields


def _shape(annotation: Any) -> tuple[type, bool, bool]:
    """Element type, whether many of them, whether None is allowed."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    parts = set(typing.get_args(annotation)) if union else {annotation}
    (inner,) = parts - {types.NoneType}
    many = typing.get_origin(inner) is tuple
    element = typing.get_args(inner)[0] if many else inner
    assert element in _TYPE_WORDS, f"no parameter can be of type {annotation}"
    return element, many, types.NoneType in parts


def _build(cls: type[P], given: Mapping[str, object], hint: str = "") -> P:
    fields = _fields(cls)
    found: list[str] = []
    doubtful: set[str] = set()
    good: dict[str, object] = {}
    for name, value in given.items():
        if name not in fields:
            found.append(f'unknown parameter "{name}"{did_you_mean(name, fields) or _known(fields)}{hint}')
            doubtful.add(nearest(name, fields) or name)
        elif problems := _problems(fields[name], value):
            found += problems
            doubtful.add(name)
        else:
            good[name] = _stored(fields[name], value)
    params = cls(**good)
    found += _contradictions(params, doubtful)
    if found:
        raise InputError(*found)
    return params


def _contradictions(params: object, doubtful: set[str]) -> list[str]:
    """What `problems()` says, less the sentences about a value that is refused anyway: they would judge its default."""
    if not hasattr(params, "problems") or "tier" in doubtful:
        return []
    sentences: list[str] = resolve(typing.cast(Any, params)).problems()
    return [text for text in sentences if not doubtful & set(re.findall(r"\w+", text))]


def _problems(field: _Field, value: object) -> list[str]:
    if isinstance(value, _Refused):
        return [value.reason]
    if value is None and field.optional:
        return []
    return _list_problems(field, value) if field.many else _item_problems(field, field.name, value)


def _list_problems(field: _Field, value: object) -> list[str]:
    name = field.name
    if _is_of(field.element, value):
        return [f"{name} must be {field.words}: write {name}=[{literal(value)}]"]
    if not isinstance(value, list | tuple):
        return [f"{name} must be {field.words}, not {_shown(value)}"]
    if not value and not field.rule.may_be_empty:
        return [f"{name} must not be empty"]
    found = [text for at, item in enumerate(value) for text in _item_problems(field, f"{name}[{at}]", item)]
    return found or _repetitions(name, _stored(field, value))


def _item_problems(field: _Field, where: str, value: object) -> list[str]:
    rule = field.rule
    if not _is_of(field.element, value):
        whole = field.element is int and isinstance(value, float) and value.is_integer()
        remedy = f": write {int(typing.cast(float, value))}" if whole else _as_number(field.element, value)
        return [f"{where} must be {_TYPE_WORDS[field.element]}, not {_shown(value)}{remedy}"]
    if (known := rule.known()) and value not in known:
        close = did_you_mean(str(value), map(str, known))
        return [f"{where} must be one of {_listed(known)}, not {_shown(value)}{close}"]
    if isinstance(value, int | float) and not rule.allows(value):
        return [f"{where} must be {rule.bounds()}, not {_shown(value)}"]
    if field.many and value == "":
        return [f"{where} must not be empty"]
    return []


def _as_number(element: type, value: object) -> str:
    """What to write for a number that came as text: YAML takes 3e-4 for a word."""
    try:
        return (
            f": write {float(value):.17g} without quotes, and with a point in YAML (3.0e-4)"
            if (element is float and isinstance(value, str))
            else ""
        )
    except ValueError:
        return ""


def _is_of(element: type, value: object) -> bool:
    """Whether a value is of the type: an int will do for a float, a bool is no number, nor are nan and infinity."""
    if isinstance(value, bool):
        return element is bool
    if element is float:
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, element)


def _repetitions(name: str, items: Any) -> list[str]:
    repeated = dict.fromkeys(item for item in items if items.count(item) > 1)
    return [f"{name} must not repeat {', '.join(map(_shown, repeated))}"] if repeated else []


def _known(names: Iterable[str]) -> str:
    return f" (known: {', '.join(names)})"


def _stored(field: _Field, value: Any) -> object:
    if value is None:
        return None
    return tuple(map(field.element, value)) if field.many else field.element(value)


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _is_plain(value: object) -> bool:
    """Whether a value could have been meant as a parameter: data all the way down, no objects."""
    if isinstance(value, dict):
        value = list(value.values())
    if type(value) in (list, tuple, set):
        return all(map(_is_plain, typing.cast(Iterable[object], value)))
    return value is None or type(value) in (str, int, float, bool)


def _read(field: _Field, text: str) -> object:
    if field.optional and text.lower() in ("none", "null"):
        return None
    if not field.many:
        return _read_scalar(field.element, text)
    if not re.fullmatch(r"\[.*\]|\(.*\)", text, re.DOTALL):
        return _Refused(f"{field.name} must be {field.words}: write {field.name}=[{text}]")
    items = _LIST_ITEM.findall(text[1:-1])[:-1]  # the last match is the empty one at the end of the text
    return tuple(_read_scalar(field.element, item.strip()) for item in items)


def _read_scalar(element: type, text: str) -> object:
    """A str field takes the text as it is, or what stands between quotes; the others take what the text denotes."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return _unquoted(text)
    if element is str:
        return text
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _unquoted(text: str) -> object:
    """Double quotes hold a JSON string, single quotes hold text as it is."""
    try:
        return json.loads(text, strict=False) if text[0] == '"' else text[1:-1]
    except ValueError:
        return text[1:-1]


def _meaning(rule: _Rule) -> str:
    choices = f"one of {_listed(rule.known())}" if rule.known() else ""
    notes = "; ".join(note for note in (rule.unit, rule.bounds(), choices) if note)
    return f"{rule.meaning} ({notes})" if notes else rule.meaning


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(literal, values))


def _shown(value: object) -> str:
    text = literal(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."
