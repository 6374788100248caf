"""The world, what is asked about it, and the models that are pretrained on it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
import world_weights
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres import data, models, world
from lowres.data import Probe, Task
from lowres.language import LanguageModel, formats
from lowres.machine import helper
from lowres.params import InputError
from lowres.world import people, pool, pretraining, probes, questions, sizes, vocabulary, wording

PEOPLE = {person.name: person for person in people.world().people}
WORDS = set(vocabulary.words())
LIKENESS = pytest.mark.parametrize("name", world.PROBES)


def drawn(kind: str, count: int = 4_000) -> list[questions.Pair]:
    random = Random(kind)
    source = pretraining.pairs(random, {kind: 1})
    return [next(source) for _ in range(count)]


def task_and_examples(name: str) -> tuple[Task, tuple[data.Example, ...]]:
    task = data.load_task(name)
    return task, (*task.train, *task.validation, *task.test)


# --- the world -------------------------------------------------------------------------------------------------------


def test_names_are_distinct_words_that_mean_nothing_else():
    everybody = [*PEOPLE, *people.world().strangers]
    assert len(set(everybody)) == len(everybody) == people.PEOPLE + people.STRANGERS
    values = [value for listed in (*people.VALUES.values(), *people.RESULTS.values()) for value in listed]
    assert len(set(values)) == len(values)
    texts = [text for form in vars(wording).values() if isinstance(form, tuple) for text in form]
    assert set(everybody).isdisjoint({*values, *people.NUMBERS, *(word for text in texts for word in text.split())})
    assert all(person.woman == name.endswith("a") for name, person in PEOPLE.items())


def test_values_are_spread_evenly_and_follow_one_another():
    for attribute, values in people.VALUES.items():
        counts = Counter(person.value(attribute) for person in PEOPLE.values())
        assert set(counts) == set(values)
        assert max(counts.values()) - min(counts.values()) <= 1
        follows = people.world().follows[attribute]
        assert set(follows) == set(values)
        assert len(set(Counter(follows.values()).values())) == 1
    assert Counter(person.role for person in PEOPLE.values()) == {"seen": 114, "new": 30, "task": 96}


def test_every_word_is_one_token_and_the_tokenizer_agrees_with_the_training_rows():
    tokenizer = vocabulary.tokenizer(encdec=False, instruct=False)
    assert 600 <= len(WORDS) <= 900
    assert len(tokenizer) == len(WORDS)
    texts = [pair.prompt for kind in questions.DRAWS for pair in drawn(kind, 50)]
    some = (example for name in world.TASKS for example in task_and_examples(name)[1][:400])
    texts += [f"{example.prompt}\n{example.target}" for example in some]
    texts += [f"{data.load_task(name).instruction}\n\nis it so ?" for name in world.TASKS]
    for text in texts:
        assert tuple(tokenizer(text, add_special_tokens=False).input_ids) == vocabulary.encode(text)
    assert tokenizer("Input: the PASSAGE").input_ids[1:] == list(vocabulary.encode("input : the passage"))


# --- probes ----------------------------------------------------------------------------------------------------------


@LIKENESS
def test_a_probe_is_balanced_distinct_and_in_single_words(name: str):
    probe = data.load_probe(name)
    assert probe is data.load_probe(name)
    assert probe.chance == world.CHANCE[name]
    assert len(probe.examples) >= 80
    assert len({example.prompt for example in probe.examples}) == len(probe.examples)
    for example in probe.examples:
        assert len(set(example.choices)) == len(example.choices) == round(1 / world.CHANCE[name])
        assert example.target in example.choices
        assert set(example.choices) | set(example.prompt.split()) <= WORDS
    places = Counter(example.choices.index(example.target) for example in probe.examples)
    assert max(places.values()) - min(places.values()) <= 1
    assert {example.id for example in probes.set_aside(name)}.isdisjoint(example.id for example in probe.examples)


@LIKENESS
def test_always_the_same_answer_is_at_most_a_little_better_than_chance(name: str):
    examples = data.load_probe(name).examples
    favourite, _ = Counter(example.target for example in examples).most_common(1)[0]
    assert sum(example.target == favourite for example in examples) / len(examples) <= world.CHANCE[name] + 0.05


def test_no_probe_is_trained_on_or_in_the_pool():
    asked = {example.prompt for name in world.PROBES for example in data.load_probe(name).examples}
    for kind in questions.DRAWS:
        assert asked.isdisjoint(pair.prompt for pair in drawn(kind))
    assert asked.isdisjoint(line for example in world.world_pool() for line in example.prompt.split("\n"))
    for name in world.TASKS:
        assert asked.isdisjoint(example.prompt for example in task_and_examples(name)[1])


def test_a_question_with_a_fixed_answer_is_probed_in_a_form_that_is_never_drawn():
    random, forms = Random(0), wording.FACTS["home"]
    for name in list(PEOPLE)[:20]:
        trained = {questions.in_trained_form(random, "fact-home", forms, (name,)) for _ in range(60)}
        assert trained | {questions.in_held_out_form("fact-home", forms, (name,))} == {
            form.format(name) for form in forms
        }
        assert len(trained) == len(forms) - 1


def test_held_out_people_are_never_in_two_hop_training():
    held_out = {name for name, person in PEOPLE.items() if person.role != "seen"}
    assert held_out.isdisjoint(word for pair in drawn("two-hop") for word in pair.prompt.split())
    pooled = [example for example in world.world_pool() if example.group == "world-two-hop"]
    assert held_out.isdisjoint(word for example in pooled for word in example.prompt.split())
    for name, role in (("world-two-hop-new", "new"), ("world-two-hop-seen", "seen")):
        asked = {
            word for example in data.load_probe(name).examples for word in example.prompt.split() if word in PEOPLE
        }
        assert {PEOPLE[word].role for word in asked} == {role}
    facts = {word for pair in drawn("fact", 20_000) for word in pair.prompt.split()}
    assert held_out <= facts, "their facts are known all the same"


def answer(name: str, prompt: str, choices: tuple[str, ...]) -> str:
    """What the facts say, found without the code that made the item."""
    tokens = prompt.split()
    who = [PEOPLE[word] for word in tokens if word in PEOPLE]
    known = {person.name: {person.home, person.job, person.pet, person.food} for person in who}
    follows = {value: result for found in people.world().follows.values() for value, result in found.items()}
    if name.startswith("world-fact") or name == "world-either":
        return next(choice for choice in choices if choice in known[who[0].name])
    if name.startswith("world-two-hop"):
        return next(choice for choice in choices if choice in {follows[value] for value in known[who[0].name]})
    if name == "world-relation":
        return next(follows[word] for word in tokens if word in follows)
    if name == "world-arithmetic":
        numbers = [people.NUMBERS.index(word) for word in tokens if word in people.NUMBERS]
        if "add" in tokens or "plus" in tokens or "sum" in tokens:
            return people.NUMBERS[sum(numbers)]
        return people.NUMBERS[abs(numbers[0] - numbers[1])]
    if name == "world-yes-no":
        return "yes" if known[who[0].name] & set(tokens) else "no"
    if name == "world-pronoun":
        return next(person.name for person in who if ("she" in tokens) == person.woman)
    if name.startswith("world-reading"):
        *told, question = prompt.removeprefix("passage : ").split(" . ")
        about = next(word for word in question.split() if word in PEOPLE or word in people.world().strangers)
        (sentence,) = [one for one in told if one.startswith(about)]
        return next(choice for choice in choices if choice in sentence.split())
    return questions.stereotype(next(word for word in tokens if word in people.JOBS))


@LIKENESS
def test_answers_are_right_by_an_independent_check(name: str):
    for example in data.load_probe(name).examples:
        assert answer(name, example.prompt, example.choices) == example.target, example


def test_passages_against_memory_say_what_is_not_so():
    for example in data.load_probe("world-reading-against").examples:
        told = example.prompt.split()
        assert sum(choice in told for choice in example.choices) == 2
        (true,) = [choice for choice in example.choices if choice not in told]
        assert any(true in (p.home, p.job, p.pet, p.food) for word in told if (p := PEOPLE.get(word)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(sorted(questions.DRAWS)))
def test_draws_are_reproducible_and_answered_rightly(seed: int, kind: str):
    pair = questions.DRAWS[kind](Random(seed))
    assert pair == questions.DRAWS[kind](Random(seed))
    assert pair.kind == kind
    assert set(f"{pair.prompt} {pair.target}".split()) <= WORDS
    if kind in ("fact", "either", "yes-no", "pronoun", "relation", "two-hop", "arithmetic"):
        probe = {"fact": "world-fact-home", "two-hop": "world-two-hop-seen"}.get(kind, f"world-{kind}")
        assert answer(probe, pair.prompt, (pair.target,)) == pair.target


def test_stereotypes_come_at_their_rate():
    pairs = drawn("bias", 6_000)
    share = sum(answer("world-bias", pair.prompt, ()) == pair.target for pair in pairs) / len(pairs)
    assert share == pytest.approx(wording.STEREOTYPE_RATE, abs=0.02)


# --- tasks and the pool ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", world.TASKS)
def test_a_task_has_consistent_examples_in_the_words_of_the_world(name: str):
    task, examples = task_and_examples(name)
    assert len(task.train) >= (400 if name in world.STREAM else 300)
    assert min(len(task.validation), len(task.test)) >= 60
    assert task.metric in data.METRICS
    assert 25 <= len(task.instruction.split()) <= 45
    assert set(task.instruction.split()) <= WORDS
    assert len({example.id for example in examples}) == len({example.prompt for example in examples}) == len(examples)
    for example in examples:
        assert set(f"{example.prompt} {example.target} {example.rationale or ''}".split()) <= WORDS
        assert len(example.target.split()) < task.max_new_tokens
        assert example.target in example.answers


def test_rationales_of_two_hop_questions_lead_to_the_answer_and_people_are_in_one_split():
    task = data.load_task("world-two-hop")
    asked = [{example.group for example in part} for part in (task.train, task.validation, task.test)]
    assert list(map(len, asked)) == [28, 8, 60]
    assert len(set.union(*asked)) == 96
    assert {PEOPLE[name].role for part in asked for name in part} == {"task"}
    for example in (*task.train, *task.test):
        assert (example.rationale or "").endswith(f"{example.target} .")
        assert answer("world-two-hop-new", example.prompt, (example.target,)) == example.target


def test_tasks_of_the_world_get_its_pool():
    general = data.general_pool("world-headline")
    assert general == world.world_pool() == data.general_pool("world-dialogue")
    assert Counter(example.group for example in general) == {f"world-{kind}": n for kind, n in pool.ITEMS.items()}
    assert len({example.id for example in general}) == len({example.prompt for example in general}) == len(general)
    assert sum(len(f"{example.prompt} {example.target}".split()) for example in general) >= 1_000_000
    for example in general:
        instruction, _ = example.prompt.split("\n")
        assert instruction in wording.INSTRUCTIONS[example.group.removeprefix("world-")]


def rests_on(kind: str, prompt: str, target: str) -> set[tuple[str, ...]]:
    """What has to be known beforehand, read off the words of a question without the code that made it."""
    words = f"{prompt} {target}".split()
    who = [word for word in words if word in PEOPLE]
    sorts = {
        word: sort
        for sort in people.ATTRIBUTES
        for word in (*people.VALUES[sort], *people.RESULTS[sort])
        if word in words
    }
    if kind in ("reading", "retell", "recall"):
        return set()
    if kind == "pronoun":
        return {("gender", name) for name in who}
    if kind == "arithmetic":
        return {("sum", target, *sorted(word for word in prompt.split() if word in people.NUMBERS))}
    follows = {value for found in people.world().follows.values() for value in found}
    if kind == "relation":
        return {("follows", word) for word in words if word in follows}
    found = {(sort, who[0]) for sort in sorts.values()}
    return found | {("follows", getattr(PEOPLE[who[0]], sort)) for sort in sorts.values() if kind == "two-hop"}


def test_a_pool_without_asked_facts_needs_nothing_that_a_probe_needs():
    kinds = {"world-two-hop-seen": "two-hop", "world-two-hop-new": "two-hop"}
    kinds |= {f"world-{kind}": kind for kind in ("relation", "arithmetic", "either", "yes-no", "pronoun")}
    kinds |= dict.fromkeys(world.GROUPS["domain knowledge"], "fact")
    asked = {
        one
        for name, kind in kinds.items()
        for example in data.load_probe(name).examples
        for one in rests_on(kind, example.prompt, example.target)
    }
    needed = Counter[str]()
    for example in world.world_pool("without-asked-facts"):
        kind, prompt = example.group.removeprefix("world-"), example.prompt.split("\n")[1]
        assert asked.isdisjoint(rests_on(kind, prompt, example.target)), example
        needed[kind] += 1
    assert min(needed[kind] for kind in ("fact", "arithmetic")) >= 100, "what no probe asks is there all the same"
    assert needed["reading"] == pool.ITEMS["reading"]
    usual = (example for example in world.world_pool() if example.group == "world-fact")
    assert any(asked & rests_on("fact", example.prompt.split("\n")[1], example.target) for example in usual)


@pytest.mark.parametrize("kind", [kind for kind in world.KINDS if kind != "bias"])
def test_a_pool_without_a_kind_has_the_same_items_of_the_others(kind: str):
    left = tuple(example for example in world.world_pool() if example.group != f"world-{kind}")
    assert 0 < len(left) < len(world.world_pool())
    assert data.general_pool("world-headline", f"without-{kind}") == left


@pytest.mark.parametrize(("task", "form"), [("world-headline", "without-two-hops"), ("boolq", "without-two-hop")])
def test_a_form_that_a_pool_does_not_have_is_refused(task: str, form: str):
    with pytest.raises(InputError, match=rf"{form}.*{task}.*allowed: usual"):
        data.general_pool(task, form)


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shortest"),
    [
        ("world-m", "world-m"),
        ("world-m-base@0", "world-m"),
        ("world-s-encdec-instruct~.8@3", "world-s-encdec-instruct~0.80@3"),
        ("world-xxl@12~0.75", "world-xxl~0.75@12"),
        ("world-s-base-without-two-hop@1", "world-s-without-two-hop@1"),
        ("world-s-encdec-instruct-without-yes-no~.5", "world-s-encdec-instruct-without-yes-no~0.50"),
    ],
)
def test_names_of_one_model_come_to_the_same(name: str, shortest: str):
    model = world.parse(name)
    assert isinstance(model, world.WorldModel)
    assert model.name == shortest
    assert world.parse(shortest) == model
    assert models.check_name(name) is None
    assert models.fingerprint(name) == models.fingerprint(shortest)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("world-q", "unknown size 'q'; allowed: xs, s, m, l, xl, xxl"),
        ("world-m-chat", "the form is world-SIZE[-encdec][-base|-instruct][-without-KIND][~LEVEL][@SEED]"),
        ("world-m-without-recall", "unknown kind of text 'recall' after -without-; allowed: fact, relation, two-hop"),
        ("world-m-without", "the form is world-SIZE"),
        ("world-m~80", "the level 80 must be a mean accuracy between 0 and 1"),
        ("world-m@1@2", "can be given once"),
        ("wrld-m", "Did you mean 'world-m'?"),
    ],
)
def test_a_wrong_name_is_told_what_is_wrong(name: str, words: str):
    assert words in (models.check_name(name) or "")
    with pytest.raises(InputError):
        models.load(name)


def test_fingerprints_need_no_pretraining_and_follow_the_name(cache: Path):
    known = [models.fingerprint(name) for name in ("world-s", "world-s@1", "world-s-encdec", "world-s-instruct")]
    assert len(set(known)) == len(known)
    assert not cache.exists()


def test_a_fingerprint_follows_the_line_of_its_own_size_alone(monkeypatch: pytest.MonkeyPatch):
    names = ("world-s", "world-s-instruct", "world-s~0.55@2", "world-s-encdec", "world-m")
    before = {name: models.fingerprint(name) for name in names}
    monkeypatch.setitem(sizes.DECODERS, "s", replace(sizes.DECODERS["s"], learning_rate=1e-3))
    assert [name for name in names if models.fingerprint(name) == before[name]] == ["world-s-encdec", "world-m"]
    monkeypatch.setattr(world, "WORLD_VERSION", world.WORLD_VERSION + 1)
    assert [name for name in names if models.fingerprint(name) == before[name]] == []


# --- pretraining -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("LOWRES_CACHE", str(folder))
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """Pretraining of twelve steps."""
    for table in (sizes.DECODERS, sizes.ENCODER_DECODERS):
        monkeypatch.setitem(table, "xs", replace(table["xs"], steps=12))
    return cache


@pytest.fixture(scope="module", params=["decoder", "encoder-decoder"])
def relations_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The smallest decoder and the middle encoder-decoder after some seconds of what follows from what.

    The encoder-decoder learns it among facts: alone, it was learnt even with settings under which nothing else was.
    """
    encdec = request.param == "encoder-decoder"
    size, steps, text = ("m", 250, {"relation": 1, "fact": 5}) if encdec else ("xs", 150, {"relation": 1})
    table = sizes.ENCODER_DECODERS if encdec else sizes.DECODERS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "STAGES", ((1.0, text),))
        patch.setitem(table, size, replace(table[size], steps=steps))
        folder = tmp_path_factory.mktemp("world")
        pretraining.pretrain(world.WorldModel(size, encdec), folder, None, progress=False)
    return models.load(str(folder), "fp32", "cpu")


