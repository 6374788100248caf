"""The arms of the FIAT study: the ladder, the factorial that it is a path through, controls and baselines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from lowres.data import TaskOptions
from lowres.studies import TUNING_SEED, best_rates, seeded, tuned_arm, unseeded

if TYPE_CHECKING:
    from lowres.studies.fiat.params import Params
    from lowres.trial import Record, Trial

USUAL_RATES = {"lora": (3e-3, 1e-3), "full": (1e-3, 5e-5)}  # the middle of the rates tried: of world models, of others
FACTORS = {"C": "rationale as input", "I": "instruction", "P": "LoRA", "B": "instruction-tuned base"}
LADDER = {"R0": "CIPB", "R1": "IPB", "R2": "PB", "R3": "B", "R4": ""}
LADDER_WORDS = {
    "R0": "FIAT: rationale, instruction, LoRA, instruction-tuned base",
    "R1": "without the rationale",
    "R2": "nor the instruction",
    "R3": "nor LoRA: all parameters",
    "R4": "nor the instruction-tuned base: conventional fine-tuning",
}
SHOTS = (1, 2, 4, 8)
CURVED = ("R0", "R1", "R2")


TUNING_ITEMS = 100  # validation examples that decide on a learning rate


@dataclass(frozen=True)
class Arm:
    """One line of the study. `factors` are the letters of what is present; `use` is that of the rationale."""

    name: str
    meaning: str
    factors: str = ""
    use: str = "none"
    kind: str = "ladder"
    tuned: bool = True
    shots: int = 0
    rationales: str = ""  # empty: those of the study's beta

    @property
    def tuner(self) -> str:
        """The way of tuning; empty for none."""
        return ("lora" if "P" in self.factors else "full") if self.tuned else ""

    @property
    def anchor(self) -> str:
        """The anchor prompt of its recipe."""
        return "hand-written" if "I" in self.factors else "none"


def _factorial() -> list[Arm]:
    """The cells of the 2^4 factorial that are not on the ladder."""
    cells = ["".join(chosen) for size in range(5) for chosen in combinations("CIPB", size)]
    found = []
    for cell in cells:
        if cell not in LADDER.values():
            words = ", ".join(FACTORS[letter] for letter in cell)
            found.append(Arm(cell, f"only {words}", cell, "input" if "C" in cell else "none", "factorial"))
    return found


def _untuned(name: str, meaning: str, factors: str = "", use: str = "none", shots: int = 0) -> Arm:
    return Arm(name, meaning, factors, use, "untuned", tuned=False, shots=shots)


def _control(name: str, meaning: str, use: str, rationales: str = "") -> Arm:
    return Arm(name, f"R0 with {meaning}", "CIPB", use, "control", rationales=rationales)


_ALL = (
    *(Arm(name, LADDER_WORDS[name], cell, "input" if "C" in cell else "none") for name, cell in LADDER.items()),
    *_factorial(),
    _control("answer-only", "beta's answer alone in place of its reasoning", "answer"),
    _control("stripped", "the reasoning alone, beta's answer taken out", "stripped"),
    _control("wrong", "the rationale of another example, in training and test", "wrong"),
    _control("own-rationale", "the rationale that comes with the data", "input", "own"),
    Arm("distilled", "R1 that also learns to write the rationale (distilled)", "IPB", "target", "rival"),
    _untuned("untouched", "tau as it is", "B"),
    _untuned("untouched-instruction", "tau as it is, told what to do", "IB"),
    _untuned("untouched-rationale", "tau as it is, told what to do, given the rationale", "CIB", "input"),
    *(_untuned(f"shots-{k}", f"tau as it is, shown {k} solved examples", "IB", shots=k) for k in SHOTS),
    _untuned("beta", "beta's own answer: chain of thought in context", use="as-answer"),
    _untuned("beta-vote", "the majority of beta's sampled answers (self-consistency)", use="as-vote"),
)
ARMS = {arm.name: arm for arm in _ALL}
RATE_OF = {(arm.tuner, "B" in arm.factors): arm.name for arm in map(ARMS.__getitem__, ("R2", "R3", "R4", "P"))}


@dataclass(frozen=True)
class Setting:
    """An arm with the size of its training set, and the share of the updates after which it stops."""

    arm: str
    examples: int
    share: float = 1.0


def settings(params: Params) -> list[Setting]:
    """Everything that is to be run for each seed: arms by size, what is not tuned once only, then the curve."""
    names = [name for name in params.arms or () if is_possible(params, ARMS[name])]
    sizes = params.examples or ()
    found = [Setting(name, 0) for name in names if not ARMS[name].tuned]
    found += [Setting(name, size) for size in sizes for name in names if ARMS[name].tuned]
    curved = [name for name in CURVED if name in names]
    return found + [Setting(name, max(sizes), share) for share in params.curve or () for name in curved]


def is_possible(params: Params, arm: Arm) -> bool:
    """Whether the models and rationales at hand allow an arm; the others are left out, and the page says so."""
    from lowres.data.rationales import OWN
    from lowres.studies.fiat.params import NO_BASE

    if arm.use not in ("as-answer", "as-vote") and "B" not in arm.factors and params.base == NO_BASE:
        return False
    if arm.use == "as-vote" and not params.samples:
        return False
    if params.beta == OWN and arm.use in ("answer", "as-answer", "as-vote"):
        return False  # what the data's own rationales come to is the target itself
    return arm.rationales != "own" or _has_own(params)


def _has_own(params: Params) -> bool:
    from lowres.data import load_task

    return load_task(params.task or "", TaskOptions.of(params)).train[0].rationale is not None


def left_out(params: Params) -> list[str]:
    """The arms asked for that are not possible here."""
    return [name for name in params.arms or () if not is_possible(params, ARMS[name])]


# --- trials ----------------------------------------------------------------------------------------------------------


def tuning(params: Params) -> list[Trial]:
    """One trial per way of tuning, base and size, at each candidate rate, judged on validation data.

    The arms that decide have neither rationale nor instruction; all others of the same tuner and base take their rate.
    So the rate is the baseline's best, and whatever is put on top has not been tuned for.
    """
    factors = params.rate_factors or ()
    if len(factors) < 2:
        return []
    needed = {rate_arm(setting.arm) for setting in settings(params) if ARMS[setting.arm].tuned}
    return [
        _tuning_trial(params, Setting(name, size), factor * usual_rate(params.tau or "", ARMS[name].tuner))
        for factor in factors
        for size in params.examples or ()
        for name in RATE_OF.values()
        if name in needed
    ]


def _tuning_trial(params: Params, setting: Setting, rate: float) -> Trial:
    trial = _trial(params, setting, TUNING_SEED, rate, min(params.seeds or (0,)))
    evaluation = replace(trial.evaluation, split="validation", items=TUNING_ITEMS)
    return replace(trial, arm=f"tuning {setting.arm}", evaluation=evaluation)


def rate_arm(name: str) -> str:
    """The arm whose learning rate an arm takes: same tuner, same base, bare input."""
    arm = ARMS[name]
    return RATE_OF[arm.tuner, "B" in arm.factors]


def trials(params: Params, tuned: Sequence[Record] = ()) -> list[Trial]:
    """All trials, seed by seed.

    Args:
        tuned: records of `tuning`; without any, the published ones decide.

    Raises:
        InputError: more examples than the data have.
    """
    from lowres.data import load_task, rationales
    from lowres.data.mixing import take_examples

    task = load_task(params.task or "", TaskOptions.of(params))
    take_examples(rationales.pool_of(task, params.pool or 0), max(params.examples or (0,)), 0, f"task {task.name!r}")
    rates = learning_rates(params, tuned)
    found = [
        (place, _trial(params, setting, seed, _rate(params, setting, rates), seed))
        for setting in settings(params)
        for place, seed in enumerate(_seeds(params, ARMS[setting.arm]))
    ]
    return list(dict.fromkeys(trial for _, trial in sorted(found, key=lambda one: one[0])))


def _seeds(params: Params, arm: Arm) -> tuple[int, ...]:
    """What is not tuned has no randomness but that of a world model's pretraining, or of the solved examples shown."""
    from lowres import world

    seeds = params.seeds or ()
    return seeds if arm.tuned or arm.shots or world.is_world_model(params.tau or "") else seeds[:1]


