"""A user's own task: good and bad JSONL files, folders, and data sets of the `datasets` library."""

import json
import sys
import types

import pytest

from lowres import data
from lowres.data import Example, TaskOptions, check_name, load_probe, load_task, mix
from lowres.params import InputError


def rows(count=20, **more):
    return [{"prompt": f"What is {number} + 1?", "target": str(number + 1), **more} for number in range(count)]


def write(path, items):
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return path


def load(path, **options):
    return load_task(f"jsonl:{path}", TaskOptions(**options))


def everything(task):
    return [*task.train, *task.validation, *task.test]


def problems(path, **options):
    with pytest.raises(InputError) as caught:
        load(path, **options)
    return caught.value.problems


def test_a_plain_file_becomes_a_task(tmp_path):
    path = write(tmp_path / "sums.jsonl", rows(100))
    task = load(path)
    assert task.name == f"jsonl:{path}"
    assert (len(task.train), len(task.validation), len(task.test)) == (70, 10, 20)
    assert task.metric == "token_f1"
    assert "sums" in task.instruction
    example = next(item for item in everything(task) if item.prompt == "What is 3 + 1?")
    assert (example.target, example.answers, example.choices) == ("4", ("4",), ())
    assert len({item.id for item in everything(task)}) == 100
    assert load(path) == task
    assert load(path).fingerprint() == task.fingerprint()


def test_the_split_follows_the_content_not_the_order_of_lines(tmp_path):
    one = load(write(tmp_path / "one.jsonl", rows(50)))
    other = load(write(tmp_path / "other.jsonl", rows(50)[::-1]))
    assert (one.train, one.validation, one.test) == (other.train, other.validation, other.test)
    assert load(tmp_path / "one.jsonl", split_seed=1).train != one.train


@pytest.mark.parametrize("count", [10, 11, 13])
def test_the_smallest_file_has_all_splits(tmp_path, count):
    task = load(write(tmp_path / "small.jsonl", rows(count)))
    assert all((task.train, task.validation, task.test))
    assert len(everything(task)) == count


def test_an_input_is_appended_to_its_instruction(tmp_path):
    items = [{"instruction": "Add one.", "input": str(number), "output": str(number + 1)} for number in range(12)]
    items[0]["input"] = ""
    prompts = {item.prompt for item in everything(load(write(tmp_path / "x.jsonl", items)))}
    assert {"Add one.", "Add one.\n1", "Add one.\n11"} <= prompts


def test_fields_can_be_named(tmp_path):
    items = [{"text": f"p{n}", "label": n % 2, "of": ["0", "1"]} for n in range(12)]
    path = write(tmp_path / "x.jsonl", items)
    task = load(path, prompt_field="text", target_field="label", choices_field="of", instruction="Do it.")
    assert task.metric == "accuracy"
    assert task.instruction == "Do it."
    assert {(item.target, item.choices) for item in everything(task)} == {("0", ("0", "1")), ("1", ("0", "1"))}


def test_one_named_field_is_enough_when_the_other_is_usual(tmp_path):
    path = write(tmp_path / "x.jsonl", [{"text": f"p{n}", "response": f"t{n}"} for n in range(12)])
    assert load(path, prompt_field="text").train[0].prompt.startswith("p")


def test_several_answers_are_kept(tmp_path):
    items = [{"question": f"q{n}", "answer": [f"a{n}", f"b{n}"]} for n in range(12)]
    example = load(write(tmp_path / "x.jsonl", items)).train[0]
    assert example.target == example.answers[0]
    assert len(example.answers) == 2


def test_groups_and_ids_are_respected(tmp_path):
    items = [{**row, "id": f"n{number}", "group": f"g{number // 5}"} for number, row in enumerate(rows(50))]
    task = load(write(tmp_path / "x.jsonl", items))
    groups = [{item.group for item in getattr(task, split)} for split in data.SPLITS]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 10
    assert {item.id for item in everything(task)} == {f"n{number}" for number in range(50)}


def test_repeats_are_removed_and_counted_but_not_what_differs_in_punctuation(tmp_path):
    items = rows(20) + rows(3) + [{"prompt": "What is 3 - 1?", "target": "2"}]
    task = load(write(tmp_path / "x.jsonl", items))
    assert len(everything(task)) == 21
    assert "3 repeated examples removed" in task.note