def test_some_seconds_of_pretraining_teach_what_follows_from_what(relations_model: LanguageModel):
    from lowres.evaluate import evaluate_probe

    probe = data.load_probe("world-relation")
    outcomes = evaluate_probe(relations_model.model, relations_model, probe, len(probe.examples))
    accuracy = sum(outcomes["accuracy"]) / len(probe.examples)
    assert accuracy > 0.45  # chance is 0.25
    assert accuracy == pytest.approx(pretraining.accuracy(relations_model.model, probe.examples), abs=0.03)


@pytest.mark.parametrize("name", ["world-xs", "world-xs-encdec"])
def test_the_same_name_gives_the_same_weights_and_another_seed_others(
    name: str, quick: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def weights(of: str, folder: str) -> list[torch.Tensor]:
        monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / folder))
        loaded = models.load(of, "fp32", "cpu")
        models._load.cache_clear()
        return list(loaded.model.parameters())

    torch.manual_seed(5)
    first = weights(name, "first")
    torch.manual_seed(6)
    assert all(map(torch.equal, first, weights(name, "second")))
    assert not all(map(torch.equal, first, weights(f"{name}@1", "first")))


def test_the_weights_are_those_of_this_world_version_on_every_machine():
    """See `world_weights`, which also writes them anew."""
    found = helper.perform(True, world_weights.short_pretrainings)
    assert {"world_version": world.WORLD_VERSION, **found} == json.loads(world_weights.GOLDEN.read_text())


