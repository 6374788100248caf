"""What a trial is trained on and what stands in its prompts: examples drawn, worded, and made to fit the context.

Too long is the same for training and test: prompt and answer together are more than the context holds. What happens
then differs, and both are counted. A training example is left out before the budget is drawn, so that a budget counts
what is trained on. A test item is always measured: it loses solved examples, then the start of its input
(`lowres.language.prompt`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lowres.data import Example, Task, general_pool, rationales
from lowres.data.mixing import derived_seed, mix, random_labels, take_examples, take_tokens
from lowres.language import LanguageModel, formats
from lowres.language.formats import Encoded
from lowres.language.prompt import clipped, clipped_anchor, with_anchor
from lowres.language.room import answer_room
from lowres.params import InputError
from lowres.trial.spec import Trial

ANCHORS = ("none", "hand-written", "model-written")
ANCHOR_TOKENS = 64  # of an anchor that a model writes
JOINTS = 4  # tokens that two texts may have more when they are joined
SLACK = 16  # the same for a whole row, end of turn included


# --- drawing ---------------------------------------------------------------------------------------------------------


@dataclass
class Fits:
    """Whether an example can be trained on: prompt and target fit the context; keeps those that do not.

    A task's example is judged in the longest wording that any arm has, behind the task's instruction or behind an
    anchor as long as a model may write, so that arms that share a seed share their examples whatever they put first.
    """

    language_model: LanguageModel
    anchor: str = ""
    behind_anchor: bool = False
    too_long: set[Example] = field(default_factory=set)

    def __post_init__(self) -> None:
        own = self.language_model
        anchor = len(own.tokenizer(self.anchor, add_special_tokens=False).input_ids) if self.anchor else 0
        anchor = max(anchor, ANCHOR_TOKENS) if self.behind_anchor else anchor
        self._before = len(formats.prompt_ids(own, "")) + anchor + SLACK

    @classmethod
    def task(cls, task: Task, language_model: LanguageModel) -> Fits:
        """For the examples of a task."""
        anchor = clipped_anchor(language_model, task.instruction, answer_room(task, language_model))
        return cls(language_model, anchor, True)

    def __call__(self, example: Example) -> bool:
        """Judge one example."""
        own = self.language_model
        if token_counter(own)(example) + self._before <= own.context:
            return True  # nearly all: no need to write them out
        row = formats.encode(own, example.prompt, example.target)
        longest = row.prompt_length
        if self.behind_anchor:
            anchored = len(formats.prompt_ids(own, with_anchor(self.anchor, example.prompt)))
            longest = max(anchored, longest + ANCHOR_TOKENS + JOINTS)
        fitting = formats.fits(own, longest, len(row.target))
        if not fitting:
            self.too_long.add(example)
        return fitting


@dataclass(frozen=True)
class Drawn:
    """Task examples and general examples of a trial, and how many were met that do not fit the context."""

    task: tuple[Example, ...]
    general: tuple[Example, ...]
    left_out: int


def draw(trial: Trial, task: Task, language_model: LanguageModel) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """The task examples and the general examples of a trial; arms that share a seed share their task examples."""
    found = drawn(trial, task, language_model)
    return found.task, found.general


def drawn(trial: Trial, task: Task, language_model: LanguageModel) -> Drawn:
    """What `draw` gives, and what was left out."""
    recipe, count = trial.recipe, token_counter(language_model)
    pool, what = rationales.pool_of(task, recipe.pool), f"task {task.name!r}"
    subset, fits = derived_seed(trial.seed, "subset"), Fits.task(task, language_model)
    chosen: tuple[Example, ...] = ()
    if recipe.task_examples:
        chosen = take_examples(pool, recipe.task_examples, subset, what, fits)
    elif recipe.task_tokens:
        chosen = take_tokens(pool, recipe.task_tokens, count, subset, what, fits)
    if recipe.labels == "random":
        chosen = random_labels(chosen, derived_seed(trial.seed, "labels"))
    general: tuple[Example, ...] = ()
    bare = Fits(language_model)
    if recipe.general_tokens:
        seed = derived_seed(trial.seed, "general")
        pool = general_pool(trial.task, recipe.general)
        general = take_tokens(pool, recipe.general_tokens, count, seed, "the general pool", bare)
    return Drawn(chosen, general, len(fits.too_long) + len(bare.too_long))


def token_counter(language_model: LanguageModel) -> Callable[[Example], int]:
    """Tokens of an example's bare prompt and target."""

    def count(example: Example) -> int:
        return sum(formats.token_count(language_model.tokenizer, text) for text in (example.prompt, example.target))

    return count


