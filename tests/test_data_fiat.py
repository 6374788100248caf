"""Tasks of the study of instruction-accelerated tuning, and the readers of the paper's own data."""

import json
from collections import Counter
from pathlib import Path

import pytest

from lowres import data
from lowres.data import fiat_files, fiat_tasks, wiki
from lowres.data.fiat_tasks import content_words, language_of, nearest_others
from lowres.data.load import WITH_RATIONALES
from lowres.evaluate import metrics
from lowres.examples import normalise
from lowres.params import InputError

FOREIGN = [f"wiki-crosslingual-{language}" for language in fiat_tasks.FOREIGN]


def everything(name):
    task = data.load_task(name)
    return (*task.train, *task.validation, *task.test)


def lines(item):
    """The contents of the lines of a prompt, without their names and without the marker."""
    return [line.split(": ", 1)[1] for line in item.prompt.split("\n")[:-1]]


# --- attribution -----------------------------------------------------------------------------------------------------


def test_what_is_dealt_out_by_hand():
    texts = [
        "He was a French painter of ships.",
        "She was a French singer.",
        "It is a river.",
        "It is a lake in Italy.",
    ]
    descriptions = ["French painter", "French singer", "River in Italy", "Italian lake"]
    # The singer and the painter share "French", river and lake one word of three ("Italy") and none.
    assert nearest_others(texts, descriptions) == [1, 0, 3, 2]
    # Now "painter" is true of the first and has no other taker than one of the last two.
    dealt = nearest_others(texts, ["French painter", "painter", "River in Italy", "Italian lake"])
    assert sorted(dealt) == [0, 1, 2, 3]
    assert dealt[0] != 1  # every painter that the text names is one
    assert dealt[1] != 0  # and "French painter" has all that is said of the second


@pytest.mark.parametrize("split", data.SPLITS)
def test_neither_text_nor_description_says_anything_about_the_answer(split):
    items = getattr(data.load_task("wiki-attribution"), split)
    for line in (0, 1):
        right, wrong = (Counter(lines(item)[line] for item in items if item.target == which) for which in ("yes", "no"))
        assert right == wrong
    assert Counter(Counter(item.group for item in items).values()).keys() == {2}


def test_a_description_that_may_be_true_is_not_called_wrong():
    articles = {article.title: article for split, _ in wiki.SHARES for article in wiki.articles(split)}
    for item in everything("wiki-attribution"):
        article, (text, description) = articles[item.group], lines(item)
        assert article.text.startswith(text[:-1])
        assert item.choices == ("yes", "no")
        assert (item.target == "yes") == (description == article.description)
        if item.target == "no":
            said = content_words(text) | content_words(article.description)
            assert not content_words(description) <= said
            assert not content_words(article.description) <= content_words(description)


def test_a_wrong_description_is_of_the_same_topic():
    topics = {}
    for split in data.SPLITS:
        for article in wiki.articles(split):
            topics.setdefault((split, article.description), set()).add(article.topic)
    articles = {article.title: article.topic for split in data.SPLITS for article in wiki.articles(split)}
    for split in data.SPLITS:
        for item in getattr(data.load_task("wiki-attribution"), split):
            assert articles[item.group] in topics[split, lines(item)[1]]


def test_attribution_names_its_bar():
    note = data.load_task("wiki-attribution").note
    assert "87 %" in note
    assert "; 24 articles" in note
    assert "after it 0 training items" in note  # one that went later would leave its description with one answer


def test_no_title_or_territory_is_in_two_splits():
    for name in ("wiki-attribution", "country-language"):
        groups = [{item.group for item in getattr(data.load_task(name), split)} for split in data.SPLITS]
        assert sum(map(len, groups)) == len(set.union(*groups))


# --- descriptions across languages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOREIGN)
def test_the_english_title_decides_the_split(name):
    titles = {split: {article.title: article for article in wiki.articles(split)} for split, _ in wiki.SHARES}
    titles["test"] |= titles["probe"]
    task = data.load_task(name)
    for split in data.SPLITS:
        for item in getattr(task, split):
            article = titles[split][item.id.split("/", 2)[2]]
            assert item.target == article.description
            assert 0 < len(item.rationale.split()) <= 30
            assert article.text.startswith(item.rationale)
            assert len(item.prompt.split()) <= 42
            assert language_of(item) == name[-2:]


@pytest.mark.parametrize("name", FOREIGN)
def test_no_rationale_of_a_training_item_is_in_a_probe(name):
    for item in data.load_task(name).train:
        assert not data.touches_probe(data.Example("x", item.rationale, item.target))