def test_prompts_with_two_targets_stay_in_one_split(tmp_path):
    items = [row | {"target": target} for row in rows(20) for target in ("one", "two")]
    task = load(write(tmp_path / "x.jsonl", items))
    prompts = [{item.prompt for item in getattr(task, split)} for split in data.SPLITS]
    assert sum(map(len, prompts)) == 20
    assert len(everything(task)) == 40


def test_training_examples_that_a_probe_asks_are_counted(tmp_path):
    items = [*rows(30), {"prompt": load_probe("siqa").examples[0].prompt, "target": "x"}]
    seeds = (load(write(tmp_path / "x.jsonl", items), split_seed=seed) for seed in range(20))
    assert any("1 training examples share text with a probe" in task.note for task in seeds)


def test_every_broken_line_is_told_at_once_with_its_place(tmp_path):
    good = [json.dumps(row).encode() for row in rows(12)]
    bad = [
        b'{"prompt": "no end',
        b'{"prompt": "p"}',
        b'{"prompt": "p", "target": "  "}',
        b'{"prompt": "p", "target": null}',
        b'{"prompt": {"a": 1}, "target": "t"}',
        b'["a", "list"]',
        b'{"prompt": "caf\xe9", "target": "t"}',
        b'{"prompt": "p", "target": "c", "choices": ["a", "b"]}',
        b'{"prompt": "p", "target": "a", "choices": ["a", "a"]}',
        b'{"prompt": "\\ud800", "target": "a"}',
    ]
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n".join(good[:1] + bad + good[1:]))
    told = problems(path)
    expected = [
        "line 2: not valid JSON",
        "line 7: not a JSON object",
        "line 8: not UTF-8",
        "line 11: holds half of a surrogate pair",
        "line 3: field 'target' is missing; the row has 'prompt'",
        "line 4: field 'target' is empty",
        "line 5: field 'target' is null",
        "line 6: field 'prompt' must be text, not dict",
        "line 9: field 'target' is 'c', which is not among the choices 'a', 'b'",
        "line 10: field 'choices' must list at least two different choices",
    ]
    assert len(told) == len(expected)
    assert [words for words in expected if not any(words in problem for problem in told)] == []
    assert all(str(path) in problem for problem in told)


def test_of_one_kind_of_problem_some_are_told_and_the_rest_is_counted(tmp_path):
    told = problems(write(tmp_path / "x.jsonl", rows(12) + [{"prompt": "p", "target": ""}] * 25))
    assert [f"line {line}:" in each for line, each in zip((13, 14, 15), told, strict=False)] == [True] * 3
    assert len(told) == 4
    assert "22 more" in told[-1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\n \n\r\n", "the file is empty"),
        ("{}".encode("utf-16"), "no row has the fields"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b'{"a": 1}\n' * 12, "no row has the fields 'prompt' and 'target'; the first row has 'a'"),
        (b"\x80\x81\x82" * 5, "line 1: not UTF-8"),
        (b"[" * 100_000, "line 1: not valid JSON"),
    ],
)
def test_files_that_are_no_data(tmp_path, content, words):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    assert words in problems(path)[0]


def test_no_known_fields_is_one_problem_not_one_per_line(tmp_path):
    told = problems(write(tmp_path / "x.jsonl", [{"a": 1, "b": 2}] * 12))
    assert len(told) == 1
    assert "prompt_field" in told[0]


def test_a_misspelt_field_option_names_the_fields_there_are(tmp_path):
    told = problems(write(tmp_path / "x.jsonl", rows(12)), prompt_field="promt")
    assert len(told) == 1
    assert "'promt'" in told[0]
    assert "'prompt', 'target'" in told[0]


def test_a_repeated_id_is_refused(tmp_path):
    items = [row | {"id": f"n{number // 2}"} for number, row in enumerate(rows(20))]
    assert "the id 'n0' is used by 2 different examples" in problems(write(tmp_path / "x.jsonl", items))


def test_an_unreadable_file_is_named(tmp_path):
    folder = tmp_path / "folder"
    (folder / "train.jsonl").mkdir(parents=True)
    assert "train.jsonl: cannot be read" in problems(folder)[0]


