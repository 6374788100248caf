"""Before and after the comparison: what the models read, arms, trials, tuning, the live run, drift, deviations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from lowres import exhibits, world
from lowres.data import TaskOptions, rationales
from lowres.data.rationales import OWN
from lowres.markup import Html, Shown, folded, joined, markup, shown_lines, shown_table, shown_text
from lowres.params import InputError
from lowres.studies import tuned_arm
from lowres.studies.fiat.arms import ARMS, FACTORS, LADDER, left_out, rate_arm
from lowres.studies.fiat.claims import DEVIATIONS
from lowres.studies.fiat.evidence import place_of
from lowres.studies.fiat.exhibits.common import Row, label
from lowres.studies.fiat.params import FILE, NO_BASE, Params
from lowres.studies.fiat.writing import READY, RECORDED, WAITING

if TYPE_CHECKING:
    from lowres.data import Example
    from lowres.trial import Record, Trial

SHOWN_TRACES = 3
UNWRITTEN = "(what beta writes)"


# --- what the models read --------------------------------------------------------------------------------------------


def reasoning_prompt(params: Params) -> Shown:
    """What beta reads (I_b): its instruction and every worked example, folded; or how it came to reason otherwise."""
    beta = params.beta or ""
    if beta == OWN:
        return shown_text("No beta: the rationales come with the data.")
    if beta.startswith(FILE):
        return shown_text(f"No beta: the rationales are read from {beta.removeprefix(FILE)}.")
    if world.is_world_model(beta) and not params.beta_url:
        return _taught(beta)
    return _prompted(params)


def _taught(beta: str) -> Shown:
    from lowres.rationales import Teaching, traces

    teaching, shown = Teaching(), traces()
    some = [shown[place * len(shown) // SHOWN_TRACES] for place in range(SHOWN_TRACES)]
    pairs = "\n\n".join(f"{one.prompt}\n  -> {one.target}" for one in some)
    text = (
        f"{beta} is too small to be prompted. It is taught to think aloud: {teaching.steps} updates of "
        f"{teaching.batch_size} on {len(shown):,} worked questions about people that the task does not ask about."
    )
    return joined([shown_text(text), folded(f"{SHOWN_TRACES} of the worked questions", shown_lines(pairs))])


def _prompted(params: Params) -> Shown:
    from lowres.rationales import prompts

    try:
        found = prompts.load(params.task or "", params.exemplars or "")
    except InputError as error:
        return shown_text(str(error))
    parts = [
        shown_text(
            f"{params.beta} reads this instruction and {len(found.exemplars)} worked examples (version {found.version} "
            "of the prompt) before each input, as earlier turns of a chat where it has a chat format."
        ),
        shown_lines(found.instruction),
    ]
    for number, one in enumerate(found.exemplars, start=1):
        parts.append(folded(f"Worked example {number}", shown_lines(f"{one.input}\n\n{one.rationale}")))
    return joined(parts)


def ladder_prompts(params: Params) -> Shown:
    """One test item part by part, what every rung's model reads of it, and on a click its prompts in full."""
    from lowres.data import load_task

    task = load_task(params.task or "", TaskOptions.of(params))
    example, text = task.test[0], rationale_of(params, task.test[0])
    parts = {"Instruction": task.instruction, "Rationale": text, "Input": example.prompt, "Target": example.target}
    item = shown_table(
        f"A test item of {task.name}",
        ("Part", "Text"),
        [(name, _lines(part)) for name, part in parts.items()],
        stack=True,
    )
    rows: list[Row] = []
    full = []
    for rung, letters in LADDER.items():
        model = params.tau if "B" in letters else "no such model" if params.base == NO_BASE else params.base
        tuned = FACTORS["P"] if "P" in letters else "all parameters"
        rows.append((rung, *("✓" if letter in letters else "-" for letter in "IC"), "✓", tuned, model))
        prompt = prompt_of(task.name, task.instruction, example, rung, text)
        full.append(f"{rung} ({ARMS[rung].meaning})\n\n{prompt}")
    header = ("Rung", "Instruction", "Rationale", "Input", "Tuned", "Start")
    table = shown_table("What every rung's model reads of it", header, rows)
    return joined([item, table, folded("The same prompts in full", shown_lines(f"\n\n{'-' * 40}\n\n".join(full)))])


def _lines(text: str) -> Html:
    """Text whose line breaks are kept, also in a table."""
    return Html(markup(text).replace("\n", "<br>"))


def prompt_of(task: str, instruction: str, example: Example, arm: str, text: str) -> str:
    """The whole prompt of an arm that has the rationale as input or none: anchor, input, rationale."""
    from lowres.prompt import with_anchor

    letters = ARMS[arm].factors
    found = rationales.with_reasoning(task, example, text) if "C" in letters else example
    return with_anchor(instruction if "I" in letters else "", found.prompt)


def rationale_of(params: Params, example: Example) -> str:
    """The rationale of a test example as written, or a sign that it is yet to be."""
    from lowres.studies.fiat.writing import file_name

    try:
        return rationales.load(file_name(params, ARMS["R0"], min(params.seeds or (0,))), [example])[0].text
    except InputError:
        return UNWRITTEN


# --- what is run -----------------------------------------------------------------------------------------------------


