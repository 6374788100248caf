"""Parameters: all that is wrong is told at once; what is right goes round through the cell and the command line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, make_dataclass
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres.params import (
    InputError,
    describe,
    from_mapping,
    from_namespace,
    from_strings,
    literal,
    nearest,
    parameter,
    parameters_cell,
    resolve,
)

TIERS = ("smoke", "laptop")


@dataclass(frozen=True)
class Params:
    tier: str = parameter("laptop", "how much is run", choices=TIERS)
    seeds: tuple[int, ...] | None = parameter(
        None, "random seeds", low=0, tiers={"smoke": [0], "laptop": (0, 1)}, unit="one run each"
    )
    tasks: tuple[str, ...] = parameter(("boolq",), "tasks", choices=lambda: ("boolq", "disflqa"))
    notes: tuple[str, ...] = parameter((), "remarks", may_be_empty=True)
    rates: tuple[float, ...] = parameter((1e-5, 1e-4), "learning rates to try", above=0, high=1)
    steps: int = parameter(10, "updates", low=1, high=1000)
    warm_up: float = parameter(0.1, "share of the updates that warm up", low=0, high=1)
    shuffle: bool = parameter(True, "mix task data and general data")
    anchor: str | None = parameter(None, "text before each prompt")
    name: str = parameter("", "what to call the run")

    def problems(self) -> list[str]:
        assert self.seeds is not None, "contradictions are looked for with the tier's values filled in"
        return ["steps is too small for so many seeds"] if self.steps < len(self.seeds) else []


def told(**values: object) -> tuple[str, ...]:
    """The problems that values given by name cause."""
    with pytest.raises(InputError) as caught:
        from_mapping(Params, values)
    return caught.value.problems


def told_of(*assignments: str) -> tuple[str, ...]:
    """The problems that command-line assignments cause."""
    with pytest.raises(InputError) as caught:
        from_strings(Params, assignments)
    return caught.value.problems


# --- what is right ---------------------------------------------------------------------------------------------------


def test_nothing_given_is_the_defaults():
    assert from_mapping(Params, {}) == from_strings(Params, []) == from_namespace(Params, {}) == Params()


def test_lists_are_stored_as_tuples_and_integers_as_numbers_where_numbers_are_meant():
    params = from_mapping(Params, {"seeds": [3, 1], "warm_up": 1, "rates": [1]})
    assert (params.seeds, params.warm_up, params.rates) == ((3, 1), 1.0, (1.0,))
    assert isinstance(params.warm_up, float)
    assert isinstance(params.rates[0], float)
    hash(params)


def test_parameters_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Params().tier = "smoke"  # type: ignore[misc]


def test_none_becomes_the_value_of_the_tier_and_a_given_value_stays():
    assert resolve(Params()).seeds == (0, 1)
    assert resolve(Params(tier="smoke")).seeds == (0,)
    assert resolve(Params(tier="smoke", seeds=(7,))).seeds == (7,)
    assert resolve(Params()).anchor is None, "a None without values per tier means none"


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("seeds=[0, 1,2]", "seeds", (0, 1, 2)),
        ("seeds=(5,)", "seeds", (5,)),
        ("seeds=[5,]", "seeds", (5,)),
        ("seeds=none", "seeds", None),
        ("tasks=[boolq, 'disflqa']", "tasks", ("boolq", "disflqa")),
        ('notes=["a, b", c d]', "notes", ("a, b", "c d")),
        ("notes=[]", "notes", ()),
        ("rates=[1e-3]", "rates", (0.001,)),
        ("steps=1_000", "steps", 1000),
        ("warm_up=1", "warm_up", 1.0),
        ("shuffle=False", "shuffle", False),
        ("shuffle=true", "shuffle", True),
        ("name=3", "name", "3"),
        ("name=a=b # c", "name", "a=b # c"),
        ("name='it is'", "name", "it is"),
        (r'name="a\nb"', "name", "a\nb"),
        (r'name="C:\data"', "name", r"C:\data"),
        ("name=none", "name", "none"),
        ("anchor=None", "anchor", None),
        ('anchor="None"', "anchor", "None"),
        ("name=", "name", ""),
        (" steps = 7 ", "steps", 7),
    ],
)
def test_a_value_is_read_as_its_field_asks(text: str, name: str, value: object):
    assert getattr(from_strings(Params, [text]), name) == value


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("teir=smoke", 'unknown parameter "teir" (did you mean "tier"?)'),
        ("STEPS=1", 'unknown parameter "STEPS" (did you mean "steps"?)'),
        ("tier=smok", 'tier must be one of "smoke", "laptop", not "smok" (did you mean "smoke"?)'),
        ("tier=", 'tier must be one of "smoke", "laptop", not ""'),
        ("seeds=0", "seeds must be a list of integers: write seeds=[0]"),
        ("seeds=0,1", "seeds must be a list of integers: write seeds=[0,1]"),
        ("seeds=[0,a]", 'seeds[1] must be an integer, not "a"'),
        ("seeds=[0,,1]", 'seeds[1] must be an integer, not ""'),
        ("seeds=[0,-1]", "seeds[1] must be at least 0, not -1"),
        ("seeds=[]", "seeds must not be empty"),
        ("seeds=[2,1,2,1,3]", "seeds must not repeat 2, 1"),
        ("rates=[1,1.0]", "rates must not repeat 1.0"),
        ("notes=[a,,b]", "notes[1] must not be empty"),
        ("tasks=[disflq]", 'tasks[0] must be one of "boolq", "disflqa", not "disflq" (did you mean "disflqa"?)'),
        ("steps=-5", "steps must be at least 1 and at most 1000, not -5"),
        ("steps=0", "steps must be at least 1 and at most 1000, not 0"),
        ("steps=1e2", "steps must be an integer, not 100.0: write 100"),
        ("steps=true", "steps must be an integer, not True"),
        ("steps=ten", 'steps must be an integer, not "ten"'),
        ("steps=none", "steps must be an integer, not None"),
        ("rates=[0]", "rates[0] must be above 0 and at most 1, not 0"),
        ("warm_up=nan", "warm_up must be a finite number, not nan"),
        ("warm_up=1e999", "warm_up must be a finite number, not inf"),
        ("shuffle=1", "shuffle must be true or false, not 1"),
        ("shuffle=yes", 'shuffle must be true or false, not "yes"'),
        ("steps", "steps has no value: write steps=VALUE"),
    ],
)
def test_a_wrong_value_is_told_with_its_name_and_what_is_allowed(text: str, problem: str):
    assert told_of(text) == (problem,)


def test_values_from_a_notebook_are_checked_alike():
    assert told(seeds=3) == ("seeds must be a list of integers: write seeds=[3]",)
    assert told(tasks="boolq") == ('tasks must be a list of strings: write tasks=["boolq"]',)
    assert told(seeds={0}) == ("seeds must be a list of integers, not {0}",)
    assert told(seeds=True) == ("seeds must be a list of integers, not True",)
    assert told(name=3.0) == ("name must be a string, not 3.0",)
    assert told(warm_up=10**400)[0].startswith("warm_up must be a finite number, not 1000")
    assert len(told(steps="x" * 10_000)[0]) < 120


def test_a_name_without_a_near_one_gets_the_list():
    assert told(zzz=1)[0].startswith('unknown parameter "zzz" (known: tier, seeds, tasks,')


def test_a_parameter_given_twice_is_refused():
    assert told_of("steps=1", "steps=2") == ("steps is given more than once",)


def test_all_problems_are_told_at_once():
    problems = told_of("teir=smoke", "seeds=0", "steps=-1", "steps=2", "shuffle=1", "rates=[0,2]")
    assert len(problems) == 6
    message = str(InputError(*problems))
    assert message.startswith("6 problems:\n  - unknown parameter")
    assert message.count("\n  - ") == 6


def test_a_contradiction_is_told_with_the_other_problems():
    assert told(steps=1, shuffle=3) == ("shuffle must be true or false, not 3", "steps is too small for so many seeds")


@pytest.mark.parametrize("doubtful", [{"seeds": 3}, {"sedes": [0, 1]}, {"tier": "x"}, {"teir": "smoke"}])
def test_a_contradiction_with_a_value_that_is_refused_anyway_is_not_told(doubtful: dict[str, object]):
    assert len(told(steps=1, **doubtful)) == 1


def test_contradictions_see_the_values_of_the_tier():
    assert from_mapping(Params, {"steps": 1, "tier": "smoke"}).seeds is None
    assert told(steps=1) == ("steps is too small for so many seeds",)


def test_an_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(InputError("a", "b")))
    assert error.problems == ("a", "b")
    assert str(error) == "2 problems:\n  - a\n  - b"
    assert str(InputError("only this")) == "only this"


# --- notebooks -------------------------------------------------------------------------------------------------------


def test_a_notebook_may_hold_anything_but_unknown_plain_data():
    class Record:
        pass

    namespace: dict[str, Any] = {
        "__name__": "__main__", "_mine": 3, "_ih": [""], "In": ["", "x"], "Out": {1: 2}, "pytest": pytest,
        "records": [Record()], "by_key": {"a": Record()}, "exit": Record(), "steps": 5,
    }  # fmt: skip
    assert from_namespace(Params, namespace) == Params(steps=5)


@pytest.mark.parametrize("value", ["smoke", 3, 0.5, None, True, [], [1, "a"], (1,), {1}, {"a": [1]}])
def test_a_misspelt_notebook_parameter_is_refused(value: object):
    with pytest.raises(
        InputError, match=r'unknown parameter "teir" \(did you mean "tier"\?\).* begin its name with "_"'
    ):
        from_namespace(Params, {"teir": value})


def test_a_parameter_that_is_no_plain_data_is_refused():
    with pytest.raises(InputError, match=r"seeds must be a list of integers, not range\(0, 3\)"):
        from_namespace(Params, {"seeds": range(3)})


def test_the_cell_has_one_line_per_parameter_with_type_and_meaning():
    lines = parameters_cell(Params).splitlines()
    assert lines[0] == 'tier = "laptop"  # type: str how much is run (one of "smoke", "laptop")'
    assert lines[1] == (
        "seeds = None  # type: list[int]|None random seeds (one run each; at least 0); None: as the tier says"
    )
    assert lines[4] == ("rates = [1e-05, 0.0001]  # type: list[float] learning rates to try (above 0 and at most 1)")
    assert len(lines) == 10


def test_papermill_reads_the_cell():
    translators = pytest.importorskip("papermill.translators")
    cell = type("Cell", (dict,), {})(source=parameters_cell(Params))
    found = {each.name: each for each in translators.PythonTranslator.inspect(cell)}
    assert list(found) == [row.name for row in describe(Params)]
    assert found["seeds"].inferred_type_name == "list[int]|None"
    assert found["steps"].default == "10"
    assert found["steps"].help == "updates (at least 1 and at most 1000)"


# --- definitions -----------------------------------------------------------------------------------------------------


def test_rows_describe_every_parameter():
    rows = {row.name: row for row in describe(Params)}
    assert rows["seeds"].type == "list[int] | None"
    assert rows["seeds"].tiers == {"smoke": [0], "laptop": (0, 1)}
    assert rows["rates"].default == (1e-5, 1e-4)
    assert rows["tasks"].meaning == 'tasks (one of "boolq", "disflqa")'


def test_choices_that_are_a_function_are_not_asked_before_they_are_needed():
    def explode() -> tuple[str, ...]:
        raise RuntimeError("asked")

    @dataclass(frozen=True)
    class Late:
        model: str = parameter("small", "the model", choices=explode)

    assert from_mapping(Late, {}) == Late()
    with pytest.raises(RuntimeError, match="asked"):
        from_mapping(Late, {"model": "big"})


def test_a_tier_without_a_value_is_a_mistake_in_the_definition():
    @dataclass(frozen=True)
    class Hole:
        tier: str = parameter("laptop", "how much is run", choices=TIERS)
        steps: int | None = parameter(None, "updates", tiers={"laptop": 3})

    with pytest.raises(AssertionError, match="steps needs a value for every tier"):
        from_mapping(Hole, {})


def test_the_nearest_name_ignores_case_and_may_be_missing():
    assert nearest("LORA", ("full", "LoRA")) == "LoRA"
    assert nearest("xyz", ("full", "LoRA")) is None


# --- round trips -----------------------------------------------------------------------------------------------------

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=20)
valid = st.fixed_dictionaries(
    {},
    optional={
        "tier": st.sampled_from(TIERS),
        "seeds": st.none() | st.lists(st.integers(0, 2**70), min_size=1, max_size=5, unique=True),
        "tasks": st.lists(st.sampled_from(("boolq", "disflqa")), min_size=1, unique=True),
        "notes": st.lists(st.text(min_size=1, max_size=20), max_size=4, unique=True),
        "rates": st.lists(st.floats(0, 1, exclude_min=True), min_size=1, max_size=4, unique=True),
        "steps": st.integers(5, 1000),
        "warm_up": st.floats(0, 1),
        "shuffle": st.booleans(),
        "anchor": st.none() | texts,
        "name": texts,
    },
)


@given(valid)
def test_every_valid_value_goes_round_through_the_command_line(values: dict[str, object]):
    assignments = [f"{name}={literal(value)}" for name, value in values.items()]
    assert from_strings(Params, assignments) == from_mapping(Params, values)


@given(valid)
def test_every_default_goes_round_through_the_cell(values: dict[str, object]):
    defaults = {row.name: row.default for row in describe(Params)} | values
    hints = get_type_hints(Params)
    fields = [(name, hints[name], parameter(default, "", may_be_empty=True)) for name, default in defaults.items()]
    study = make_dataclass("Study", fields, frozen=True)
    namespace: dict[str, object] = {}
    exec(parameters_cell(study), namespace)
    assert from_namespace(study, namespace) == study()


def is_sound(make: Callable[[], Params]) -> bool:
    """Whether what was given became parameters that would be accepted again, or else problems told in words."""
    try:
        params = make()
    except InputError as error:
        return bool(error.problems) and all(error.problems)
    return from_mapping(Params, vars(params)) == params


names = st.sampled_from([row.name for row in describe(Params)])
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts, lambda inner: st.lists(inner, max_size=3)
)


@given(st.lists(st.builds("".join, st.tuples(names | texts, st.sampled_from(("=", "", "=[")), texts)), max_size=4))
def test_no_command_line_ends_in_anything_but_parameters_or_problems(assignments: list[str]):
    assert is_sound(lambda: from_strings(Params, assignments))


@given(st.dictionaries(names | texts, plain, max_size=4))
def test_no_notebook_ends_in_anything_but_parameters_or_problems(values: dict[str, object]):
    assert is_sound(lambda: from_namespace(Params, values))
    assert is_sound(lambda: from_mapping(Params, values))