def test_a_first_row_without_the_fields_is_one_broken_line(tmp_path):
    told = problems(write(tmp_path / "x.jsonl", [{"question": "q"}, *({"question": "q", "answer": "a"} for _ in "ab")]))
    assert len(told) == 1
    assert "line 1: field 'answer' is missing" in told[0]


def test_too_few_examples(tmp_path):
    assert "9 different examples; at least 10" in problems(write(tmp_path / "x.jsonl", rows(9)))[0]
    assert "9 different examples" in problems(write(tmp_path / "x.jsonl", rows(9) * 3))[0]


def test_too_few_groups(tmp_path):
    told = problems(write(tmp_path / "x.jsonl", rows(20, group="one")))
    assert "1 different prompts or groups" in told[0]


def test_bad_metrics(tmp_path):
    path = write(tmp_path / "x.jsonl", rows(12))
    assert "allowed: token_f1, exact_match, rouge_l" in problems(path, metric="meteor")[0]
    assert "needs a field with choices" in problems(path, metric="accuracy")[0]
    assert load(path, metric="rouge_l").metric == "rouge_l"
    mixed = [*rows(12), {"prompt": "p", "target": "a", "choices": ["a", "b"]}]
    assert "1 of 13 examples have choices" in problems(write(tmp_path / "y.jsonl", mixed))[0]


def test_missing_places(tmp_path):
    assert "there is no such file or folder" in (check_name(f"jsonl:{tmp_path}/none.jsonl") or "")
    assert "has no train.jsonl" in (check_name(f"jsonl:{tmp_path}") or "")
    assert "needs a path" in (check_name("jsonl:") or "")
    assert "needs a data set id" in (check_name("hub:") or "")
    assert check_name("hub:any/thing") is None
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "none.jsonl")


def test_a_folder_is_used_as_it_is_split(tmp_path):
    items = rows(30)
    write(tmp_path / "train.jsonl", items[:15])
    write(tmp_path / "dev.jsonl", items[15:20])
    write(tmp_path / "test.jsonl", items[20:] + items[:2])
    task = load(tmp_path)
    assert (len(task.train), len(task.validation), len(task.test)) == (13, 5, 12)
    assert "2 examples removed from train" in task.note


def test_a_missing_split_is_drawn_from_train(tmp_path):
    write(tmp_path / "train.jsonl", rows(40)[:30])
    write(tmp_path / "test.jsonl", rows(40)[30:])
    task = load(tmp_path)
    assert (len(task.train), len(task.validation), len(task.test)) == (27, 3, 10)


def test_a_broken_line_in_a_folder_names_its_file(tmp_path):
    write(tmp_path / "train.jsonl", rows(12))
    write(tmp_path / "test.jsonl", [{"prompt": "p"}])
    assert "test.jsonl line 1" in problems(tmp_path)[0]


@pytest.fixture(scope="module")
def datasets():
    return pytest.importorskip("datasets")


def test_a_saved_data_set_is_loaded(tmp_path, datasets):
    features = datasets.Features(
        {"question": datasets.Value("string"), "answer": datasets.ClassLabel(names=["yes", "no"])}
    )
    items = [{"question": f"q{number}", "answer": number % 2} for number in range(40)]
    hidden = [{"question": "hidden", "answer": -1}]
    parts = {"train": items[:20], "validation": items[20:], "test": hidden}
    saved = datasets.DatasetDict(
        {split: datasets.Dataset.from_list(part, features=features) for split, part in parts.items()}
    )
    saved.save_to_disk(str(tmp_path / "saved"))
    task = load_task(f"hub:{tmp_path / 'saved'}")
    assert (len(task.train), len(task.validation), len(task.test)) == (16, 20, 4)  # the unlabelled test is not used
    assert task.metric == "accuracy"
    assert {item.target for item in task.train} == {"yes", "no"}
    assert {item.choices for item in task.train} == {("yes", "no")}
    assert all(isinstance(item, Example) for item, _ in mix(task.train, task.test, "shuffle", 0))


def test_a_folder_of_files_is_loaded(tmp_path, datasets, monkeypatch):
    assert datasets
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "train.jsonl", rows(20))
    task = load_task(f"hub:{folder}")
    assert (len(task.train), len(task.validation), len(task.test)) == (14, 2, 4)