def _trial(params: Params, setting: Setting, seed: int, rate: float, model_seed: int) -> Trial:
    from lowres import tuners
    from lowres.optimisation import Optimisation
    from lowres.studies.fiat import writing
    from lowres.trial import Evaluation, Recipe, Trial

    arm = ARMS[setting.arm]
    instructed = "B" in arm.factors or not arm.tuned
    steps = max(1, round(setting.share * (params.updates or 1)))
    optimisation = Optimisation(rate, steps=steps, batch_size=params.batch_size)
    return Trial(
        study="fiat",
        arm=arm.name,
        model=seeded((params.tau if instructed else params.base) or "", model_seed),
        task=params.task or "",
        recipe=Recipe(
            task_examples=setting.examples,
            pool=(params.pool or 0)
            if arm.tuned or arm.use == "input"
            else 0,  # rationales are there for the pool alone
            anchor=arm.anchor,
            shots=arm.shots,
            rationale=arm.use,
            rationales=writing.file_name(params, arm, model_seed) if arm.use != "none" else "",
        ),
        tuner=tuners.make(arm.tuner) if arm.tuned else None,
        optimisation=optimisation if arm.tuned else None,
        evaluation=Evaluation(items=params.items),
        seed=seed,
        options=TaskOptions.of(params),
        chat_format="auto" if params.chat_format == "on" and not instructed else params.chat_format,  # a base has none
    )


# --- learning rates --------------------------------------------------------------------------------------------------


def usual_rate(model: str, tuner: str) -> float:
    """A rate that is about right: the middle of what is tried."""
    from lowres import world

    small, large = USUAL_RATES[tuner]
    return small if world.is_world_model(model) else large


def _rate(params: Params, setting: Setting, rates: Mapping[tuple[str, int], float]) -> float:
    if not ARMS[setting.arm].tuned:
        return 0.0
    factors, tuner = params.rate_factors or (), ARMS[setting.arm].tuner
    usual = usual_rate(params.tau or "", tuner) * (factors[0] if len(factors) == 1 else 1.0)
    return rates.get((rate_arm(setting.arm), setting.examples), usual)


def learning_rates(params: Params, tuned: Sequence[Record] = ()) -> dict[tuple[str, int], float]:
    """The learning rate of each deciding arm at each size: where the validation targets are the likeliest.

    With no candidate rates, the published tuning of the same model and task decides, and where nothing is published the
    usual rate.
    """
    if not tuned and not params.rate_factors:
        from lowres.published import read_published

        tuned = [r for r in read_published("fiat") if r.trial["task"] == params.task]
        alike = {unseeded(name or "") for name in (params.tau, params.base)}
        tuned = [r for r in tuned if unseeded(r.trial["model"]) in alike]
    return chosen_rates(record for record in tuned if record.trial["arm"].startswith("tuning "))


def chosen_rates(tuned: Iterable[Record]) -> dict[tuple[str, int], float]:
    """The best rate by deciding arm and size of the training set; failed runs never win."""
    return best_rates(tuned, lambda record: (tuned_arm(record), record.trial["recipe"]["task_examples"]))
