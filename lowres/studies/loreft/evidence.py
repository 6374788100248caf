"""From records to what the page shows: scores, effects and verdicts of the LoReFT study.

Verdicts rest on all published records, whatever their model and task; without any, on the live run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lowres import world
from lowres.claims import Claim, Part, Rule, Verdict, judge_parts
from lowres.data import TaskOptions
from lowres.exhibits import process_hours
from lowres.studies import Gathered, Where, decided
from lowres.studies.loreft import claims
from lowres.studies.loreft.arms import ARMS, MIDDLE, Arm, chosen_rates
from lowres.studies.loreft.claims import CLAIMS, MARGIN
from lowres.studies.loreft.params import Params

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lowres.stats import Effect, Saving
    from lowres.trial import Record

PAGE = "notebooks/04_loreft.html"
CURVED = "loreft"  # the arm of which curves vary one option


@dataclass(frozen=True)
class Point:
    """One arm at one budget: what a mean is taken over the seeds of. `options` are those that differ from the arm's."""

    where: Where
    arm: str
    task_tokens: int
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Evidence(Gathered[Params, Point]):
    """The records that figures and verdicts draw on; `tuned` are those of the tuning."""

    tuned: Sequence[Record]

    @property
    def main(self) -> Where:
        """The model and task that the page was asked for."""
        return Where(self.params.model or "", self.params.task or "", TaskOptions.of(self.params))

    @property
    def places(self) -> list[Where]:
        """Every model and task that something was run on."""
        return list(dict.fromkeys(point.where for point in self.points))

    def budget(self, where: Where) -> int:
        """The largest budget of task tokens at a place: that of its arms; the curve over data has smaller ones."""
        return max((point.task_tokens for point in self.points if point.where == where), default=0)

    def at(self, where: Where, arm: str, share: float = 1.0, **options: Any) -> Point:
        """The point of an arm at a place, with a share of its budget."""
        tokens = round(share * self.budget(where)) if ARMS[arm].tuner else 0
        return Point(where, arm, tokens, tuple(options.items()))

    def scores(self, point: Point, outcome: str = "task", measure: str = "") -> NDArray | None:
        """Outcomes of shape [seeds, items], seeds in ascending order; None where the point was not run."""
        import numpy as np

        found = self._rows(self.points.get(point, {}), point, outcome, measure)
        return np.array([found[seed] for seed in sorted(found)]) if found else None

    def _rows(
        self, records: Mapping[int, Record], point: Point, outcome: str, measure: str
    ) -> dict[int, Sequence[float]]:
        """The items of every seed on which this was measured."""
        name = measure or point.where.metric
        rows = {seed: record.outcomes.get(outcome, {}).get(name) for seed, record in records.items()}
        return {seed: row for seed, row in rows.items() if row is not None}

    def _by_seed(self, point: Point) -> Mapping[int, Record]:
        """Records by seed; an untouched model that has no seeds stands beside every seed."""
        found = self.points.get(point, {})
        if point.arm == "untouched" and not point.where.is_world and found:
            seeds = {seed for other, records in self.points.items() if other.where == point.where for seed in records}
            return dict.fromkeys(seeds, next(iter(found.values())))
        return found

    def pair(
        self, more: Point, less: Point, outcome: str = "task", measure: str = ""
    ) -> tuple[NDArray, NDArray] | None:
        """Outcomes of two points on the seeds that both have, each [seeds, items]; None where there are none."""
        import numpy as np

        first, second = (self._rows(self._by_seed(point), point, outcome, measure) for point in (more, less))
        seeds = sorted(set(first) & set(second))
        return (np.array([first[s] for s in seeds]), np.array([second[s] for s in seeds])) if seeds else None

    def effect(self, more: Point, less: Point, outcome: str = "task", measure: str = "") -> Effect | None:
        """The first minus the second on the same seeds and items; None where either was not run, or for one number."""
        from lowres.stats import paired_effect

        pair = self.pair(more, less, outcome, measure)
        return paired_effect(*pair) if pair and pair[0].size > 1 else None


# --- gathering -------------------------------------------------------------------------------------------------------