def test_a_single_saved_split_is_split_here(tmp_path, datasets):
    datasets.Dataset.from_list(rows(20)).save_to_disk(str(tmp_path / "one"))
    assert len(load_task(f"hub:{tmp_path / 'one'}").train) == 14


def test_a_data_set_without_labels_is_refused(tmp_path, datasets):
    features = datasets.Features(
        {"question": datasets.Value("string"), "answer": datasets.ClassLabel(names=["a", "b"])}
    )
    rows = [{"question": f"q{number}", "answer": -1} for number in range(20)]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(str(tmp_path / "one"))
    with pytest.raises(InputError, match="no labelled rows"):
        load_task(f"hub:{tmp_path / 'one'}")


def fake_datasets(monkeypatch, load_dataset):
    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))


def test_an_unreachable_hub_says_what_it_needs(monkeypatch):
    def refuse(*_):
        raise ConnectionError("Couldn't reach the hub")

    fake_datasets(monkeypatch, refuse)
    with pytest.raises(InputError, match=r"needs the id of a data set and a network.*save_to_disk"):
        load_task("hub:some/thing")
    with pytest.raises(InputError, match=r"load_dataset\('some/thing', 'plain'\)"):
        load_task("hub:some/thing:plain")


def test_a_configuration_stands_after_a_colon(monkeypatch):
    asked = []

    def give(*given):
        asked.append(given)
        part = [{"prompt": f"p{number}", "target": "t"} for number in range(12)]
        return {"validation": part}

    fake_datasets(monkeypatch, give)
    with pytest.raises(InputError, match="no split train, only validation"):
        load_task("hub:some/thing:plain")
    assert asked == [("some/thing", "plain")]


def numbered(**row):
    """Twenty rows like this one, with their number wherever a text has braces."""
    return [
        {key: value.format(n) if isinstance(value, str) else value for key, value in row.items()} for n in range(20)
    ]


PAPER_DATA = {
    "commonsense170k": numbered(instruction="Is it {}?", input="", output="the answer is true", answer="true"),
    "math10k": numbered(instruction="Add {} and 1.", input="", output="{} and 1 is 7.", answer="7"),
    "ultrafeedback": numbered(instruction="Tell of {}.", chosen_response="Of {}!", rejected_response="No."),
    "glue-rte": numbered(sentence1="It is {}.", sentence2="Is it?", label=1, idx=3),
}


@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [
        ("commonsense170k", ("zwhe99/commonsense_170k", None), ("Is it 0?", "true", "exact_match")),
        ("math10k", ("lmms-lab/Math10K", None), ("Add 0 and 1.", "0 and 1 is 7.", "number")),
        ("ultrafeedback", ("argilla/ultrafeedback-binarized-preferences", None), ("Tell of 0.", "Of 0!", "rouge_l")),
        ("glue-rte", ("nyu-mll/glue", "rte"), ("Sentence1: It is 0.\nSentence2: Is it?", "no", "accuracy")),
    ],
)
def test_the_data_of_a_paper_come_from_the_hub_by_name(monkeypatch, datasets, name, place, expected):
    part = datasets.Dataset.from_list(PAPER_DATA[name])
    if "label" in part.column_names:
        part = part.cast_column("label", datasets.ClassLabel(names=["yes", "no"]))
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *given: asked.append(given) or {"train": part})
    task = load_task(name)
    assert asked == [place]
    assert (task.name, len(task.train)) == (name, 14)
    assert expected in {(item.prompt, item.target, task.metric) for item in everything(task)}
    assert name not in data.task_names()  # what needs a network is not among what is there
    assert check_name(name) is None


def test_fields_that_make_up_a_prompt_together_must_all_be_there(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [{"one": f"a{n}", "other": f"b{n}", "say": "yes"} for n in range(20)])
    task = load_task(f"jsonl:{path}", TaskOptions(prompt_field="one+other", target_field="say"))
    assert {item.prompt for item in task.train} <= {f"One: a{n}\nOther: b{n}" for n in range(20)}
    with pytest.raises(InputError, match="no row has the fields 'one\\+third' and 'say'"):
        load_task(f"jsonl:{path}", TaskOptions(prompt_field="one+third", target_field="say"))


def test_a_missing_folder_is_not_taken_for_an_id():
    with pytest.raises(InputError, match="there is no such folder"):
        load_task("hub:./not/there")
