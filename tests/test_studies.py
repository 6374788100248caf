"""What holds for every study and its notebook: tiers without contradictions, cells, exhibits, citations."""

from __future__ import annotations

import re
from types import ModuleType

import pytest
import tiny

from lowres import exhibits, studies
from lowres.params import describe, from_mapping, parameters_cell, resolve

EXERCISES = {"fiat": 5, "forgetting": 5, "loreft": 6, "tell": 5}


@pytest.fixture(params=studies.study_names())
def study(request: pytest.FixtureRequest) -> ModuleType:
    return studies.load(request.param)


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


def test_every_exhibit_stands_on_the_page(study: ModuleType):
    on_page, listed = "\n".join(tiny.code(study.NOTEBOOK)), exhibits_of(study)
    assert len(listed) > 15
    assert [name for name in listed if f"exhibits.{name}(" not in on_page] == []


def exhibits_of(study: ModuleType) -> list[str]:
    """The functions that show something; one that is bound to its study says what it returns in `func`."""
    found = {name: getattr(one, "func", one) for name, one in vars(study.exhibits).items() if name[0] != "_"}
    shows = {name: getattr(one, "__annotations__", {}).get("return") == "Shown" for name, one in found.items()}
    return [name for name, one in found.items() if shows[name] and ".exhibits" in one.__module__]


def test_the_page_is_without_outputs_and_cites_what_is_in_the_bibliography(study: ModuleType):
    cells = tiny.cells(study.NOTEBOOK)
    assert all(cell.get("outputs", []) == [] for cell in cells)
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    keys = {key for group in re.findall(r"\{cite:p\}`([^`]+)`", text) for key in group.split(",")}
    known = set(re.findall(r"^@\w+\{([^,]+),", (tiny.ROOT / "book/references.bib").read_text(encoding="utf-8"), re.M))
    assert keys <= known
    assert len(re.findall(r"^:::\{exercise\}", text, re.M)) == EXERCISES[study.CLAIMS[0].study]


def test_a_page_tells_what_running_old_trials_again_gave(monkeypatch: pytest.MonkeyPatch):
    rows = [
        {"key": "a", "agreement": "exact"},
        {"key": "a", "agreement": "exact"},
        {"key": "b", "agreement": "differs"},
    ]
    kept = {"code": "today", "comparisons": rows, "provenance": {"date": "2026-01-02", "hardware": "a machine"}}
    old = tiny.record("key", tiny.trial("model", "task"), {}, fingerprints={"code": "before"})
    found = studies.Gathered(None, {"point": {0: old}}, True)
    monkeypatch.setattr("lowres.trial.code_fingerprint", lambda: "today")
    monkeypatch.setattr("lowres.engine.verification.read_verification", lambda study: kept)
    assert "run again by the code of today: 2 trials, 3 outcomes, 2 exact, 1 differs." in repr(
        exhibits.origin("tell", found)
    )
    monkeypatch.setitem(kept, "code", "of yesterday")
    assert "The command lowres verify tell runs some again." in repr(exhibits.origin("tell", found))