# --- what stands before an input -------------------------------------------------------------------------------------


def anchor_text(kind: str, task: Task, language_model: LanguageModel, seed: int) -> str:
    """The constant text before every task input: none, the task's instruction, or one that the model writes itself."""
    if kind == "none":
        return ""
    if kind == "hand-written":
        return task.instruction
    if kind != "model-written":
        raise InputError(f"unknown anchor {kind!r}; allowed: {', '.join(ANCHORS)}")
    from lowres.evaluate import Item, answer

    shown = "\n\n".join(f"Input: {e.prompt}\nOutput: {e.target}" for e in _examples_shown(task, 3, seed))
    request = f"{shown}\n\nWrite one clear instruction that tells how to produce the output from the input."
    room = formats.prompt_room(language_model, ANCHOR_TOKENS + 16)
    item = Item(formats.prompt_ids(language_model, formats.shorten(language_model, request, room)), (), ())
    written = answer(language_model.model, language_model, [item], max_new_tokens=ANCHOR_TOKENS).texts[0]
    return clipped(language_model, written, ANCHOR_TOKENS)  # read anew, a text may have more tokens than were written


def solved(trial: Trial, task: Task) -> tuple[str, ...]:
    """Solved training examples to stand between anchor and input, for in-context learning."""
    if not trial.recipe.shots:
        return ()
    chosen = _examples_shown(task, trial.recipe.shots, trial.seed)
    return tuple(f"{example.prompt} {example.target}" for example in chosen)