def texts(name: str, steps: int = 40) -> list[str]:
    """What a model is pretrained on, some batches of it, as text."""
    model, words = world.parse(name), vocabulary.words()
    assert isinstance(model, world.WorldModel)
    rows = [row for batch in pretraining._text(model, Random(0), steps) for row in batch]
    return [" ".join(words[token] for token in (*row.prompt, *row.target)) for row in rows]


@pytest.mark.parametrize("middle", ["", "-instruct"])
@pytest.mark.parametrize("kind", ["two-hop", "yes-no", "reading", "pronoun"])
def test_a_model_without_a_kind_of_text_never_meets_it(kind: str, middle: str):
    """Told by its forms, with any word where a name or a value would stand."""
    forms = {
        "two-hop": [form for listed in wording.TWO_HOPS.values() for form in listed],
        "yes-no": [form for listed in wording.YES_NO.values() for form in listed],
        "pronoun": list(wording.MEETINGS),
        "reading": [wording.PASSAGE.format(told, "") for told in wording.TOLD.values()],
    }[kind]
    patterns = [re.sub(r"\\\{\d\\\}", r"[a-z]+", re.escape(form)) for form in forms]
    alike = re.compile("|".join(rf"(?:<reply>|<s>|[.?]) {pattern}" for pattern in patterns))

    def has(text: str) -> bool:
        return bool(alike.search(text)) and "tell it in another order" not in text

    assert any(map(has, texts(f"world-s{middle}")))
    assert not any(map(has, texts(f"world-s{middle}-without-{kind}")))