def gather(params: Params, live: Sequence[Record]) -> Evidence:
    """The published records; the live ones too where nothing is published about their model and task.

    A smoke run is only shown where there is nothing else: its few items would stand beside real evidence.
    """
    from lowres.published import read_published

    stored = [record for record in read_published("loreft") if record.status == "done"]
    known = {Where.of(record) for record in stored}
    shown = [] if stored and params.tier == "smoke" else live
    chosen = stored + [r for r in shown if r.status == "done" and Where.of(r) not in known]
    tuned = [record for record in chosen if record.trial["arm"].startswith("tuning ")]
    tested = [record for record in chosen if record.trial["evaluation"]["split"] == "test"]
    known_rates = {where: chosen_rates(r for r in tuned if Where.of(r) == where) for where in map(Where.of, tuned)}
    points: dict[Point, dict[int, Record]] = defaultdict(dict)
    for record in sorted(_comparable(tested), key=lambda record: len(record.outcomes)):  # the fullest one stays
        for point in points_of(record, known_rates.get(Where.of(record), {})):
            points[point][record.trial["seed"]] = record
    return Evidence(params, dict(points), bool(stored), tuned)


def points_of(record: Record, rates: Mapping[str, float]) -> list[Point]:
    """The points that a record stands for: its arm's, and those of arms that mean the very same trial.

    So LoReFT of half the rank is a point of the curve over ranks too, if both have the same rate. A record at another
    rate than the one that was chosen for an arm stands for none: it was made before more rates were tried.
    """
    optimisation, own = record.trial["optimisation"], ARMS[record.trial["arm"]]
    rate = optimisation["learning_rate"] if optimisation else None
    found = []
    for arm in ARMS.values():
        if (arm.tuner, arm.labels, arm.epochs) != (own.tuner, own.labels, own.epochs):
            continue
        point, varied = _point(record, arm), arm.name == CURVED or arm is own
        at_rate = rates.get(arm.rate_of or arm.name, rate) == rate
        if at_rate and len(point.options) <= varied:
            found.append(point)
    return found


def _point(record: Record, arm: Arm) -> Point:
    """Where a record belongs if it is one of this arm: with the options that differ from the arm's own."""
    from lowres import tuners

    trial = record.trial
    usual = tuners.make(arm.tuner, **arm.options) if arm.tuner else None
    differing = {
        name: value
        for name, value in (trial["tuner"] or {}).items()
        if name != "name" and value != getattr(usual, name) and getattr(usual, name) != MIDDLE
    }
    return Point(Where.of(record), arm.name, trial["recipe"]["task_tokens"], tuple(differing.items()))


def _comparable(records: Sequence[Record]) -> list[Record]:
    """Only records made and measured alike can be compared: the most frequent setting at a place's largest budget.

    The largest budget is the one that arms are compared at (`Evidence.budget`). Which probes were measured besides does
    not matter to the task, but those that are compared must have the same items.
    """
    found = []
    for where in dict.fromkeys(map(Where.of, records)):
        group = [record for record in records if Where.of(record) == where]
        tuned = [record for record in group if record.trial["tuner"]]
        largest = max((_task_tokens(record) for record in tuned), default=0)
        at_largest = [record for record in tuned if _task_tokens(record) == largest]
        if at_largest:
            usual = {setting: _most_frequent(map(setting, at_largest)) for setting in (_testing, _training)}
            group = [r for r in group if _testing(r) == usual[_testing]]
            group = [r for r in group if not r.trial["tuner"] or _training(r) == usual[_training]]
            probing = _most_frequent(map(_probing, [r for r in at_largest if _probing(r)] or at_largest))
            group = [r if _probing(r) == probing else _without_probes(r) for r in group]
        found += group
    return found


def _most_frequent(values: Iterable[Any]) -> Any:
    return Counter(values).most_common(1)[0][0]


def _task_tokens(record: Record) -> int:
    return int(record.trial["recipe"]["task_tokens"])


def _testing(record: Record) -> tuple[Any, ...]:
    return record.trial["evaluation"]["split"], record.trial["evaluation"]["items"]


def _probing(record: Record) -> int:
    """Items per probe; 0 where none was measured."""
    return int(record.trial["evaluation"]["probe_items"]) if record.trial["evaluation"]["probes"] else 0


def _without_probes(record: Record) -> Record:
    return replace(record, outcomes={"task": record.outcomes["task"]})


def _training(record: Record) -> tuple[Any, ...]:
    optimisation = record.trial["optimisation"]
    return optimisation["epochs"], optimisation["batch_size"], record.provenance.get("precision", "")


def rates(evidence: Evidence, where: Where) -> dict[str, float]:
    """The chosen learning rate of each arm at a place."""
    return chosen_rates(record for record in evidence.tuned if Where.of(record) == where)


