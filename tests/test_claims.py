"""Rules against intervals by hand, verdicts through files and back, cards and scoreboard as a browser gets them."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres.claims import (
    OUTCOMES,
    SMOKE,
    SYMBOLS,
    Claim,
    Rule,
    Verdict,
    at_tier,
    claim_cards,
    combine,
    decide,
    judge,
    load_verdicts,
    save_verdicts,
    scoreboard_markdown,
    still_open,
    verdict_cards,
    verdict_table,
    with_holm,
)
from lowres.params import InputError
from lowres.stats import Components, Effect, Saving

NOWHERE = (math.nan, math.nan)


def claim(name: str = "tell-1", study: str = "tell") -> Claim:
    return Claim(name, study, f"{name} helps & <always>", "Table 1", "+4 points", "token F1", "above +0.02", 0.02)


def effect(estimate: float, half: float, *, noise: Components | None = None) -> Effect:
    interval = (estimate - half, estimate + half)
    parts = noise or Components(0.004, 0.01, 0.01)
    return Effect(estimate, interval, interval, interval, 0.5, 3, 100, degrees=10.0, components=parts)


def verdict(name: str = "tell-1", estimate: float = 0.08, half: float = 0.03, study: str = "tell") -> Verdict:
    effects = {"TELL over SFT": effect(estimate, half)}
    page = f"notebooks/{study}.ipynb"
    return judge(claim(name, study), effects, {"TELL over SFT": Rule("above", 0.02)}, "135M, 3 seeds", "4 min", page)


# --- rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "margin", "direction", "answer"),
    [
        (0.03, 0.05, 0.02, 1, "yes"),  # all above the margin
        (0.01, 0.05, 0.02, 1, "unclear"),  # holds the margin
        (-0.03, 0.01, 0.02, 1, "no"),  # all below the margin
        (-0.05, -0.03, 0.02, -1, "yes"),  # a drop larger than the margin
        (-0.01, 0.05, 0.02, -1, "no"),  # certainly no such drop
        (-0.01, 0.05, -0.02, 1, "yes"),  # not worse by more than 0.02
        (0.02, 0.05, 0.02, 1, "unclear"),  # the end lies on the margin
        (math.nan, math.nan, 0.02, 1, "unclear"),
        (5.5, math.inf, 5.0, 1, "yes"),
    ],
)
def test_decide_by_hand(low: float, high: float, margin: float, direction: int, answer: str) -> None:
    measured = replace(effect(0.0, 1.0), interval=(low, high))
    assert decide(measured, margin, direction) == answer


def test_decide_refuses_another_direction() -> None:
    with pytest.raises(ValueError, match="direction is 0, allowed: 1"):
        decide(effect(0.0, 1.0), 0.0, 0)


@pytest.mark.parametrize(
    ("estimate", "half", "answer"),
    [(0.0, 0.01, "yes"), (0.01, 0.02, "unclear"), (0.05, 0.02, "no"), (-0.05, 0.02, "no"), (0.0, 0.1, "unclear")],
)
def test_within_asks_both_sides(estimate: float, half: float, answer: str) -> None:
    assert Rule("within", 0.02).answer(effect(estimate, half)) == answer


def test_below_mirrors_above() -> None:
    drop = effect(-0.05, 0.02)
    assert Rule("below", -0.02).answer(drop) == "yes"
    assert Rule("below", -0.08).answer(drop) == "no"
    assert Rule("below", -0.05).answer(drop) == "unclear"


@given(st.floats(-1, 1), st.floats(0.001, 1), st.floats(-1, 1))
def test_an_answer_means_an_excluded_boundary(estimate: float, half: float, boundary: float) -> None:
    measured, rule = effect(estimate, half), Rule("above", boundary)
    low, high = measured.interval
    assert (rule.answer(measured) == "unclear") == (low <= boundary <= high)


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        (["yes", "yes"], "reproduced"),
        (["no", "no"], "not reproduced"),
        (["yes", "no"], "partly"),
        (["yes", "no", "unclear"], "partly"),  # whatever the third turns out to be
        (["yes", "unclear"], "cannot tell"),  # could still become "reproduced" or "partly"
        (["no", "unclear"], "cannot tell"),
    ],
)
def test_combine(answers: list[Any], outcome: str) -> None:
    assert combine(answers) == outcome


def test_combine_needs_a_rule() -> None:
    with pytest.raises(ValueError, match="at least one rule"):
        combine([])


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_judge_says_why() -> None:
    found = verdict()
    assert (found.outcome, found.seeds_needed, found.remedy()) == ("reproduced", None, "")
    assert found.reason == "yes: TELL over SFT +0.080 [0.050, 0.110] (rule: above +0.02)"
    assert found.p_value is not None
    assert found.p_value < 0.05


def test_judge_asks_for_seeds_when_it_cannot_tell() -> None:
    found = verdict(half=0.08)
    assert found.outcome == "cannot tell"
    assert (found.seeds_needed or 0) > 1
    assert found.remedy() == f"about {found.seeds_needed} further seeds would tell"
    assert replace(found, seeds_needed=1).remedy() == "about 1 further seed would tell"


def test_judge_asks_for_items_when_seeds_cannot_help() -> None:
    noisy = effect(0.03, 0.2, noise=Components(0.0001, 4.0, 0.1))
    found = judge(claim(), {"gain": noisy}, {"gain": Rule("above", 0.02)}, "135M")
    assert found.seeds_needed is None
    assert "more test items" in found.remedy()


def test_judge_takes_the_weakest_part() -> None:
    strong, weak = effect(0.3, 0.03), effect(0.05, 0.025)
    rules = {"strong": Rule("above", 0.02), "weak": Rule("above", 0.02)}
    found = judge(claim(), {"strong": strong, "weak": weak, "context": effect(0, 9)}, rules, "135M")
    assert found.outcome == "reproduced"
    assert found.p_value == pytest.approx(weak.p_against(0.02))


def test_partly_needs_one_part_of_either_kind() -> None:
    estimates = {"sure yes": 0.30, "weak yes": 0.051, "sure no": -0.20, "weak no": -0.011, "unclear": 0.02}
    effects = {name: effect(estimate, 0.03) for name, estimate in estimates.items()}
    found = judge(claim(), effects, dict.fromkeys(effects, Rule("above", 0.02)), "135M")
    assert found.outcome == "partly"
    # the weaker of the two surest parts, counted five times as it was picked out of five
    assert found.p_value == pytest.approx(5 * effects["sure no"].p_against(0.02))
    assert with_holm([found])[0].outcome == "partly"
    assert "sure no: -0.200" in verdict_table([found])._repr_markdown_()


def test_partly_that_rests_on_a_weak_part_asks_for_seeds() -> None:
    effects = {
        "yes": effect(0.3, 0.03),
        "weak no": effect(-0.012, 0.03, noise=Components(0.004, 0.001, 0.01)),
        "unclear": effect(0.02, 0.03),
    }
    found = judge(claim(), effects, dict.fromkeys(effects, Rule("above", 0.02)), "135M")
    (corrected,) = with_holm([found])
    assert found.outcome == "partly"
    assert corrected.outcome == "cannot tell"
    assert corrected.reason.startswith("partly if it stood alone")
    assert (corrected.seeds_needed or 0) > 0
    assert still_open(corrected) == ""


def test_judge_refuses_a_rule_without_an_effect() -> None:
    with pytest.raises(ValueError, match=r"no paired effect 'gian' for the rule, there are \['gain'\]"):
        judge(claim(), {"gain": effect(0.1, 0.01)}, {"gian": Rule("above", 0.02)}, "135M")
    with pytest.raises(ValueError, match="no paired effect 'saving'"):
        judge(claim(), {"saving": Saving(7, (3, 9), "exact")}, {"saving": Rule("above", 5)}, "135M")


def test_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="outcome 'maybe' of claim 'tell-1', allowed: reproduced"):
        Verdict(claim(), "maybe", "", {}, "")  # type: ignore[arg-type]


def test_smoke_never_gives_a_verdict() -> None:
    smoke = at_tier(verdict(), "smoke")
    assert (smoke.outcome, smoke.reason, smoke.remedy(), smoke.p_value) == ("cannot tell", SMOKE, "", None)
    assert at_tier(verdict(), "laptop") == verdict()


def test_holm_weakens_what_only_stands_alone() -> None:
    # p = 0.03 against the margin passes alone; among three claims it is 0.09.
    alone = replace(verdict("tell-1"), p_value=0.03)
    others = [replace(verdict(name), p_value=0.5, outcome="cannot tell") for name in ("tell-2", "tell-3")]
    corrected = with_holm([alone, *others])
    assert corrected[0].p_adjusted == pytest.approx(0.09)
    assert corrected[0].outcome == "cannot tell"
    assert corrected[0].reason.startswith("reproduced if it stood alone, but not among 3 claims (Holm)")
    assert corrected[0].seeds_needed is not None
    assert [found.outcome for found in with_holm([alone])] == ["reproduced"]


def test_holm_leaves_out_what_has_no_p_value() -> None:
    smoke, strong = at_tier(verdict("tell-2"), "smoke"), replace(verdict("tell-1"), p_value=0.04)
    corrected = with_holm([smoke, strong])
    assert corrected[0] == smoke
    assert corrected[1].p_adjusted == pytest.approx(0.04)


# --- files ------------------------------------------------------------------------------------------------------------


def test_verdicts_survive_the_file(tmp_path: Path) -> None:
    saving = Saving(10, (6, math.inf), "at least")
    one_seed = replace(effect(0.1, 0.01), seeds=1, seed_interval=NOWHERE)
    first = replace(verdict(), effects={**verdict().effects, "saving": saving, "one seed": one_seed})
    paths = save_verdicts([first, verdict("tell-2", half=0.09), verdict("fiat-1", study="fiat")], tmp_path / "new")
    assert [path.name for path in paths] == ["tell.json", "fiat.json"]
    read = load_verdicts(tmp_path / "new")
    assert [found.claim.name for found in read] == ["fiat-1", "tell-1", "tell-2"]
    assert repr(read[1]) == repr(first)
    assert [path.name for path in sorted((tmp_path / "new").iterdir())] == ["fiat.json", "tell.json"]


def test_saved_verdicts_are_strict_json_and_repeatable(tmp_path: Path) -> None:
    measured = {"saving": Saving(10, (6, math.inf), "at least")}
    (path,) = save_verdicts([replace(verdict(), effects=measured, rules={})], tmp_path)
    before = path.read_bytes()
    json.loads(before, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    save_verdicts(load_verdicts(tmp_path), tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["{", "[]", '{"verdicts": [{}]}', '{"verdicts": [{"claim": {"nmae": "x"}}]}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "tell.json").write_text(text)
    with pytest.raises(InputError, match=r"tell\.json: no file of verdicts"):
        load_verdicts(tmp_path)


def test_no_folder_no_verdicts(tmp_path: Path) -> None:
    assert load_verdicts(tmp_path / "none") == []
    assert "No study" in scoreboard_markdown(tmp_path / "none")


# --- cards and tables -------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects what the tests ask about; fails on tags that are not closed in order."""

    VOID = ("br", "meta", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data if "style" not in self.open else ""

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_claim_cards_say_everything_before_the_evidence() -> None:
    cards = claim_cards([claim(), claim("tell-2")])
    page = Page(cards._repr_html_())
    for words in ("tell-1 helps & <always>", "Table 1", "+4 points", "token F1", "above +0.02", "0.02"):
        assert words in page.words
        assert words in cards._repr_markdown_()
    assert [card["id"] for card in page.all("div") if card.get("role") == "group"] == ["claim-tell-1", "claim-tell-2"]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_an_outcome_is_a_word_and_a_symbol(outcome: Any) -> None:
    page = Page(verdict_cards([replace(verdict(), outcome=outcome)])._repr_html_())
    assert f"{SYMBOLS[outcome]} {outcome}" in page.words
    assert len(set(SYMBOLS.values())) == len(OUTCOMES)


def test_verdict_cards_show_both_uncertainties_and_the_remedy() -> None:
    found = with_holm([verdict(half=0.08), verdict("tell-2")])
    page = Page(verdict_cards(found)._repr_html_())
    for words in (
        "From seeds",
        "From items",
        "3 seeds × 100 items",
        "further seeds would tell",
        "p (Holm)",
        "135M, 3 seeds",
    ):
        assert words in page.words
    single = replace(verdict(), effects={"gain": replace(effect(0.1, 0.01), seed_interval=NOWHERE)})
    assert "unknown" in Page(verdict_cards([single])._repr_html_()).words


@pytest.mark.parametrize(
    ("estimates", "left"),
    [
        ((0.08, 0.01), "reproduced or partly"),
        ((-0.08, 0.01), "partly or not reproduced"),
        ((0.01, 0.01), ""),
        ((0.08, -0.08, 0.01), ""),  # partly, however the last part would turn out
        ((0.08,), ""),
    ],
)
def test_decided_parts_leave_two_outcomes_open(estimates: tuple[float, ...], left: str) -> None:
    effects = {f"part {number}": effect(estimate, 0.03) for number, estimate in enumerate(estimates)}
    found = judge(claim(), effects, dict.fromkeys(effects, Rule("above", 0.02)), "135M, 3 seeds")
    assert still_open(found) == left
    assert (f"- Still open: {left}" in verdict_cards([found])._repr_markdown_()) == bool(left)
    assert not left or left in Page(verdict_table([found])._repr_html_()).words
    assert still_open(at_tier(found, "smoke")) == ""


def test_tables_say_what_their_cells_are() -> None:
    page = Page(verdict_table([verdict(), verdict("tell-2")])._repr_html_())
    assert len(page.all("caption")) == 1
    assert [cell["scope"] for cell in page.all("th")] == ["col"] * 4 + ["row"] * 2
    assert verdict_table([verdict()])._repr_markdown_().startswith("| Claim | Verdict |")


def test_scoreboard_holds_every_claim_with_interval_scale_cost_and_link(tmp_path: Path) -> None:
    save_verdicts([verdict(), at_tier(verdict("tell-2"), "smoke"), verdict("fiat-1", -0.05, study="fiat")], tmp_path)
    text = scoreboard_markdown(tmp_path)
    assert text.startswith("3 claims: 1 reproduced, 0 partly, 1 not reproduced, 1 cannot tell.\n")
    page = Page(text)
    assert [link["href"] for link in page.all("a")][1] == "../notebooks/tell.html#verdict-tell-1"
    for words in ("+0.080 [0.050,\u00a00.110]", "135M, 3 seeds", "4 min", SMOKE):
        assert words in page.words
    titled = scoreboard_markdown(tmp_path, titles={"tell": "TELL", "fiat": "FIAT"})
    assert re.findall(r"^## .*", text, re.MULTILINE) == ["## fiat", "## tell"]
    assert re.findall(r"^## .*", titled, re.MULTILINE) == ["## TELL", "## FIAT"]
    # a blank line would end the block of HTML in Markdown
    for table in re.findall(r"<div class=\"lowres-table.*?</div>", text, flags=re.DOTALL):
        assert "\n\n" not in table


def test_many_parts_are_counted_on_the_card_and_listed_in_its_table() -> None:
    effects = {f"part {number}": effect(0.08 if number else -0.08, 0.03) for number in range(5)}
    rules = dict.fromkeys(effects, Rule("above", 0.0))
    found = judge(claim(), effects, rules, "135M, 3 seeds")
    card, board = verdict_cards([found])._repr_markdown_(), verdict_table([found])._repr_markdown_()
    assert "- Here: of 5 parts 4 yes, 1 no" in card
    assert "part 0: -0.080 [-0.110,\u00a0-0.050]; of 5 parts 4 yes" in board
    page = Page(verdict_cards([found])._repr_html_())
    assert page.words.count("above\u00a0zero: yes") == 4
    assert page.words.count("above\u00a0zero: no") == 1


def test_claims_are_light() -> None:
    code = (
        "import lowres.claims, sys; print([m for m in ('numpy', 'scipy', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
