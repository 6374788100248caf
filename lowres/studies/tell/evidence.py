"""From records to what the page shows: scores, effects and verdicts of the TELL study.

Verdicts rest on the published records of the same model, task and tuner where there are any, else on the live run.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowres import world
from lowres.claims import Claim, Part, Rule, Verdict, judge_parts
from lowres.data import TaskOptions, load_task
from lowres.exhibits import process_hours
from lowres.studies import Gathered, decided, unseeded
from lowres.studies.tell.claims import CLAIMS, MARGIN
from lowres.studies.tell.params import Params

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lowres.stats import ChangePoint, Effect, Saving
    from lowres.trial import Record

PAGE = "notebooks/01_tell.html"
LARGE_BUDGET = 100_000
FEWEST_RATIOS = 5
TWINS = ("tell", "sft+anchor")


@dataclass(frozen=True)
class Point:
    """One arm at one budget: what a mean is taken over the seeds of."""

    arm: str
    task_tokens: int
    general_tokens: int


@dataclass(frozen=True)
class Evidence(Gathered[Params, Point]):
    """The records that figures and verdicts draw on; `metric` is that of the task."""

    metric: str

    @property
    def budget(self) -> int:
        """B: the smallest task budget at which TELL was run; else the smallest of the parameters."""
        found = [point.task_tokens for point in self.points if point.arm == "tell" and point.general_tokens]
        return min(found, default=min(self.params.task_tokens or (0,)))

    def at(self, arm: str, budget: int | None = None, ratio: float | None = None) -> Point:
        """The point of an arm at a budget (default B) and a ratio (default: the study's)."""
        from lowres.studies.tell.arms import ARMS

        kind, tokens = ARMS[arm], self.budget if budget is None else budget
        general = round(tokens * (self.params.ratio if ratio is None else ratio)) if kind.general else 0
        return Point(arm, tokens if kind.task else 0, general)

    def scores(self, point: Point, where: str = "task", measure: str = "") -> NDArray | None:
        """Outcomes of shape [seeds, items], seeds in ascending order; None where the point was not run."""
        import numpy as np

        seeds = self.points.get(point, {})
        rows = [seeds[seed].outcomes[where][measure or self.metric] for seed in sorted(seeds)]
        return np.array(rows) if rows else None

    def effect(self, treatment: Point, control: Point, where: str = "task", measure: str = "") -> Effect | None:
        """Treatment minus control on the same seeds and items; None where either was not run."""
        from lowres.stats import paired_effect

        pair = self._paired(treatment, control, where, measure or self.metric)
        return paired_effect(*pair) if pair else None

    def _paired(self, treatment: Point, control: Point, where: str, measure: str) -> tuple[NDArray, NDArray] | None:
        import numpy as np

        treated, controls = self._by_seed(treatment, control), self._by_seed(control, treatment)
        seeds = sorted(set(treated) & set(controls))
        if not seeds:
            return None
        first, second = ([side[seed].outcomes[where][measure] for seed in seeds] for side in (treated, controls))
        return np.array(first), np.array(second)

    def _by_seed(self, point: Point, other: Point) -> Mapping[int, Record]:
        """Records by seed; what has no randomness, a real model untouched, stands beside every seed of the other."""
        found = self.points.get(point, {})
        if point.arm == "untouched" and found and not world.is_world_model(self.params.model):
            return dict.fromkeys(self.points.get(other, {}), next(iter(found.values())))
        return found


# --- gathering -------------------------------------------------------------------------------------------------------


def gather(params: Params, live: Sequence[Record]) -> Evidence:
    """The evidence for this model, task and tuner: published records if there are any, else the live ones."""
    from lowres.published import read_published

    stored = [record for record in read_published("tell") if _is_about(params, record)]
    chosen = _largest_grid(stored) or [record for record in live if _is_about(params, record)]
    points: dict[Point, dict[int, Record]] = defaultdict(dict)
    for record in chosen:
        recipe = record.trial["recipe"]
        point = Point(record.trial["arm"], recipe["task_tokens"], recipe["general_tokens"])
        points[point][record.trial["seed"]] = record
    _name_both(points)
    return Evidence(params, dict(points), bool(stored), load_task(params.task, TaskOptions.of(params)).metric)


def _name_both(points: dict[Point, dict[int, Record]]) -> None:
    """TELL without general data is SFT with the anchor: where their rates at a budget are equal, one is both."""
    rates: dict[tuple[str, int], set[float]] = defaultdict(set)
    for point, seeds in points.items():
        if point.arm in TWINS:
            rates[point.arm, point.task_tokens] |= {r.trial["optimisation"]["learning_rate"] for r in seeds.values()}
    for point in [point for point in points if point.arm in TWINS and not point.general_tokens]:
        one, other = (rates.get((arm, point.task_tokens)) for arm in TWINS)
        if one == other:
            for arm in TWINS:
                twin = Point(arm, point.task_tokens, 0)
                points[twin] = {**points[point], **points.get(twin, {})}


def _is_about(params: Params, record: Record) -> bool:
    trial = record.trial
    tuner = trial["tuner"]["name"] if trial["tuner"] else params.tuner
    anchor = trial["recipe"]["anchor"] in ("none", params.anchor)
    named = (unseeded(trial["model"]), trial["task"], tuner) == (params.model, params.task, params.tuner)
    return record.status == "done" and trial["evaluation"]["split"] == "test" and named and anchor


def _largest_grid(records: Sequence[Record]) -> list[Record]:
    """Only records made and measured alike can be compared: of the most frequent evaluation, epochs and precision."""
    groups: dict[str, list[Record]] = defaultdict(list)
    untrained = []
    for record in records:
        optimisation = record.trial["optimisation"]
        if optimisation is None:
            untrained.append(record)
            continue
        how = (optimisation["epochs"], optimisation["batch_size"], record.provenance["precision"])
        groups[json.dumps([record.trial["evaluation"], *how])].append(record)
    if not groups:
        return untrained
    name, largest = max(groups.items(), key=lambda group: len(group[1]))
    evaluation = json.loads(name)[0]
    return largest + [record for record in untrained if record.trial["evaluation"] == evaluation]


# --- verdicts --------------------------------------------------------------------------------------------------------


def verdicts(evidence: Evidence) -> list[Verdict]:
    """The verdict on every claim."""
    return decided(evidence, CLAIMS, DECIDERS)


def scale(evidence: Evidence) -> str:
    """At which scale a verdict was reached, in words."""
    tell = evidence.points.get(evidence.at("tell"), {})
    example = next(iter(tell.values()), None)
    entries = f" ({example.counts['task_examples']} examples)" if example else ""
    items = example.items() if example else evidence.params.items
    return (
        f"{evidence.params.model}, {evidence.params.task}, {evidence.budget:,} task tokens{entries}, "
        f"{evidence.params.ratio:g} general tokens for each, {len(tell)} {'seed' if len(tell) == 1 else 'seeds'}, "
        f"{items} test items"
    )


def cost(evidence: Evidence) -> str:
    """What all records behind the verdicts took."""
    return process_hours(evidence.records)


def _verdict(
    evidence: Evidence, claim: Claim, parts: Sequence[Part], context: Mapping[str, Effect | Saving]
) -> Verdict:
    return judge_parts(claim, parts, context, scale(evidence), cost(evidence), PAGE)


def _low_budget(evidence: Evidence, claim: Claim) -> Verdict:
    sft, tell, untouched = (evidence.at(arm) for arm in ("sft", "tell", "untouched"))
    plenty = evidence.at("sft", 10 * evidence.budget)
    parts = [
        Part("SFT - untouched", evidence.effect(sft, untouched), Rule("below", MARGIN)),
        Part("TELL - untouched", evidence.effect(tell, untouched), Rule("above", MARGIN)),
        Part("TELL - SFT with ten times the task data", evidence.effect(tell, plenty), Rule("above", -MARGIN)),
    ]
    return _verdict(evidence, claim, parts, {})


def _large_budget(evidence: Evidence, claim: Claim) -> Verdict:
    budgets = sorted({point.task_tokens for point in evidence.points if point.arm == "tell"})
    large = [budget for budget in budgets if budget >= LARGE_BUDGET]
    if large:
        effect = evidence.effect(evidence.at("tell", large[-1]), evidence.at("sft", large[-1]))
        return _verdict(evidence, claim, [Part("TELL - SFT", effect, Rule("above", MARGIN))], {})
    small = evidence.effect(evidence.at("tell"), evidence.at("sft"))
    context: dict[str, Effect] = {f"TELL - SFT at {evidence.budget:,} tokens": small} if small else {}
    reason = f"no budget of {LARGE_BUDGET:,} task tokens or more was run; the gpu tier does"
    return Verdict(claim, "cannot tell", reason, context, scale(evidence), cost=cost(evidence), page=PAGE)


def _saving(evidence: Evidence, claim: Claim) -> Verdict:
    from lowres.stats import interpolate, paired_effect

    name = "TELL - SFT with five times the task data (interpolated)"
    curve, tell = sft_curve(evidence), evidence.scores(evidence.at("tell"))
    measured = bool(curve) and min(curve) <= 5 * evidence.budget <= max(curve)
    if tell is None or not measured or any(len(table) != len(tell) for table in curve.values()):
        return _verdict(evidence, claim, [Part(name, None, Rule("above", 0.0))], {})
    effect = paired_effect(tell, interpolate(curve, 5 * evidence.budget))
    context: dict[str, Effect | Saving] = {}
    saving = saved(evidence)
    if saving:
        context["Saving: SFT tokens for TELL's score per TELL token"] = saving
    return _verdict(evidence, claim, [Part(name, effect, Rule("above", 0.0))], context)


def sft_curve(evidence: Evidence) -> dict[int, NDArray]:
    """Scores [seeds, items] of SFT at every budget that was run."""
    budgets = sorted({point.task_tokens for point in evidence.points if point.arm == "sft"})
    found = {budget: evidence.scores(evidence.at("sft", budget)) for budget in budgets}
    return {budget: scores for budget, scores in found.items() if scores is not None}


def saved(evidence: Evidence) -> Saving | None:
    """How many times less task data TELL needs than SFT for the same score; None where the curve was not run."""
    from lowres.stats import token_saving

    curve, tell = sft_curve(evidence), evidence.scores(evidence.at("tell"))
    if tell is None or len(curve) < 2 or any(len(table) != len(tell) for table in curve.values()):
        return None
    return token_saving(curve, evidence.budget, tell)


def _both_ingredients(evidence: Evidence, claim: Claim) -> Verdict:
    tell = evidence.at("tell")
    others = {
        "TELL - SFT+anchor": "sft+anchor",
        "TELL - TELL without anchor": "tell-no-anchor",
        "TELL - general data alone": "general-only",
    }
    parts = [Part(name, evidence.effect(tell, evidence.at(arm)), Rule("above", MARGIN)) for name, arm in others.items()]
    return _verdict(evidence, claim, parts, {})


def _order(evidence: Evidence, claim: Claim) -> Verdict:
    tell = evidence.at("tell")
    others = {"TELL - task data first": "tell-task-first", "TELL - task data last": "tell-task-last"}
    parts = [Part(name, evidence.effect(tell, evidence.at(arm)), Rule("above", MARGIN)) for name, arm in others.items()]
    return _verdict(evidence, claim, parts, {})


def _equal_steps(evidence: Evidence, claim: Claim) -> Verdict:
    effect = evidence.effect(evidence.at("tell"), evidence.at("sft-equal-steps"))
    gain = evidence.effect(evidence.at("tell"), evidence.at("sft"))
    tokens = evidence.effect(evidence.at("tell"), evidence.at("sft-equal-tokens"))
    named = {"TELL - SFT, without the control": gain, "TELL - SFT with as many tokens": tokens}
    context = {name: one for name, one in named.items() if one}
    return _verdict(evidence, claim, [Part("TELL - SFT with as many updates", effect, Rule("above", MARGIN))], context)


def sweep(evidence: Evidence, measure: str) -> dict[float, NDArray]:
    """Outcomes [seeds, items] of TELL at B for every ratio of general to task tokens, 0 included."""
    budget = evidence.budget
    general = {point.general_tokens for point in evidence.points if point.arm == "tell" and point.task_tokens == budget}
    ratios = sorted({0.0, *(tokens / budget for tokens in general)})
    found = {ratio: evidence.scores(evidence.at("tell", ratio=ratio), measure=measure) for ratio in ratios}
    return {ratio: scores for ratio, scores in found.items() if scores is not None}


def jumps(evidence: Evidence) -> dict[str, ChangePoint]:
    """Line against jump over the ratios, for the task's metric and for the likelihood of the targets (seed means)."""
    from lowres.stats import change_point

    found = {}
    for name, measure, sign in ((evidence.metric, evidence.metric, 1), ("target likelihood", "target_nll", -1)):
        curve = sweep(evidence, measure)
        means = [sign * float(scores.mean()) for scores in curve.values()]
        found[name] = change_point(list(curve), means)
    return found


def _emergence(evidence: Evidence, claim: Claim) -> Verdict:
    ratios = len(sweep(evidence, evidence.metric))
    if ratios < FEWEST_RATIOS:
        reason = f"ratios that were run: {ratios}; {FEWEST_RATIOS} are needed to tell a jump from a slope"
        return Verdict(claim, "cannot tell", reason, {}, scale(evidence), cost=cost(evidence), page=PAGE)
    found = jumps(evidence)
    answers = {name: change.favours for name, change in found.items()}
    if all(answer == "jump" for answer in answers.values()):
        outcome = "reproduced"
    elif "smooth" in answers.values() or any(_is_flat(change) for change in found.values()):
        outcome = "not reproduced"
    else:
        outcome = "cannot tell"
    words = [
        f"{name}: {change.favours} (BIC flat {change.bic_flat:.1f}, line {change.bic_line:.1f}, "
        f"jump {change.bic_jump:.1f})"
        for name, change in found.items()
    ]
    reason = f"{'; '.join(words)}; {ratios} ratios, means over seeds"
    return Verdict(claim, outcome, reason, {}, scale(evidence), cost=cost(evidence), page=PAGE)  # type: ignore[arg-type]


def _is_flat(change: ChangePoint) -> bool:
    """No change at all fits better than line and jump by the margin of the claim."""
    return change.bic_flat + 2.0 <= min(change.bic_line, change.bic_jump)


DECIDERS = {
    "tell-1": _low_budget,
    "tell-2": _large_budget,
    "tell-3": _saving,
    "tell-4": _both_ingredients,
    "tell-5": _emergence,
    "tell-6": _order,
    "tell-9": _equal_steps,
}