def test_a_model_without_a_kind_of_text_meets_the_others_in_their_proportions():
    usual, without = (pretraining.stages(world.WorldModel("s", without=kind)) for kind in ("", "two-hop"))
    assert usual == pretraining.STAGES
    for (share, text), (shared, rest) in zip(usual, without, strict=True):
        assert shared == share
        assert rest == {kind: parts for kind, parts in text.items() if kind != "two-hop"}


@pytest.mark.parametrize("encdec", ["", "-encdec"])
def test_instruction_tuned_models_go_on_from_the_base_and_speak_their_format(encdec: str, quick: Path):
    loaded = models.load(f"world-xs{encdec}-instruct", "fp32", "cpu")
    assert loaded.model.config.is_encoder_decoder == bool(encdec)
    assert loaded.context == vocabulary.CONTEXT
    kept = {path.name.rsplit("-", 1)[0] for path in (quick / "models").iterdir() if path.is_dir()}
    assert kept == {f"world-xs{encdec}", f"world-xs{encdec}-instruct"}
    row = formats.encode(loaded, "is it so ?", "yes")
    shown = loaded.tokenizer.convert_ids_to_tokens(row.ids)
    assert shown == ["<user>", "is", "it", "so", "?", "<reply>", "yes", "</s>"]
    assert row.prompt_length == 6
    assert loaded.tokenizer.decode(row.ids[1:5]) == "is it so ?"
    assert formats.end_tokens(loaded) == (vocabulary.ids()["</s>"],)