def _examples_shown(task: Task, count: int, seed: int) -> Sequence[Example]:
    """Training examples in a random order that depends on the seed; short ones, so that several fit a prompt."""
    import numpy as np

    short = sorted(task.train, key=lambda example: len(example.prompt))[: max(count, len(task.train) // 2)]
    order = np.random.default_rng(derived_seed(seed, "shots")).permutation(len(short))[:count]
    return [short[index] for index in order]


# --- rows to train on ------------------------------------------------------------------------------------------------


def rows(trial: Trial, task: Task, language_model: LanguageModel, anchor: str) -> tuple[list[Encoded], dict[str, int]]:
    """All epochs of a trial's training rows in order, and what was drawn, left out and dropped.

    Tokens and examples are counted of what is trained on. Rows may still be dropped after the drawing where their
    target is another one than was drawn (random labels, rationales to distil).

    Raises:
        InputError: no row fits the context.
    """
    found, count = drawn(trial, task, language_model), token_counter(language_model)
    reasoned, reworded = reason(trial, task, found.task, language_model, anchor)
    encoded: dict[tuple[Example, bool], Encoded] = {}
    kept: dict[bool, list[Example]] = {True: [], False: []}
    for is_task, examples in ((True, reasoned), (False, found.general)):
        for example in examples:
            prompt = with_anchor(anchor, example.prompt) if is_task else example.prompt
            row = formats.encode(language_model, prompt, example.target)
            if formats.fits(language_model, row.prompt_length, len(row.target)):
                encoded[example, is_task] = row
                kept[is_task].append(example)
    if not encoded:
        raise InputError(f"arm {trial.arm!r}: no training example fits the context of {language_model.context} tokens")
    order = unrolled(trial, kept[True], kept[False])
    own = [bare for bare, example in zip(found.task, reasoned, strict=False) if (example, True) in encoded]
    counts = {
        **_spent("task", own, trial.recipe.task_tokens, count),
        **_spent("general", kept[False], trial.recipe.general_tokens, count),
        "left_out_too_long": found.left_out,
        "dropped_too_long": len(reasoned) + len(found.general) - len(kept[True]) - len(kept[False]),
        **{f"training_{name}": number for name, number in reworded.items()},
    }
    return [encoded[pair] for pair in order], counts


def _spent(part: str, examples: Sequence[Example], budget: int, count: Callable[[Example], int]) -> dict[str, int]:
    """Examples and tokens of a part, and what no example could fill of its budget in tokens (0: no such budget)."""
    tokens = sum(map(count, examples))
    short = {f"{part}_tokens_short": max(0, budget - tokens)} if budget else {}
    return {f"{part}_examples": len(examples), f"{part}_tokens": tokens, **short}


def unrolled(trial: Trial, task_part: Sequence[Example], general_part: Sequence[Example]) -> list[tuple[Example, bool]]:
    """All epochs in order. Shuffled anew each epoch; a staged order keeps all of one kind before all of the other."""
    assert trial.optimisation is not None
    optimisation, shuffle = trial.optimisation, derived_seed(trial.seed, "shuffle")
    size = max(1, len(task_part) + len(general_part))
    epochs = optimisation.epochs
    if optimisation.steps:
        epochs = math.ceil(optimisation.steps * optimisation.batch_size / size)
    if trial.recipe.order != "shuffle":
        return list(mix(list(task_part) * epochs, list(general_part) * epochs, trial.recipe.order, shuffle))
    return [pair for epoch in range(epochs) for pair in mix(task_part, general_part, "shuffle", shuffle + epoch)]


# --- reasoning -------------------------------------------------------------------------------------------------------


def reason(
    trial: Trial,
    task: Task,
    examples: Sequence[Example],
    language_model: LanguageModel,
    anchor: str,
    training: bool = True,
) -> tuple[Sequence[Example], dict[str, int]]:
    """Examples with their reasoning in the prompt, or, when it is to be distilled, with rows that have it as target.

    Returns:
        The examples; and how many rationales were empty, and how many were cut to fit the context. What is cut is the
        beginning of a rationale, never the input.
    """
    recipe = trial.recipe
    if recipe.rationale in ("none", *rationales.AS_PREDICTION):
        return examples, {}
    written = rationales.load(recipe.rationales, examples)
    if recipe.rationale == "target":
        pairs = zip(examples, written, strict=True)
        more = [rationales.to_explain(task.name, *pair) for pair in pairs if pair[1].text] if training else []
        return (*examples, *more), {"empty_rationales": sum(not one.text for one in written)}
    offset = 1 + derived_seed(trial.seed, "wrong rationale") % 1000
    found, cut = [], 0
    texts = rationales.reasoning(recipe.rationale, written, examples, offset)
    for example, text in zip(examples, texts, strict=True):
        fitting = _fitting(task, example, text, language_model, anchor)
        cut += fitting != text
        found.append(rationales.with_reasoning(task.name, example, fitting))
    return found, {"empty_rationales": sum(not text for text in texts), "cut_rationales": cut}


def _fitting(task: Task, example: Example, text: str, language_model: LanguageModel, anchor: str) -> str:
    """As much of the end of a rationale as the context holds beside anchor, input and answer."""
    tokenizer, answer = language_model.tokenizer, 1 + len(language_model.tokenizer(example.target).input_ids)
    room = formats.prompt_room(language_model, max(answer_room(task, language_model), answer))
    while text:
        whole = with_anchor(anchor, rationales.with_reasoning(task.name, example, text).prompt)
        surplus = len(formats.prompt_ids(language_model, whole)) - room
        if surplus <= 0:
            return text
        ids = tokenizer(text, add_special_tokens=False).input_ids
        text = str(tokenizer.decode(ids[surplus:])).strip("\ufffd ") if surplus < len(ids) else ""
    return text