# --- contrasts over places -------------------------------------------------------------------------------------------


def on_tasks(evidence: Evidence, tasks: Iterable[str]) -> list[Where]:
    """The places of real models whose task is among these."""
    listed = tuple(tasks)
    return [where for where in evidence.places if where.task in listed and not where.is_world]


def in_worlds(evidence: Evidence, task: str = "") -> list[Where]:
    """The places of world models, small ones first; encoder-decoders and instruction-tuned ones are left out.

    Without a task: all but those where facts are told, which are there for the length of answers alone.
    """
    sizes = list(world.DECODERS)
    found = []
    for where in evidence.places:
        wanted = where.task == task if task else not where.task.startswith(claims.TELLING)
        parsed = world.parse(where.model) if where.is_world and wanted else "no world model"
        if not isinstance(parsed, str) and not parsed.encdec and not parsed.instruct and parsed.level is None:
            found.append((sizes.index(parsed.size), where))
    return [where for _, where in sorted(found, key=lambda one: one[0])]


Choose = Callable[[Evidence, Where], tuple[Point, Point]]


def arms(more: str, less: str) -> Choose:
    """Chooses two arms at a place."""
    return lambda evidence, where: (evidence.at(where, more), evidence.at(where, less))


def contrast(evidence: Evidence, places: Sequence[Where], choose: Choose) -> Effect | None:
    """The first of two points minus the second, over the items of all places where both were run, on common seeds."""
    from lowres.stats import paired_effect

    table = difference_table(evidence, places, choose)
    return None if table is None or table[0].size == 1 else paired_effect(*table)


def difference_table(evidence: Evidence, places: Sequence[Where], choose: Choose) -> tuple[NDArray, NDArray] | None:
    """Both sides [seeds, items of all places]; the first seeds of a place count where places have different numbers."""
    import numpy as np

    found = [pair for where in places if (pair := evidence.pair(*choose(evidence, where))) is not None]
    if not found:
        return None
    seeds = min(len(pair[0]) for pair in found)
    first, second = (np.concatenate([pair[side][:seeds] for pair in found], axis=1) for side in (0, 1))
    return first, second


# --- verdicts --------------------------------------------------------------------------------------------------------


def verdicts(evidence: Evidence) -> list[Verdict]:
    """The verdict on every claim; where something is published, live records of other places decide nothing."""
    evidence = gather(evidence.params, []) if evidence.published else evidence
    return decided(evidence, CLAIMS, DECIDERS)


def scale(evidence: Evidence, places: Sequence[Where]) -> str:
    """At which scale a verdict was reached, in words."""
    words = []
    for where in places:
        runs = {point: seeds for point, seeds in evidence.points.items() if point.where == where}
        seeds = max(map(len, runs.values()), default=0)
        records = [record for found in runs.values() for record in found.values()]
        example = max(records, key=_task_examples, default=None)
        if example is not None and _task_examples(example):
            examples, items = _task_examples(example), len(next(iter(example.outcomes["task"].values())))
            words.append(
                f"{where.model} on {where.task} (training examples: {examples}, test items: {items}, "
                f"seeds: up to {seeds})"
            )
    return "; ".join(words) or "nothing of the kind was run"


def _task_examples(record: Record) -> int:
    return record.counts.get("task_examples", 0)


def _verdict(
    evidence: Evidence,
    claim: Claim,
    places: Sequence[Where],
    parts: Sequence[Part],
    context: Mapping[str, Effect | None] | None = None,
) -> Verdict:
    records = [record for point, seeds in evidence.points.items() if point.where in places for record in seeds.values()]
    beside: dict[str, Effect | Saving] = {name: one for name, one in (context or {}).items() if one is not None}
    return judge_parts(claim, parts, beside, scale(evidence, places), process_hours(records), PAGE)


def _commonsense(evidence: Evidence, claim: Claim) -> Verdict:
    places, worlds = on_tasks(evidence, claims.COMMONSENSE), in_worlds(evidence)
    rivals = {"LoReFT - LoRA": "lora", "LoReFT - LoRA of equal size and reach": "lora-at-positions"}
    rule = Rule("above", MARGIN)
    parts = [Part(name, contrast(evidence, places, arms("loreft", arm)), rule) for name, arm in rivals.items()]
    context = {f"{name}, world": contrast(evidence, worlds, arms("loreft", arm)) for name, arm in rivals.items()}
    return _verdict(evidence, claim, places, parts, context)