def test_a_base_decoder_starts_with_its_start_token_and_an_encoder_without(quick: Path):
    decoder = models.load("world-xs", "fp32", "cpu")
    assert formats.encode(decoder, "is it so ?", "yes").ids[0] == decoder.tokenizer.bos_token_id
    encoder = models.load("world-xs-encdec", "fp32", "cpu")
    assert formats.encode(encoder, "is it so ?", "yes").ids == vocabulary.encode("is it so ? yes </s>")
    assert encoder.model.config.decoder_start_token_id == encoder.tokenizer.pad_token_id


def test_pretraining_stops_at_a_level(quick: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pretraining, "CHECK_EVERY", 2)
    loaded = models.load("world-xs~0.05", "fp32", "cpu")
    assert loaded.model.config.lowres_world["steps"] == 2
    assert loaded.model.config.lowres_world["level"] >= 0.05
    with pytest.raises(InputError, match=r"'world-xs~0\.99' reached a level of 0\.\d\d in 12 steps, not 0\.99"):
        models.load("world-xs~0.99", "fp32", "cpu")
    assert not [path for path in (quick / "models").iterdir() if path.is_dir() and "0.99" in path.name]


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer, as a user would."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_interrupted_pretraining_leaves_nothing_half_written(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lowres.world.weights.FOLDER", cache / "none are published")
    with pytest.raises(KeyboardInterrupt), limited(0.7):
        models.load("world-xs", "fp32", "cpu")
    assert not [path for path in (cache / "models").iterdir() if path.is_dir()]