def arms_table(params: Params) -> Shown:
    """What each arm has, and whose rate it takes."""
    rows = []
    for arm in (ARMS[name] for name in params.arms or ()):
        rate = "not tuned" if not arm.tuned else f"as {rate_arm(arm.name)}" if rate_arm(arm.name) != arm.name else "own"
        present = ", ".join(FACTORS[letter] for letter in arm.factors) if arm.tuned else "-"
        rows.append((arm.name, arm.meaning, present or "nothing", arm.kind, rate))
    header = ("Arm", "What it is", "Factors present", "Role", "Learning rate")
    return shown_table("The arms", header, rows, stack=True)


def left_out_arms(params: Params) -> Shown:
    """The arms asked for that cannot be run with these models and data, and why."""
    names = left_out(params)
    if not names:
        return shown_text("Every arm asked for can be run.")
    reasons: dict[str, list[str]] = {}
    for name in names:
        reasons.setdefault(_why(params, name), []).append(name)
    return shown_text("Left out: " + " ".join(f"{', '.join(own)} ({reason})." for reason, own in reasons.items()))


def _why(params: Params, name: str) -> str:
    arm = ARMS[name]
    if arm.use == "as-vote":
        return "samples is 0, so there is nothing to vote on"
    if arm.rationales == OWN:
        return f"the data of {params.task} have no rationales"
    return f"base is {NO_BASE}: {params.tau} has no base model at hand"


def rationales_table(params: Params) -> Shown:
    """Per request to beta: examples to be reasoned about, those still missing, and the time that it may take."""
    from lowres.studies.fiat import writing

    needed, missing = writing.needed(params), writing.missing(params)
    if not needed:
        return shown_text("Nothing is to be written by a model: the rationales come with the data or from a file.")
    rows = []
    for one, examples in needed.items():
        seconds = _seconds_each(one.file_name())
        left = missing.get(one, 0)
        cost = f"{left * seconds:.0f} s" if seconds else "0 s" if not left else "not known yet"
        rows.append((one.model, one.samples, len(examples), left, cost))
    header = ("Who writes", "Samples each", "Examples", "Still to be written", "Time, by those that are written")
    return shown_table("Rationales, each written once", header, rows, stack=True)


def _seconds_each(name: str) -> float:
    try:
        found = rationales.read(rationales.find(name)).values()
    except InputError:
        return 0.0
    return exhibits.average(one.seconds for one in found)


def trial_table(trials: Sequence[Trial], states: Sequence[str]) -> Shown:
    """The trials of the live run before they run, what is recorded or waits, and the seconds of trials like them."""
    usual = exhibits.usual_seconds("fiat", lambda r: (r.trial["task"], r.trial["arm"]))
    rows: dict[tuple[str, str, int, int], list[str]] = {}
    for trial, state in zip(trials, states, strict=True):
        steps = trial.optimisation.steps or 0 if trial.optimisation else 0
        rows.setdefault((trial.task, trial.arm, trial.recipe.task_examples, steps), []).append(state)
    shown = [
        (arm, size, steps, len(found), *map(found.count, (RECORDED, READY, WAITING)), _usual(usual.get((task, arm))))
        for (task, arm, size, steps), found in rows.items()
    ]
    items = f", measured on {trials[0].evaluation.wanted()} test items" if trials else ""
    header = (
        *("Arm", "Examples", "Updates", "Trials", "In the ledger", "Ready", "Waiting for rationales"),
        "Seconds each",
    )
    return shown_table(f"The live run: {len(trials)} trials{items}", header, shown, stack=True)


def _usual(seconds: int | None) -> object:
    return "not known yet" if seconds is None else seconds


def live_table(records: Sequence[Record]) -> Shown:
    """What was just run here."""
    rows = []
    for record in records:
        measures, optimisation = record.outcomes["task"], record.trial["optimisation"] or {}
        rate = optimisation.get("learning_rate", 0)
        loss = f"{record.mean('task', 'target_nll'):.3f}" if "target_nll" in measures else "-"
        score = f"{record.mean('task', place_of(record, {}).metric):.3f}"
        size = record.trial["recipe"].get("task_examples", 0)
        cells = (size, f"{rate:g}" if rate else "-", score, loss, f"{record.cost['seconds']:.0f} s")
        rows.append((f"{record.trial['arm']}, seed {record.trial['seed']}", *cells))
    header = ("Arm", "Examples", "Learning rate", "Score", "Nats per target token", "Time")
    return shown_table("The live run on this machine", header, rows, stack=True)


# --- tuning ----------------------------------------------------------------------------------------------------------


def tuning_table(records: Iterable[Record]) -> Shown:
    """Every learning rate that was tried, per deciding arm, place and size, and which was chosen."""

    def of(record: Record) -> tuple[str, ...]:
        name = f"{tuned_arm(record)}, {label(place_of(record, {}))}"
        return name, str(record.trial["recipe"].get("task_examples", 0))

    listed = list(records)
    table = exhibits.rates_table("of each deciding arm", listed, of, ("Deciding arm", "Examples"))
    tries = len({record.key for record in listed if record.trial["arm"].startswith("tuning ")})
    return folded(f"All {tries} tries, and which rates were chosen", table) if tries else table


# --- what every page shows -------------------------------------------------------------------------------------------

parameters_table = exhibits.parameters_table
origin = partial(exhibits.origin, "fiat")
drift = partial(exhibits.drift_by_trial, "fiat")
verification = partial(exhibits.verification, "fiat")
deviations = partial(exhibits.deviations, DEVIATIONS)