def _long_answers(evidence: Evidence, claim: Claim) -> Verdict:
    from lowres.stats import paired_effect, spread

    long, short = in_worlds(evidence, claims.LONG_ANSWERS), in_worlds(evidence, claims.SHORT_ANSWERS)
    leads = [_lead(evidence, places) for places in (long, short)]
    beyond = None
    if leads[0] is not None and leads[1] is not None:
        seeds, slots = min(len(leads[0]), len(leads[1])), max(leads[0].shape[1], leads[1].shape[1])
        beyond = paired_effect(spread(leads[0][:seeds], slots), spread(leads[1][:seeds], slots))
    rule = Rule("above", 0.0)
    parts = [
        Part("LoRA - LoReFT, long answers", contrast(evidence, long, arms("lora", "loreft")), rule),
        Part("LoReFT - prefix tuning, long answers", contrast(evidence, long, arms("loreft", "prefix")), rule),
        Part("LoRA's lead, long - short answers", beyond, rule),
    ]
    context = {
        "LoRA - LoReFT, short answers": contrast(evidence, short, arms("lora", "loreft")),
        "LoReFT's lead in nats per token, long answers": likelihood_gain(evidence, long, "lora"),
        "LoReFT's lead in nats per token, short answers": likelihood_gain(evidence, short, "lora"),
        "LoRA of LoReFT's size, all positions - LoReFT's, short answers": contrast(
            evidence, short, arms("lora-matched", AT_POSITIONS)
        ),
        "LoRA of LoReFT's size, all positions - LoReFT's, long answers": contrast(
            evidence, long, arms("lora-matched", AT_POSITIONS)
        ),
        "LoRA - LoReFT, worked arithmetic": contrast(
            evidence, on_tasks(evidence, claims.WORKED), arms("lora", "loreft")
        ),
    }
    return _verdict(evidence, claim, [*long, *short], parts, context)


def _lead(evidence: Evidence, places: Sequence[Where]) -> NDArray | None:
    """By how much LoRA is ahead of LoReFT, [seeds, items]."""
    table = difference_table(evidence, places, arms("lora", "loreft"))
    return None if table is None else table[0] - table[1]


def _instructions(evidence: Evidence, claim: Claim) -> Verdict:
    places, rule = on_tasks(evidence, claims.INSTRUCTIONS), Rule("above", 0.0)
    names = {"LoRA": "lora", "RED": "red", "full tuning": "full"}
    parts = [
        Part(f"LoReFT - {name}", contrast(evidence, places, arms("loreft", arm)), rule) for name, arm in names.items()
    ]
    return _verdict(evidence, claim, places, parts)


def _small_suffices(evidence: Evidence, claim: Claim) -> Verdict:
    places, worlds, rule = on_tasks(evidence, claims.COMMONSENSE), in_worlds(evidence), Rule("above", -MARGIN)

    def less_data(evidence: Evidence, where: Where) -> tuple[Point, Point]:
        return evidence.at(where, "loreft", share=0.5), evidence.at(where, "loreft")

    choices = {"half the rank - LoReFT": arms("loreft-half-rank", "loreft"), "half the data - LoReFT": less_data}
    parts = [Part(name, contrast(evidence, places, choose), rule) for name, choose in choices.items()]
    context = {f"{name}, world": contrast(evidence, worlds, choose) for name, choose in choices.items()}
    return _verdict(evidence, claim, places, parts, context)


def _classification(evidence: Evidence, claim: Claim) -> Verdict:
    places = on_tasks(evidence, claims.CLASSIFICATION)
    effect = contrast(evidence, places, arms("loreft", "lora"))
    return _verdict(evidence, claim, places, [Part("LoReFT - LoRA", effect, Rule("within", MARGIN))])


def _direft(evidence: Evidence, claim: Claim) -> Verdict:
    real = [where for where in evidence.places if not where.is_world]
    named = {f"{where.task}, {where.model}": [where] for where in real} | {"the world's task": in_worlds(evidence)}
    effects = {name: contrast(evidence, places, arms("loreft", "direft")) for name, places in named.items()}
    rule = Rule("above", 0.0)
    parts = [Part(f"LoReFT - DiReFT, {name}", effect, rule) for name, effect in effects.items() if effect is not None]
    places = [where for name, effect in effects.items() if effect is not None for where in named[name]]
    return _verdict(evidence, claim, places, parts)