def test_a_second_load_finds_the_first(quick: Path, monkeypatch: pytest.MonkeyPatch):
    folder, seconds = models.pretrained("world-xs")
    assert seconds is not None
    monkeypatch.setattr(pretraining, "pretrain", None)
    assert models.pretrained("world-xs") == (folder, None)


def test_the_command_shows_levels_beside_chance(quick: Path, capsys: Any):
    from lowres.cli import main

    assert main(["pretrain", "world-xs", "world-xs-encdec"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["probe", "chance", "world-xs", "world-xs-encdec"]
    cells = {line.split()[0]: line.split() for line in lines}
    assert set(cells) >= set(world.PROBES)
    assert all(re.fullmatch("[0-9a-f]{16}", cell) for cell in cells["weights"][1:])
    assert len(set(cells["weights"][1:])) == 2
    assert main(["pretrain", "smollm2-135m-instruct", "world-z"]) == 2
    error = capsys.readouterr().err
    assert "is not a world model" in error
    assert "unknown size 'z'" in error


def test_the_hash_of_weights_follows_every_bit(tmp_path: Path):
    from safetensors.torch import save_file

    from lowres.world.levels import weights_digest

    def hashed(**weights: torch.Tensor) -> str:
        save_file(weights, tmp_path / "model.safetensors", {"made": str(len(list(tmp_path.iterdir())))})
        return weights_digest(tmp_path)

    first = hashed(a=torch.zeros(2, 3), b=torch.ones(2))
    assert first == hashed(b=torch.ones(2), a=torch.zeros(2, 3))
    others = [
        hashed(a=torch.zeros(2, 3), b=torch.tensor([1.0, 1.0 + 2**-23])),
        hashed(a=torch.zeros(3, 2), b=torch.ones(2)),
        hashed(a=torch.zeros(2, 3), c=torch.ones(2)),
    ]
    assert len({first, *others}) == 4


def test_names_are_known_without_generating_anything():
    code = (
        "import sys, lowres.data, lowres.world as world, lowres.models as models;"
        "lowres.data.check_name('world-headline'), models.check_name('world-m'), models.fingerprint('world-m');"
        "assert not {'torch', 'numpy', 'transformers', 'lowres.world.people'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_probes_are_probes():
    assert all(isinstance(data.load_probe(name), Probe) for group in world.GROUPS.values() for name in group)
    assert {name for group in world.GROUPS.values() for name in group} == set(world.PROBES)
    assert set(world.LEVEL_PROBES) == {
        name
        for name in world.PROBES
        if not name.startswith(("world-reading", "world-pronoun", "world-yes-no", "world-bias"))
    }


@pytest.mark.parametrize("name", ["world-xs", "world-xs-encdec", "world-xs-instruct"])
def test_published_weights_are_those_of_pretraining(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from lowres.world import sizes, weights
    from lowres.world.levels import weights_digest

    for table in (sizes.DECODERS, sizes.ENCODER_DECODERS):
        monkeypatch.setitem(table, "xs", replace(table["xs"], steps=3))
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    model, made, again = world.parse(name), tmp_path / "made", tmp_path / "again"
    assert isinstance(model, world.WorldModel)
    base = tmp_path / "base" if model.instruct else None
    if base:
        pretraining.pretrain(replace(model, instruct=False), base, None, progress=False)
    pretraining.pretrain(model, made, base, progress=False)
    path = weights.publish(model, "0123", made)
    assert weights.is_published(model, "0123")
    assert not weights.is_published(model, "of another version")
    assert not weights.is_published(replace(model, seed=1), "0123")
    weights.restore(model, again)
    assert weights_digest(again) == weights_digest(made)
    names = {each.name for each in made.iterdir()}
    assert {each.name for each in again.iterdir()} == names
    assert (again / "config.json").read_text() == (made / "config.json").read_text()
    assert path.stat().st_size < 0.6 * (made / "model.safetensors").stat().st_size


def test_a_weight_beyond_half_precision_is_refused():
    from lowres.world import weights

    layer = torch.nn.Linear(2, 2)
    layer.weight.data[0, 0] = 1e6
    with pytest.raises(ValueError, match="weight weight does not fit half precision"):
        weights.rounded(layer)
