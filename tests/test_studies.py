"""What holds for every study and its notebook: tiers without contradictions, cells, exhibits, citations."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
import tiny

from lowres import exhibits, studies
from lowres.params import describe, from_mapping, parameters_cell, resolve
from lowres.trial import RESULT_VERSION, Record, data_fingerprint

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


def test_a_page_tells_what_was_made_by_another_version_and_what_rests_on_other_data(tmp_path: Path):
    rows = tmp_path / "rows.jsonl"
    made = tiny.trial("model", tiny.write_rows(rows, tiny.rows()))
    fingerprints = {"data": data_fingerprint(made), "model": "m", "version": str(RESULT_VERSION)}
    new = tiny.record("new", made, {}, fingerprints=fingerprints)
    old = tiny.record("old", made, {}, fingerprints={"data": fingerprints["data"], "model": "m", "code": "before"})

    def told(*records: Record) -> str:
        found = studies.Gathered(None, {"point": dict(enumerate(records))}, True)
        return repr(exhibits.origin("tell", found))

    assert "another version" not in told(new)
    assert "changed since" not in told(new, old)
    assert "1 of them were made by another version" in told(new, old)
    tiny.write_rows(rows, [*tiny.rows(59), {"prompt": "Item: sand. Colour:", "target": "gold"}])
    assert "The data of 2 have changed since" in told(new, old)
    rows.unlink()  # nobody can tell
    assert "changed since" not in told(new, old)