def _half_as_long(evidence: Evidence, claim: Claim) -> Verdict:
    places, worlds = on_tasks(evidence, claims.COMMONSENSE), in_worlds(evidence)
    effect = contrast(evidence, places, arms("loreft-half-epochs", "lora"))
    choices = {
        "half as many updates - LoReFT": arms("loreft-half-epochs", "loreft"),
        "LoReFT - LoRA": arms("loreft", "lora"),
    }
    context = {name: contrast(evidence, places, choose) for name, choose in choices.items()}
    context |= {f"{name}, world": contrast(evidence, worlds, choose) for name, choose in choices.items()}
    part = Part("LoReFT with half as many updates - LoRA", effect, Rule("above", MARGIN))
    return _verdict(evidence, claim, places, [part], context)


AT_POSITIONS = "lora-at-positions"
PARAMETRISATIONS = {"no-subtraction": "within", "non-orthogonal": "within", "constant": "above", "bias-only": "above"}


def _parametrisation(evidence: Evidence, claim: Claim) -> Verdict:
    places = in_worlds(evidence)
    parts = [
        Part(f"LoReFT - {name}", contrast(evidence, places, arms("loreft", f"loreft-{name}")), Rule(kind, MARGIN))  # type: ignore[arg-type]
        for name, kind in PARAMETRISATIONS.items()
    ]
    context = {
        f"LoReFT - {name}, likelihood of the targets": likelihood_gain(evidence, places, f"loreft-{name}")
        for name in PARAMETRISATIONS
    }
    return _verdict(evidence, claim, places, parts, context)


def likelihood_gain(evidence: Evidence, places: Sequence[Where], arm: str) -> Effect | None:
    """By how many nats per token targets are likelier under LoReFT than under an arm; a measure without ceiling."""
    import numpy as np

    from lowres.stats import paired_effect

    pairs = [
        pair
        for where in places
        if (pair := evidence.pair(evidence.at(where, arm), evidence.at(where, "loreft"), measure="target_nll"))
    ]
    if not pairs:
        return None
    seeds = min(len(pair[0]) for pair in pairs)
    return paired_effect(*(np.concatenate([pair[side][:seeds] for pair in pairs], axis=1) for side in (0, 1)))


def _with_scale(evidence: Evidence, claim: Claim) -> Verdict:
    from lowres.stats import paired_effect

    places = in_worlds(evidence)
    gaps = [lead for where in places if (lead := _lead(evidence, [where])) is not None]
    effect = None
    if len(gaps) > 1:
        seeds = min(len(gaps[0]), len(gaps[-1]))
        effect = paired_effect(gaps[0][:seeds], gaps[-1][:seeds])
    context = {f"LoRA - LoReFT, {where.model}": contrast(evidence, [where], arms("lora", "loreft")) for where in places}
    part = Part("LoRA's lead, smallest - largest", effect, Rule("above", 0.0))
    return _verdict(evidence, claim, places, [part], context)


RECITED_WORDS = 32


def _memory(evidence: Evidence, claim: Claim) -> Verdict:
    from lowres.stats import mean_interval

    found = {}
    for name, kind in (("text", ""), ("random words", "random-")):
        places = on_tasks(evidence, [f"{claims.RECITED}{kind}{RECITED_WORDS}"])
        scores = evidence.scores(evidence.at(places[0], "recall")) if places else None
        found[name] = None if scores is None or scores.size == 1 else scores  # a single number has no interval
    text, noise = found["text"], found["random words"]
    both = None
    if text is not None and noise is not None:
        from lowres.stats import paired_effect

        seeds = min(len(text), len(noise))
        both = paired_effect(text[:seeds], noise[:seeds]) if seeds > 1 else None
    parts = [
        Part(f"text of {RECITED_WORDS} words", None if text is None else mean_interval(text), Rule("above", 0.9)),
        Part("text - random words", both, Rule("above", MARGIN)),
    ]
    places = [where for where in evidence.places if where.task.startswith(claims.RECITED)]
    return _verdict(evidence, claim, places, parts)


DECIDERS: dict[str, Callable[[Evidence, Claim], Verdict]] = {
    "loreft-1": _commonsense,
    "loreft-2": _long_answers,
    "loreft-3": _instructions,
    "loreft-4": _small_suffices,
    "loreft-5": _classification,
    "loreft-6": _direft,
    "loreft-7": _half_as_long,
    "loreft-8": _parametrisation,
    "loreft-9": _with_scale,
    "loreft-10": _memory,
}
