"""What holds for every study and its notebook: tiers without contradictions, cells, exhibits, citations."""

from __future__ import annotations

import importlib
import re
from functools import partial
from types import ModuleType, SimpleNamespace

import pytest
import tiny

from lowres import registry, studies
from lowres.params import describe, from_mapping, parameters_cell, resolve


@pytest.fixture(params=registry.study_names())
def study(request: pytest.FixtureRequest) -> ModuleType:
    return registry.load(request.param)


@pytest.mark.parametrize("tier", studies.TIERS)
def test_every_tier_is_free_of_contradictions(study: ModuleType, tier: str):
    chosen = resolve(from_mapping(study.Params, {"tier": tier}))
    assert chosen.problems() == []
    assert None not in [getattr(chosen, row.name) for row in describe(study.Params) if row.tiers]


def test_a_seed_is_added_to_the_name_of_a_world_model_alone():
    assert studies.seeded("world-s~0.70", 4) == "world-s~0.70@4"
    assert studies.unseeded("world-s~0.70@4") == "world-s~0.70"
    assert studies.seeded("world-s", 0) == "world-s"
    assert studies.seeded("smollm2-135m-instruct", 4) == "smollm2-135m-instruct"


# --- the notebooks ---------------------------------------------------------------------------------------------------


def test_the_parameters_cell_is_the_one_of_the_dataclass(study: ModuleType):
    (cell,) = [cell for cell in tiny.cells(study.NOTEBOOK) if "parameters" in cell["metadata"].get("tags", [])]
    assert "".join(cell["source"]) == parameters_cell(study.Params)


SHARED = (
    *("verdicts.overview", "verdicts.cards", "unpublished.still_open"),
    *("parts.origin", "parts.drift", "parts.verification", "parts.deviations"),
)


def test_every_exhibit_stands_on_the_page(study: ModuleType):
    on_page = "\n".join(tiny.code(study.NOTEBOOK))
    page = importlib.import_module(f"{study.__name__}.page")
    shown = [
        name
        for name, one in vars(page).items()
        if name[0] != "_" and (isinstance(one, partial) or getattr(one, "__annotations__", {}).get("return") == "Shown")
        if isinstance(one, partial) or one.__module__ == page.__name__
    ]
    assert len(shown) > 5
    assert [name for name in shown if f"page.{name}(" not in on_page] == []
    name = study.__name__.rpartition(".")[2]
    assert [one for one in SHARED if f'{one}("{name}"' not in on_page] == []


def test_the_page_is_without_outputs_and_cites_what_is_in_the_bibliography(study: ModuleType):
    cells = tiny.cells(study.NOTEBOOK)
    assert all(cell.get("outputs", []) == [] for cell in cells)
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    keys = {key for group in re.findall(r"\{cite:p\}`([^`]+)`", text) for key in group.split(",")}
    known = set(re.findall(r"^@\w+\{([^,]+),", (tiny.ROOT / "book/references.bib").read_text(encoding="utf-8"), re.M))
    assert keys <= known
    exercises = re.findall(r"^:::\{exercise\}.*\n:label: (\S+)", text, re.M)
    assert len(exercises) >= 3
    assert re.findall(r"^:::\{solution\} (\S+)", text, re.M) == exercises  # each has its solution, in their order


def test_a_page_that_only_reads_lists_no_trials_of_its_own(study: ModuleType):
    code = "\n".join(tiny.code(study.NOTEBOOK))
    name = study.__name__.rpartition(".")[2]
    assert f"registry.live({name}, params)" in code
    assert f"{name}.trials(" not in code


def test_what_live_trials_read_is_made_before_they_are_listed() -> None:
    """A page shows which of them the ledger has, by their keys, which name the content of what they read."""
    made: list[str] = []
    toy = SimpleNamespace(prepare=lambda params: made.append("prepared"), trials=lambda params, tuned: list(made))
    assert registry.live(toy, SimpleNamespace(tier="read")) == []
    assert registry.live(toy, SimpleNamespace(tier="laptop")) == ["prepared"]
