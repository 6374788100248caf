"""What beta is worth: how good its answers are, how often tau copies them, what another beta makes of FIAT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lowres.data.examples import normalise
from lowres.data.rationales import OWN
from lowres.exhibits import average, measure, spelled
from lowres.markup import Shown, shown_table, shown_text
from lowres.studies import Where
from lowres.studies.fiat.evidence import Evidence
from lowres.studies.fiat.exhibits.common import (
    Row,
    examples_of,
    label,
    level,
    per_place,
    places,
    seeds_of,
    spoken,
    written_for,
)

if TYPE_CHECKING:
    from lowres.data import Example
    from lowres.data.rationales import Written
    from lowres.trial import Record

READERS = ("R0", "answer-only", "stripped", "wrong", "untouched-rationale")  # those that may copy, and who reads what
NONE = shown_text("Nobody wrote rationales in these records.")


def quality_table(evidence: Evidence) -> Shown:
    """Per beta: score of its answers, empty and cut rationales, length, time."""
    listed = [place for place in places(evidence) if evidence.betas(place)]
    return per_place(listed, lambda place: _quality(evidence, place), NONE)


def _quality(evidence: Evidence, place: Where) -> Shown:
    rows: list[Row] = []
    for beta in evidence.betas(place):
        scores = level(evidence, evidence.at(place, "beta", beta=beta)) if beta != OWN else None
        written = files_of(evidence, place, beta)
        rows.append((beta, spelled(scores) if scores is not None else "not run", *_shares(written)))
    header = (
        *("Beta", "Its answers (95 %)", "Rationales", "Empty", "Cut off", "No answer"),
        *("Tokens read", "Written", "Seconds"),
    )
    caption = f"Rationales for {label(place)}, of training and test items"
    return shown_table(caption, header, rows, stack=True)


def files_of(evidence: Evidence, place: Where, beta: str) -> list[Written]:
    """All rationales of a writer at a place, each file once; those of a vote are counted with the vote."""
    found: dict[str, list[Written]] = {}
    for point, seeds in evidence.points.items():
        if point.place == place and point.beta == beta and point.arm != "beta-vote":
            for record in seeds.values():
                name = record.trial["recipe"]["rationales"]
                if name not in found:
                    found[name] = list(written_for(place, record).values())
    return [one for written in found.values() for one in written]


def _shares(written: Sequence[Written]) -> Row:
    if not written:
        return ("file not at hand", *["-"] * 6)
    shares = ([not one.text for one in written], [one.truncated for one in written])
    unanswered = average(not one.answer for one in written)
    read, wrote, seconds = (
        average(getattr(one, name) for one in written) for name in ("prompt_tokens", "new_tokens", "seconds")
    )
    cells = (*(f"{average(one):.1%}" for one in shares), f"{unanswered:.1%}")
    return (len(written), *cells, f"{read:.0f}", f"{wrote:.0f}", f"{seconds:.2f}")


def by_beta(evidence: Evidence) -> Shown:
    """FIAT with rationales of different writers: R0, and what it adds to R1."""
    listed = [place for place in places(evidence) if len(evidence.betas(place)) > 1]
    nothing = shown_text("One beta was run; -p beta=NAME runs another one beside it.")
    return per_place(listed, lambda place: _by_beta(evidence, place), nothing)


def _by_beta(evidence: Evidence, place: Where) -> Shown:
    rows = []
    for beta in evidence.betas(place):
        arm = "own-rationale" if beta == OWN else "R0"
        answers = level(evidence, evidence.at(place, "beta", beta=beta)) if beta != OWN else None
        for size in evidence.sizes(place):
            point = evidence.at(place, arm, size, beta)
            scores, gain = level(evidence, point), evidence.effect(point, evidence.at(place, "R1", size))
            if scores is not None:
                own = f"{answers.mean():.3f}" if answers is not None else "-"
                added = gain.text() if gain else "R1 was not run"
                rows.append((f"{beta}, {size:,} examples", own, spelled(scores), added))
    if not rows:
        return shown_text(f"FIAT was not run with several writers on {label(place)}.")
    header = ("Who wrote", "Its own answers", f"FIAT, {measure(place)} (95 %)", "FIAT minus R1")
    return shown_table(f"FIAT by beta on {label(place)}", header, rows, stack=True)


# --- copying ---------------------------------------------------------------------------------------------------------


def copying(evidence: Evidence) -> Shown:
    """How often tau says what beta said, where beta is right and where it is wrong; R1 has not heard beta."""
    listed = [place for place in places(evidence) if _copying(evidence, place)]
    nothing = shown_text(
        "Copying cannot be counted: it takes R0's answers, and the file of the rationales that it read."
    )
    return per_place(listed, lambda place: _copying_table(evidence, place), nothing)


def _copying(evidence: Evidence, place: Where) -> list[Row]:
    rows: list[Row] = []
    size = max(evidence.sizes(place), default=0)
    heard = {r.trial["seed"]: r for r in seeds_of(evidence, evidence.at(place, "R0", size))}
    for name in (*READERS, "R1"):
        point = evidence.at(place, name, size)
        pairs = []
        for record in seeds_of(evidence, point):
            source = heard.get(record.trial["seed"], next(iter(heard.values()), None))
            if source is not None:
                pairs += list(_pairs(place, record, source))
        if pairs:
            rows.append((spoken(name, point.examples), *_counts(pairs)))
    return rows if any(str(row[0]).startswith("R0") for row in rows) else []


def _pairs(place: Where, record: Record, source: Record) -> Iterator[tuple[bool, bool, bool]]:
    """Per test item that beta answered: whether beta is right, whether tau says the same, whether tau is right."""
    written, examples = written_for(place, source), examples_of(place, record)
    for example, said in zip(examples, answers_of(record, examples), strict=False):
        theirs = written[example.id].answer if example.id in written else ""
        if theirs:
            yield _is_right(theirs, example), normalise(said) == normalise(theirs), _is_right(said, example)


def answers_of(record: Record, examples: Sequence[Example]) -> list[str]:
    """What a trial answered, item by item; none where it was not kept."""
    chosen = record.outcomes["task"].get("chosen")
    if chosen is not None:
        return [example.choices[int(index)] for example, index in zip(examples, chosen, strict=False)]
    return record.texts.get("task", [])


def _is_right(answer: str, example: Example) -> bool:
    return normalise(answer) in {normalise(one) for one in (*example.answers, example.target)}


def _counts(pairs: Sequence[tuple[bool, bool, bool]]) -> Row:
    cells: list[object] = []
    for right in (True, False):
        own = [pair for pair in pairs if pair[0] == right]
        same, good = (f"{average(pair[at] for pair in own):.0%}" if own else "-" for at in (1, 2))
        cells += [len(own), same, good]
    return tuple(cells)


def _copying_table(evidence: Evidence, place: Where) -> Shown:
    header = (
        *("Arm", "Items with beta right", "tau repeats it", "tau is right"),
        *("Items with beta wrong", "tau repeats it", "tau is right"),
    )
    caption = f"Tau and beta's answers on {label(place)}; R1 has not seen them, so it repeats them by chance alone"
    return shown_table(caption, header, _copying(evidence, place), stack=True)