def test_a_pair_by_hand():
    items = {item.id: item for item in everything("wiki-crosslingual-fr")}
    item = items["wiki-crosslingual/fr/Cricket"]
    assert item.prompt.startswith("Text: Le cricket est un sport collectif de balle et de batte")
    assert item.prompt.endswith("\nDescription:")
    assert item.target == "Team sport played with a bat and ball"
    assert item.rationale.startswith("Cricket is a bat-and-ball game")


def test_the_pool_has_no_descriptions_beside_tasks_about_them():
    for name in ("wiki-attribution", *FOREIGN):
        assert "wiki-description" not in {item.group for item in data.general_pool(name)}


# --- names of countries ----------------------------------------------------------------------------------------------


def test_countries_by_hand():
    items = {item.id: item for item in everything("country-language")}
    nepal = items["country-language/hi/NP"]
    assert nepal.prompt == "Place: नेपाल\nQuestion: On which continent is it?\nContinent:"
    assert (nepal.target, nepal.rationale, nepal.group) == ("Asia", "The name means Nepal in English.", "NP")
    expected = {"BR": "America", "EG": "Africa", "FR": "Europe", "FJ": "Oceania", "AU": "Oceania", "JP": "Asia"}
    assert {code: items[f"country-language/ta/{code}"].target for code in expected} == expected
    codes = {item.group for item in items.values()}
    assert codes.isdisjoint({"RU", "ES", "US", "IS", "MG", "AQ", "EU", "ZZ"})
    assert len(codes) == 222


def test_every_language_has_nearly_every_country_and_one_answer_for_it():
    items = everything("country-language")
    counts = Counter(language_of(item) for item in items)
    assert set(counts) == set(fiat_tasks.INDIC)
    assert len(counts) == 16
    assert min(counts.values()) >= 220
    places = {}
    for item in items:
        assert item.choices == fiat_tasks.CONTINENTS
        assert not any(letter.isascii() and letter.isalpha() for letter in lines(item)[0])
        assert places.setdefault(lines(item)[0], item.group) == item.group
    test = Counter(item.target for item in data.load_task("country-language").test)
    assert round(100 * max(test.values()) / test.total()) == 30  # as the note says


def test_only_ids_of_several_languages_have_one():
    assert language_of(data.Example("wiki-crosslingual/es/AC/DC", "x", "y")) == "es"
    assert language_of(data.Example("wiki-description/AC/DC", "x", "y")) == ""
    assert language_of(data.Example("country-language", "x", "y")) == ""


# --- the paper's own data --------------------------------------------------------------------------------------------

ATTRIQA = {
    "query": "सबसे लंबी नदी कौन सी है?",
    "query_language": "bn",
    "prediction": "Nile",
    "passage_in_language": "नील",
    "passage_en": "The Nile is long.",
    "passage_retrieved_language": "en",
    "ais": True,
}
QUESTION = {"question": "सबसे लंबी नदी?", "title": "Rivers", "context": "The Nile is long.", "target": "The Nile"}


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def attriqa(tmp_path):
    for part in ("train", "validation", *fiat_files.ATTRIQA_TESTS):
        language = part if len(part) == 2 else "te"
        write(
            tmp_path / "in-language" / f"{part}.jsonl",
            {**ATTRIQA, "query": f"Which {part}?", "query_language": language},
        )
    return tmp_path


@pytest.fixture
def xtreme(tmp_path):
    for split in data.SPLITS:
        for language in ("hi", "ta"):
            row = {**QUESTION, "question": f"{split} {language}"}
            write(
                tmp_path / "qa_cross_lang" / split / f"{language}.jsonl",
                row,
                {**row, "target": "No Answer"} | {"context": "Nothing."},
            )
    return tmp_path


def test_attriqa_takes_the_passage_in_the_language_in_which_it_was_found(attriqa):
    other = {**ATTRIQA, "passage_retrieved_language": "bn", "ais": "False"}
    write(attriqa / "in-language" / "bn.jsonl", ATTRIQA, other)
    task = fiat_files.xor_attriqa(attriqa)
    assert [len(getattr(task, split)) for split in data.SPLITS] == [1, 1, 6]
    found = {item.target: item for item in task.test if language_of(item) == "bn"}
    question = f"Question: {ATTRIQA['query']}\nAnswer: Nile\nSupported:"
    assert found["yes"].prompt == f"Passage: The Nile is long.\n{question}"
    assert found["no"].prompt == f"Passage: नील\n{question}"
    assert found["no"].choices == ("yes", "no")
    assert {language_of(item) for item in task.test} == set(fiat_files.ATTRIQA_TESTS)
    assert 25 <= len(task.instruction.split()) <= 45
    assert fiat_files.xor_attriqa(attriqa / "in-language").fingerprint("test") == task.fingerprint("test")


