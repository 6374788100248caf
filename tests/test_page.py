"""What pages show, from records made by hand: the grammar of exhibits, cards, scoreboard, the parts of every page."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from test_rules import PLACES, PROBES, asked, gain, record, table

from lowres import registry
from lowres.book import pages
from lowres.campaign import Line
from lowres.claims import Claim, Rule, rulebook
from lowres.claims.rules import LOSS, Decision, SecondRule, decide
from lowres.page import answer, drawing, parts, records, unpublished, verdicts
from lowres.page.diagrams import Box, diagram
from lowres.page.drawing import Evidence, level, minus
from lowres.page.markup import html_table
from lowres.registry import IncompleteRun, insist_on_all
from lowres.trial import Record

LEVELS = {"tell": 0.6, "sft": 0.4, "untouched": 0.3}
EMPTY = drawing.Outcomes.of([])
A, B = {"arm": "tell"}, {"arm": "sft"}


class Page(HTMLParser):
    """Collects what the tests ask about; fails on tags that are not closed in order."""

    VOID = ("br", "meta", "link", "line", "circle", "path", "rect", "use", "input")

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
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data if "style" not in self.open else ""

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def both() -> Evidence:
    return Evidence("toy", table(LEVELS), table({"tell": 0.5, "sft": 0.45}))


# --- the grammar -----------------------------------------------------------------------------------------------------


def test_an_exhibit_shows_the_mean_over_places_with_the_interval_that_decides(both: Evidence) -> None:
    found = drawing.found(both, {"gain": minus(A, B, "score")}, PLACES)
    assert found is not None
    assert found.effects["gain"] == decide(ruled(), "real", both.judged).effects["tell - sft"]
    assert found.places == PLACES
    assert not found.exploratory


def ruled() -> SecondRule:
    return SecondRule("toy-1", "too wide", {"world": "no world here", "real": asked(gain())})


def test_the_first_edition_stands_in_where_nothing_of_today_was_run_and_says_so(both: Evidence) -> None:
    older = Evidence("toy", EMPTY, both.first)
    shown = drawing.forest(
        older, "a-b", "What helps?", {"gain": minus(A, B, "score")}, places=PLACES, first=PLACES, x="gain"
    )
    assert "first edition" in tiny.html(shown)
    assert drawing.found(older, {"gain": minus(A, B, "score")}, PLACES) is None  # places of its own, or none


def test_rows_are_shown_at_those_places_where_most_were_run(both: Evidence) -> None:
    kept = [r for r in both.judged.records if not (r.trial["arm"] == "sft" and r.trial["task"] == PLACES[0]["task"])]
    rows = {"level": level(A, "score"), "gain": minus(A, B, "score")}
    found = drawing.found(Evidence("toy", drawing.Outcomes.of(kept)), rows, PLACES)
    assert found is not None
    assert set(found.effects) == set(rows)
    assert found.places == PLACES[1:]


def test_scores_stay_between_zero_and_one_and_differences_do_not() -> None:
    e = Evidence("toy", table({"tell": 0.99, "sft": 0.01}, seeds=3))
    lines = {"tell": {1.0: level(A, "score"), 2.0: level(A, "score")}, "sft": {1.0: level(B, "score")}}
    text = repr(drawing.curve(e, "levels", "Levels.", lines, places=PLACES, x="tokens", y="score"))
    numbers = [float(cell) for line in text.splitlines()[6:] if "|" in line for cell in line.split("|")[3:6]]
    assert min(numbers) >= 0
    assert max(numbers) <= 1


def test_the_loss_of_what_was_known_is_a_row_like_any_other(both: Evidence) -> None:
    found = drawing.found(both, {"tell": level(A, LOSS, PROBES)}, PLACES)
    assert found is not None
    assert abs(found.effects["tell"].estimate) < 0.3


def test_figures_have_alt_text_and_their_numbers(both: Evidence) -> None:
    rows = {"tell - sft": minus(A, B, "score"), "tell - untouched": minus(A, {"arm": "untouched"}, "score")}
    shown = [
        drawing.forest(both, "effects", "Effects.", rows, places=PLACES, x="gain"),
        drawing.curve(
            both,
            "curve",
            "A curve.",
            {"tell": {1.0: level(A, "score"), 2.0: level(B, "score")}},
            places=PLACES,
            x="tokens",
            y="score",
        ),
    ]
    tiny.check_figures(shown)
    assert "+0.199" in repr(shown[0])
    cells = drawing.table(
        both, "Scores.", {"TELL": A, "SFT": B}, {"score": lambda cell: level(cell, "score")}, places=PLACES
    )
    assert "TELL" in repr(cells)


def test_without_records_an_exhibit_says_so() -> None:
    e = Evidence("toy", EMPTY)
    rows = {"gain": minus(A, B)}
    for shown in (
        drawing.forest(e, "f", "What helps?", rows, places=PLACES, x="gain"),
        drawing.curve(e, "c", "A curve", {"a": {1.0: level(A)}}, places=PLACES, x="x", y="y"),
        drawing.table(e, "A table", {"a": A}, {"score": level}, places=PLACES),
    ):
        assert "not run yet" in repr(shown)


def test_a_diagram_says_what_it_shows() -> None:
    page = Page(
        tiny.html(
            diagram(
                "way",
                "From one box to another one.",
                "A way.",
                [Box(0, 0, 50, 20, "a < b"), Box(90, 0, 50, 20, "c")],
                [(50, 10, 90, 10)],
            )
        )
    )
    assert page.all("svg")[0]["aria-label"] == "From one box to another one."
    assert "a < b" in page.words


def test_tables_say_what_their_cells_are() -> None:
    page = Page(html_table("Two arms", ("Arm", "Score"), [("tell", 0.5), ("sft", 0.25)]))
    assert len(page.all("caption")) == 1
    assert [cell["scope"] for cell in page.all("th")] == ["col"] * 2 + ["row"] * 2


# --- verdicts --------------------------------------------------------------------------------------------------------


def entry(outcomes: drawing.Outcomes) -> verdicts.Entry:
    rule = ruled()
    decisions: dict[str, Decision] = {column: decide(rule, column, outcomes) for column in rule.columns}
    first = {"date": "2026-01-01", "outcome": "partly", "measure": "m", "rule": "above", "reason": "so it was"}
    claim = Claim("toy-1", "Toys <help>.", "a paper", "7 points")
    return verdicts.Entry("tell", claim, rule, decisions, first, (Line("toy-line", "tell", 1.5, ("toy-1",)),))  # type: ignore[arg-type]


@pytest.fixture
def nothing_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "evidence", lambda study: Evidence(study, table(LEVELS)))


@pytest.mark.usefixtures("nothing_judged")
def test_a_card_says_the_sentence_the_verdict_why_the_paper_and_how_to_run_it_again() -> None:
    page = Page(tiny.html(verdicts.card(entry(table(LEVELS)))))
    for words in (
        "Toys <help>.",
        "reproduced",
        "lies above +0.02",
        "7 points (a paper)",
        "lowres campaign toy-line",
        "no world here",
        "First edition, 2026-01-01: partly",
    ):
        assert words in page.words
    assert page.all("article")[0]["id"] == "claim-toy-1"
    assert (
        len([1 for svg in page.all("svg") if "rule: above +0.02" in str(svg["aria-label"])]) == 3
    )  # mean and two places


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (EMPTY, "not run yet"),
        (table({"tell": 0.43, "sft": 0.41}), "too close to tell"),
        (table({"tell": 0.6, "sft": 0.4}, seeds=2), "too few seeds"),
        (table({"tell": 0.41, "sft": 0.41}), "not reproduced"),
    ],
)
@pytest.mark.usefixtures("nothing_judged")
def test_what_cannot_be_told_says_which_kind_it_is(outcomes: drawing.Outcomes, words: str) -> None:
    assert words in Page(tiny.html(verdicts.card(entry(outcomes)))).words


def test_the_script_can_move_margin_and_confidence_because_each_row_holds_its_numbers() -> None:
    one = decide(ruled(), "real", table(LEVELS)).effects["tell - sft"]
    row = Page(verdicts.intervals([("gain", one, Rule("above", 0.02))])).all("tr")[0]
    halves = [float(half) for half in str(row["data-halves"]).split(",")]
    assert halves == sorted(halves)
    assert halves[2] == pytest.approx((one.interval[1] - one.interval[0]) / 2, rel=1e-4)  # 95 % is what decides
    assert (row["data-kind"], row["data-boundary"]) == ("above", "0.02")


def test_a_picture_draws_zero_margin_and_interval_in_their_order() -> None:
    one = decide(ruled(), "real", table(LEVELS)).effects["tell - sft"]
    lines = {line["class"]: line for line in Page(verdicts.picture(one, Rule("above", 0.02), 0.5)).all("line")}
    assert float(lines["lowres-zero"]["x1"]) < float(lines["lowres-margin"]["x1"]) < float(lines["lowres-ends"]["x1"])  # type: ignore[arg-type]


def test_holm_takes_a_verdict_away_and_the_card_says_so() -> None:
    found = decide(ruled(), "real", table(LEVELS))
    lost = replace(
        found, outcome="cannot tell", p_adjusted=0.2, reason=f"reproduced if it stood alone (Holm); {found.reason}"
    )
    assert "(Holm)" in verdicts.why(lost, asked(gain()))
    assert "lost to Holm" in Page(verdicts.outcome_badge(lost)).words


def test_every_claim_of_the_book_has_a_card_and_a_place_on_the_scoreboard() -> None:
    listed = verdicts.every()
    assert [one.claim.name for one in listed] == [
        rule.claim for one in studies_in_order() for rule in rulebook.rules_of(one)
    ]
    board = verdicts.scoreboard()
    assert all(f"### {one.claim.name}\n" in board for one in listed)


def test_the_picture_in_readme_shows_the_verdicts_of_today() -> None:
    """After publishing: lowres verdicts --picture book/static/answer.svg."""
    assert "book/static/answer.svg" in (tiny.ROOT / "README.md").read_text()
    assert (tiny.ROOT / "book/static/answer.svg").read_text() == answer.answer_picture()


def studies_in_order() -> list[str]:
    return sorted(registry.study_names(), key=lambda name: str(registry.load(name).NOTEBOOK))


# --- parts of every page ---------------------------------------------------------------------------------------------


def live(arm: str, seed: int, score: float) -> Record:
    made = record(arm, "smollm2-135m-instruct", "boolq", seed, score)
    values = np.linspace(score - 0.1, score + 0.1, 20).tolist()
    cost = {"seconds": 3.0, "training_seconds": 1.0, "tokens_per_second": 10.0, "peak_memory_bytes": 2.0**30}
    return replace(made, outcomes={"task": {"accuracy": values, "target_nll": values}}, cost=cost)


def test_the_answer_has_a_sentence_for_every_outcome_and_no_number_of_its_own() -> None:
    listed = {entry.claim.name: entry for entry in verdicts.every()}
    for name, words in (pair for topic in verdicts.words_of("topics") for pair in topic["claims"].items()):
        parts = {len(asked.parts) for _, asked in listed[name].asked()}
        possible = {"reproduced", "not reproduced"} | ({"partly"} if max(parts) > 1 else set())
        assert {outcome for outcome in words if not outcome.startswith("real ")} == possible, name
        assert {outcome.removeprefix("real ") for outcome in words} <= possible, name
        for sentence, count in itertools.product(words.values(), parts):
            assert sentence.format(*[0.5] * count, size=[0.5] * count).endswith(".")
            assert not re.search(r"\d", re.sub(r"\{.*?\}", "", sentence)), sentence


def test_remarks_are_on_cards_of_that_outcome_and_hold_no_result() -> None:
    listed = {entry.claim.name: entry for entry in verdicts.every()}
    for name, remarks in verdicts.words_of("remarks").items():
        outcomes = {listed[name].decisions[column].outcome for column, _ in listed[name].asked()}
        for outcome, remark in remarks.items():
            assert outcome in ("reproduced", "partly", "not reproduced")
            assert not re.search(r"\d", re.sub(r"claim \d+", "", remark)), remark
            assert (remark in repr(verdicts.card(listed[name]))) == (outcome in outcomes)


def test_a_sentence_of_the_answer_is_that_of_the_outcome_and_names_a_real_model() -> None:
    decision = Decision("toy-1", "world", "reproduced", "", {"gain": SimpleNamespace(estimate=-0.25)}, {"gain": "yes"})
    asked = SimpleNamespace(parts=(SimpleNamespace(name="gain"),))
    entry = SimpleNamespace(
        study="tell",
        claim=SimpleNamespace(name="toy-1"),
        decisions={"world": decision, "real": decision},
        asked=lambda: [("world", asked), ("real", asked)],
    )
    said = [re.sub("<.*?>", "", one) for one in answer._lesson(entry, {"reproduced": "It costs {size[0]:.2f}."})]
    assert said == ["It costs 0.25 (toy-1).", "On a real model and real data it was the same (-0.25) (toy-1)."]
    assert list(answer._lesson(entry, {"not reproduced": "It is free."})) == []
    entry.decisions["world"] = replace(decision, outcome="cannot tell")
    said = [re.sub("<.*?>", "", one) for one in answer._lesson(entry, {"reproduced": "It costs {size[0]:.2f}."})]
    assert said == ["It costs 0.25 (real model and data, toy-1)."]
    entry.decisions["world"] = decision
    both = {"reproduced": "It costs {size[0]:.2f}.", "real reproduced": "It pays {0:.2f}."}
    assert [re.sub("<.*?>", "", one) for one in answer._lesson(entry, both)][1].startswith("It pays -0.25")


def test_the_live_table_has_a_line_per_arm_and_its_difference_to_the_first() -> None:
    shown = repr(
        parts.live_table([live("sft", 0, 0.4), live("sft", 1, 0.4), live("tell", 0, 0.7), live("tell", 1, 0.7)])
    )
    assert "+0.300" in shown
    assert "0.400 (" in shown


def test_at_tier_read_the_page_says_that_nothing_was_run() -> None:
    assert "No trial was run" in repr(parts.live_table([]))
    for name in registry.study_names():
        study = registry.load(name)
        chosen = study.Params(tier="read")
        assert registry.live(study, chosen) == []
        assert registry.execute(study, chosen, None) == []  # type: ignore[arg-type]


def test_a_failed_trial_stops_the_page() -> None:
    broken = replace(live("tell", 3, 0.5), status="failed", error="out of memory")
    with pytest.raises(IncompleteRun, match="tell, seed 3: out of memory"):
        insist_on_all([broken])


def test_controls_say_whether_they_behave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "evidence", lambda study: Evidence(study, table(LEVELS)))
    rows = {
        "learns": parts.Control(minus(A, B, "score"), "gain"),
        "nothing": parts.Control(minus(A, B, "score"), "no gain"),
        "missing": parts.Control(minus(A, {"arm": "nobody"}, "score"), "open"),
    }
    shown = repr(parts.controls("toy", rows, PLACES))
    assert [line.split("|")[3].strip() for line in shown.splitlines()[2:]] == ["behaves", "does not behave", "not run"]


@pytest.mark.parametrize("study", registry.study_names())
def test_no_html_of_a_page_of_records_stands_inside_of_another(study: str) -> None:
    fences = [line for line in pages.FRAGMENTS[f"records-{study}"](tiny.ROOT).splitlines() if line.startswith("```")]
    assert fences == ["```{raw} html", "```"] * (len(fences) // 2)


def test_the_table_of_records_has_every_published_test_trial() -> None:
    text = records.as_csv("tell")
    assert text.count("\n") == 1 + len(records.trials("tell"))
    assert "second" in text
    assert "first" in text
    Page(records.table("tell"))


def test_plain_papermill_refuses_a_misspelt_parameter(tmp_path) -> None:
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(tiny.ROOT / "notebooks/01_tell.ipynb"),
        str(tmp_path / "out.ipynb"),
    ]
    ran = subprocess.run(
        [*command, "-p", "tier", "read", "-p", "taks", "boolq"],
        cwd=tiny.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode
    assert "taks" in ran.stderr


# --- an exercise made of what is not published -----------------------------------------------------------------------


def test_an_exercise_asks_for_the_seeds_that_are_missing_and_says_their_price(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {"arm": "tell", "model": "smollm2-135m-instruct@1", "task": "toys", "recipe": {"task_tokens": 9}}
    planned = [{**spec, "seed": seed} for seed in range(10, 14)]
    study = SimpleNamespace(trials=lambda params: [SimpleNamespace(spec=lambda one=one: one) for one in planned])
    line = SimpleNamespace(name="some-line", hours=2.0, resolved=lambda: None, module=lambda: study)
    open_one = replace(entry(EMPTY), lines=(line,))  # type: ignore[arg-type]
    monkeypatch.setattr(unpublished, "entries", lambda study: (open_one,))

    def published(*seeds: int) -> str:
        records = [
            SimpleNamespace(trial={**one, "model": "smollm2-135m-instruct"}) for one in planned if one["seed"] in seeds
        ]
        monkeypatch.setattr(rulebook, "judged", lambda study: records)
        return repr(unpublished.still_open("loreft"))

    assert "seeds 10 to 13" in published()
    assert "about 2 core hours" in published()
    assert "seeds 12, 13" in published(10, 11)
    assert "about 1 core hours" in published(10, 11)
    assert "lowres campaign some-line" in published(10)
    assert "Every trial is published" in published(10, 11, 12, 13)
