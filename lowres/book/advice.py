"""Advice on a task at hand: which arm the guide takes, what it gained elsewhere, what that rests on, how to run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lowres.claims import rulebook
from lowres.data import Example, Task, load_task
from lowres.ledger import Ledger
from lowres.stats import guide
from lowres.stats.anova import anova_effect
from lowres.studies.crossing.measures import UNWRITTEN, Row, rows_of
from lowres.studies.crossing.params import Params
from lowres.studies.crossing.places import BUDGETS, MODEL, WORLD

ITEMS = 32  # validation items that the model is asked beforehand
UNKNOWN = """\
What it cannot know: whether the task needs knowledge that the model lacks, how a larger model would do, and whether
rationales for new inputs would be right. It was fitted on a generated world: on real tasks it is tested by claim 6."""


@dataclass(frozen=True)
class Asked:
    """What a user says: task, model to look at if any, how much keeping counts, whether rationales can be had."""

    task: str
    model: str = ""
    keep: float = 0.5
    rationales: bool = False


def advise(asked: Asked, ledger: Ledger) -> str:
    """The advice in words.

    Raises:
        InputError: the task or the model cannot be used.
    """
    task = load_task(asked.task)
    tokens = sum(map(_words, task.train))
    start = _start(asked, task, ledger) if asked.model else None
    outcomes = rulebook.outcomes_of("crossing", rulebook.judged("crossing"))
    return "\n".join(
        [_told(task, tokens, start), *recommended(asked, tokens, start, rows_of(outcomes, WORLD, BUDGETS))]
    )


def recommended(asked: Asked, tokens: int, start: float | None, rows: Sequence[Row]) -> list[str]:
    """Which arm to take and why, a line each, from the table that the guide is fitted on."""
    if len({row.task for row in rows}) < guide.FEWEST:
        return [
            "No advice yet: no records of the crossing are published, and a guide without records would be a guess.",
            "To make them: lowres campaign crossing-s. To try all recipes on this task: "
            f"lowres run crossing -p 'tasks=[\"{asked.task}\"]' {_model(asked)}",
        ]
    tree = guide.fit([row.case(asked.keep) for row in rows], UNWRITTEN)
    usual = float(np.median([row.start for row in rows]))
    leaf = guide.leaf_of(tree, tokens, usual if start is None else start)
    every = frozenset.union(*(case.arms for case in leaf.cases))
    arm = leaf.arm(every if asked.rationales else UNWRITTEN & every)
    here = {(case.task, case.tokens) for case in leaf.cases if arm in case.arms}
    own = [row for row in rows if (row.task, row.tokens) in here]
    recipe, tuner = arm.split(" ")
    return [
        f"Take: {arm} (keeping counts {asked.keep:g} times as much as gaining)",
        f"  gain elsewhere: {_interval(own, arm, loss=False)} of the way from the untouched model to the best rule",
        f"  loss elsewhere: {_interval(own, arm, loss=True)} of what the model knew",
        f"  rests on: {len({row.task for row in own})} tasks of the generated world, {MODEL}",
        *_edges(tokens, start, rows),
        f"Run it: lowres run crossing -p 'tasks=[\"{asked.task}\"]' {_model(asked)}-p 'recipes=[{recipe}]' "
        f"-p 'tuners=[{tuner}]' -p 'task_tokens=[{tokens * 9 // 10}]' -p 'rate_factors=[0.33, 1, 3]'",
        UNKNOWN,
    ]


def _words(example: Example) -> int:
    """Tokens of an example, counted as the world's models do: words and marks."""
    from lowres.studies.tell.sizes import WORDS

    return len(WORDS.findall(example.prompt)) + len(WORDS.findall(example.target))


def _start(asked: Asked, task: Task, ledger: Ledger) -> float:
    """Nats per target token of the untouched model on a few validation items."""
    from lowres import engine
    from lowres.params import from_mapping, resolve
    from lowres.registry import insist_on_all
    from lowres.studies.crossing.plan import untouched

    params = resolve(from_mapping(Params, {"model": asked.model, "tasks": [asked.task], "items": ITEMS}))
    trial = untouched(params, asked.task, 0)
    trial = replace(trial, evaluation=replace(trial.evaluation, split="validation", probes=()))
    (record,) = insist_on_all(engine.run([trial], ledger, progress=False))
    return record.mean("task", "target_nll")


def _told(task: Task, tokens: int, start: float | None) -> str:
    kind = "choices" if task.test[0].choices else "free answers"
    words = np.median([len(example.target.split()) for example in task.train])
    before = "not measured (name a --model)" if start is None else f"{start:.2f}"
    return (
        f"{task.name}: {len(task.train):,} training examples, about {tokens:,} tokens; {kind} of {words:g} words, "
        f"measured by {task.metric}; nats per target token before: {before}"
    )


def _interval(rows: Sequence[Row], arm: str, loss: bool) -> str:
    """Mean over tasks with its interval: tasks are drawn at random, as the one at hand is."""
    by_task: dict[str, list[dict[int, float]]] = {}
    for row in rows:
        by_task.setdefault(row.task, []).append(dict((row.loss if loss else row.gain)[arm]))
    seeds = sorted(set.intersection(*(set(each) for several in by_task.values() for each in several)))
    table = [[float(np.mean([each[seed] for each in several])) for several in by_task.values()] for seed in seeds]
    return anova_effect([table]).text(2) if np.size(table) > 1 else f"{np.mean(table):+.2f} (one task, one seed)"


def _edges(tokens: int, start: float | None, rows: Sequence[Row]) -> list[str]:
    """Where a task lies outside of what the guide was fitted on."""
    found = (
        []
        if start is not None
        else ["  what the model knows beforehand was taken to be as usual: no --model was named"]
    )
    for name, value, known in (
        ("task tokens", tokens, [row.tokens for row in rows]),
        ("nats per target token before", start, [row.start for row in rows]),
    ):
        if value is not None and not min(known) <= value <= max(known):
            found.append(f"  outside its range: {value:,.6g} {name}, fitted on {min(known):,.4g} to {max(known):,.4g}")
    return found


def _model(asked: Asked) -> str:
    return f"-p model={asked.model} " if asked.model else ""