def test_xtreme_up_has_spans_and_no_answers(xtreme):
    task = fiat_files.xtreme_up_qa(xtreme)
    assert [len(getattr(task, split)) for split in data.SPLITS] == [4, 4, 4]
    assert Counter(item.target for item in task.test) == {"The Nile": 2, "No Answer": 2}
    (item,) = (item for item in task.test if language_of(item) == "ta" and item.target == "The Nile")
    assert item.prompt == "Title: Rivers\nPassage: The Nile is long.\nQuestion: test ta\nAnswer:"
    assert metrics.token_f1("the nile", item.target) == 1
    assert 25 <= len(task.instruction.split()) <= 45
    few = fiat_files.xtreme_up_qa(xtreme / "qa_cross_lang", ("hi",))
    assert {language_of(item) for item in (*few.train, *few.validation, *few.test)} == {"hi"}


def test_what_is_held_out_goes_from_train(xtreme):
    folder = xtreme / "qa_cross_lang"
    write(folder / "train/hi.jsonl", {**QUESTION, "question": "test hi"}, {**QUESTION, "title": ""})
    task = fiat_files.xtreme_up_qa(xtreme, ("hi",))
    assert [item.prompt for item in task.train] == ["Passage: The Nile is long.\nQuestion: सबसे लंबी नदी?\nAnswer:"]
    assert "1 training items that are held out" in task.note


def test_names_that_differ_in_vowel_signs_alone_are_two_items(xtreme):
    write(xtreme / "qa_cross_lang/train/hi.jsonl", {**QUESTION, "question": "की"}, {**QUESTION, "question": "के"})
    assert normalise("की") == normalise("के")
    assert len(fiat_files.xtreme_up_qa(xtreme, ("hi",)).train) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ais": "maybe"}, r"ja\.jsonl line 2: field 'ais' is 'maybe'; allowed: true, false"),
        ({"ais": None}, r"ja\.jsonl line 2: field 'ais' is None; allowed: true, false"),
        ({"query": 3}, r"ja\.jsonl line 2: field 'query' is 3; allowed: text, not empty"),
        ({"passage_en": " "}, r"ja\.jsonl line 2: field 'passage_en' is ' '; allowed: text, not empty"),
        ({"prediction": None}, r"ja\.jsonl line 2: field 'prediction' is missing; allowed: text, not empty"),
    ],
)
def test_a_bad_row_of_attriqa_is_named(attriqa, change, words):
    write(attriqa / "in-language" / "ja.jsonl", ATTRIQA, {**ATTRIQA, **change})
    with pytest.raises(InputError, match=words):
        fiat_files.xor_attriqa(attriqa)


def test_everything_that_is_wrong_is_told_at_once(attriqa):
    folder = attriqa / "in-language"
    (folder / "fi.jsonl").unlink()
    (folder / "ru.jsonl").write_text("{no json\n[1]\n")
    write(folder / "bn.jsonl", *[{"ais": True}] * 20)
    with pytest.raises(InputError) as caught:
        fiat_files.xor_attriqa(attriqa)
    problems = caught.value.args
    assert problems[-1] == f"... and {20 * 5 + 3 - len(problems) + 1} more problems of these kinds"
    (folder / "bn.jsonl").unlink()
    with pytest.raises(InputError) as caught:
        fiat_files.xor_attriqa(attriqa)
    shown = "\n".join(caught.value.args)
    for words in (
        "bn.jsonl: there is no such file",
        "ru.jsonl line 1: not valid JSON",
        "ru.jsonl line 2: not a JSON object",
    ):
        assert words in shown


def test_a_bad_folder_of_xtreme_up_is_named(xtreme, tmp_path):
    with pytest.raises(InputError, match=r"train: holds no LANGUAGE\.jsonl"):
        fiat_files.xtreme_up_qa(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"languages \['xx'\] are not in .*; allowed: hi, ta"):
        fiat_files.xtreme_up_qa(xtreme, ("hi", "xx"))
    write(xtreme / "qa_cross_lang/test/ta.jsonl", {**QUESTION, "target": ""})
    with pytest.raises(InputError, match=r"ta\.jsonl line 1: field 'target' is ''; allowed: text, not empty"):
        fiat_files.xtreme_up_qa(xtreme)


def test_a_release_is_a_task_by_name_and_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    problem = data.check_name(f"xor-attriqa:{tmp_path / 'absent'}")
    assert problem is not None
    assert "there is no such folder" in problem
    assert data.check_name(f"xtreme-up:{tmp_path}") is None
    with pytest.raises(InputError, match=r"train"):
        data.load_task(f"xtreme-up:{tmp_path}")


def test_the_tasks_with_rationales_of_their_own_are_known_without_reading_them():
    found = [name for name in data.task_names() if data.load_task(name).train[0].rationale is not None]
    assert sorted(found) == sorted(WITH_RATIONALES)
