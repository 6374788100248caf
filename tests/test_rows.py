"""Rows as people have them: formats, encodings, shapes of public data sets, and what is told about them."""

import bz2
import gzip
import json
import lzma

import pytest
import tiny

from lowres.data import TaskOptions, load_task, own, rationales
from lowres.data.columns import FIELD_PAIRS
from lowres.params import InputError

COUNT = 24
PLAIN = [{"prompt": f"q{i} é", "target": f"t{i}"} for i in range(COUNT)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in PLAIN)


@pytest.fixture(autouse=True)
def _no_probes(monkeypatch):
    monkeypatch.setattr(own, "touches_probe", lambda example: False)  # reads all probes, which has its own test


def task(path, content=None, **options):
    """The task in a file, after writing it: bytes, text, or rows."""
    if isinstance(content, str):
        content = content.encode()
    if content is not None and not isinstance(content, bytes):
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content).encode()
    if content is not None:
        path.write_bytes(content)
    return load_task(f"jsonl:{path}", TaskOptions(**options))


def every(found):
    return [*found.train, *found.validation, *found.test]


def pairs(found):
    return {(each.prompt, each.target) for each in every(found)}


def refused(path, content=None, **options):
    with pytest.raises(InputError) as caught:
        task(path, content, **options)
    return str(caught.value)


# --- formats ---------------------------------------------------------------------------------------------------------

COLUMNS = {name: [row[name] for row in PLAIN] for name in ("prompt", "target")}
AS_TABLE = "prompt{0}target\n" + "".join(f"q{i} é{{0}}t{i}\n" for i in range(COUNT))
FORMATS = {
    "array.json": json.dumps(PLAIN),
    "pretty.json": json.dumps(PLAIN, indent=2),
    "inside.json": json.dumps({"version": 1, "data": PLAIN}),
    "columns.json": json.dumps(COLUMNS),
    "pandas.json": json.dumps({name: dict(enumerate(values)) for name, values in COLUMNS.items()}),
    "pretty.jsonl": "\n".join(json.dumps(row, indent=1) for row in PLAIN),
    "array.jsonl": json.dumps(PLAIN),
    "no-suffix": LINES,
    "old-mac.jsonl": LINES.replace("\n", "\r"),
    "windows.jsonl": LINES.replace("\n", "\r\n"),
    "line-separators.jsonl": LINES.replace("\n", "\n\n"),
    **{f"{mark!r}.csv": AS_TABLE.format(mark) for mark in ",;\t|"},
    "windows.csv": AS_TABLE.format(",").replace("\n", "\r\n"),
    "old-mac.csv": AS_TABLE.format(",").replace("\n", "\r"),
    "spreadsheet.csv": "sep=;\r\n" + AS_TABLE.format(";"),
    "quoted.csv": "prompt,target\n" + "".join(f'"q{i} é","t{i}"\n' for i in range(COUNT)),
    "table.tsv": AS_TABLE.format("\t"),
    "rows.jsonl.gz": gzip.compress(LINES.encode()),
    "rows.csv.bz2": bz2.compress(AS_TABLE.format(",").encode()),
    "rows.jsonl.xz": lzma.compress(LINES.encode()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, name):
    found = task(tmp_path / name.replace("\t", "tab"), FORMATS[name])
    assert pairs(found) == {(row["prompt"], row["target"]) for row in PLAIN}


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("text", [LINES, AS_TABLE.format(",")])
def test_every_encoding_gives_the_same_rows(tmp_path, encoding, text):
    assert pairs(task(tmp_path / "rows", text.encode(encoding))) == {(row["prompt"], row["target"]) for row in PLAIN}


def test_parquet_is_read_with_the_names_of_its_labels(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    rows = [{"text": f"q{i}", "label": i % 2} for i in range(COUNT)]
    datasets.Dataset.from_list(rows, features=features).to_parquet(str(tmp_path / "train.parquet"))
    found = task(tmp_path / "train.parquet")
    assert found.metric == "accuracy"
    assert pairs(found) == {(f"q{i}", ("no", "yes")[i % 2]) for i in range(COUNT)}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.jsonl", LINES.encode("latin-1"), "line 1: not UTF-8 (byte 16"),
        ("x.csv", AS_TABLE.format(",").encode("latin-1"), "line 2: not UTF-8"),
        ("x.csv", "prompt,target\na,b\na,b,c\n", "line 3: has 3 cells, but the header has 2"),
        ("x.csv", 'prompt,target\n"a,b\nc,d\n', "not a table"),
        ("x.csv", "prompt,prompt\na,b\n", "names the column 'prompt' twice"),
        ("x.xlsx", b"PK\x03\x04\x14\x00\x06\x00\x08\x00 and more", "spreadsheet"),
        ("x.jsonl", "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("x.html", "<!DOCTYPE html>", "HTML"),
        ("x.txt", "some words\nand more\n", "no rows are found in it"),
        ("x.jsonl.gz", gzip.compress(LINES.encode())[:-9], "ended before"),
        ("x.parquet", b"PAR1 and no more", "cannot be read"),
        ("x.json", '[{"prompt": "a",\n "target" "b"}]', "line 2: not valid JSON"),
        ("x.json", json.dumps({"train": PLAIN, "test": PLAIN}), "several lists of rows (train, test)"),
        ("x.jsonl", '{"prompt": "a", "target": NaN}\n' * 12, "NaN is no value"),
        ("x.jsonl", '{"prompt": "a", "target": "b", "target": "c"}\n' * 12, "'target' is there twice"),
        ("x.jsonl", b"\x00\x01\xff", "no text"),
        ("x.jsonl", '{"prompt": "a", "target": "b"},\n' * 12, "line 1: not valid JSON (a comma stands behind"),
        ("x.jsonl", "{'prompt': 'a', 'target': None}\n" * 12, "line 1: not valid JSON (this is how Python"),
        ("x.jsonl", "// mine\n" + LINES, "line 1: not valid JSON (it has no comments"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_reason(tmp_path, name, content, words):
    assert words in refused(tmp_path / name, content)


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["007", "1e5", "13", "13.0", "-0", "true", "NA", "null", "0.10", "1_000"])
def test_a_table_is_read_as_it_is_written(tmp_path, written):
    found = task(tmp_path / "x.csv", "prompt,target\n" + "".join(f"q{i},{written}\n" for i in range(COUNT)))
    assert {each.target for each in every(found)} == {written}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((number, number) for number in ("1e5", "13.0", "12345678901234567890", "0")),
        *(
            ("false", "false"),
            ('" yes\\n"', "yes"),
            ('"    return x"', "    return x"),
            ('"\\n\\ta\\n\\tb\\n"', "\ta\n\tb"),
        ),
    ],
)
def test_a_value_of_json_is_read_as_it_is_written(tmp_path, value, text):
    lines = "".join(f'{{"prompt": "q{i}", "target": {value}}}\n' for i in range(COUNT))
    assert {each.target for each in every(task(tmp_path / "x.jsonl", lines))} == {text}


def test_zero_is_an_id_and_a_group(tmp_path):
    rows = [{"prompt": f"q{i}", "target": "t", "id": i, "group": i // 2} for i in range(COUNT)]
    found = every(task(tmp_path / "x.jsonl", rows))
    assert {each.id for each in found} == {str(i) for i in range(COUNT)}
    assert {each.group for each in found} == {str(i) for i in range(COUNT // 2)}


def test_what_cannot_be_seen_is_no_answer_and_is_told_in_others(tmp_path):
    rows = [{"prompt": f"q{i}", "target": "\u200b"} for i in range(COUNT)]
    assert "line 1: field 'target' is empty (it holds characters that cannot be seen)" in refused(tmp_path / "x", rows)
    rows = [{"prompt": f"q{i}", "target": "a\u200bb" if i < 3 else "ab"} for i in range(COUNT)]
    assert "3 rows hold characters that cannot be seen" in task(tmp_path / "x", rows).note


def test_rows_that_differ_in_indentation_are_two(tmp_path):
    rows = [{"prompt": f"q{i}", "target": f"{'  ' * n}x"} for i in range(COUNT) for n in (0, 1)]
    assert len(every(task(tmp_path / "x.jsonl", rows))) == 2 * COUNT


# --- columns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", FIELD_PAIRS)
def test_a_usual_pair_of_columns_is_found_whatever_its_case(tmp_path, pair):
    rows = [{part.upper(): f"{part} {i}" for name in pair for part in name.split("+")} for i in range(COUNT)]
    assert {each.target for each in every(task(tmp_path / "x.jsonl", rows))} == {f"{pair[1]} {i}" for i in range(COUNT)}


SHAPES = {  # as on the hub: a row, the prompt and the target that it is
    "squad": (
        {"title": "T", "context": "C", "question": "Q", "answers": {"text": ["a", "b"], "answer_start": [0, 1]}},
        ("Context: C\nQuestion: Q", "a"),
    ),
    "boolq": ({"question": "Q", "passage": "P", "answer": True}, ("Passage: P\nQuestion: Q", "true")),
    "qnli": ({"question": "Q", "sentence": "S", "label": 1, "idx": 3}, ("Sentence: S\nQuestion: Q", "1")),
    "copa": (
        {"premise": "I", "choice1": "a", "choice2": "b", "question": "cause", "label": "b", "idx": 3},
        ("Premise: I\nQuestion: cause", "b"),
    ),
    "dolly": ({"instruction": "I", "context": "C", "response": "R", "category": "c"}, ("I\nC", "R")),
    "alpaca": ({"instruction": "I", "input": "", "output": "R", "system": "S", "history": []}, ("S\n\nI", "R")),
    "messages": ({"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "R"}]}, ("Q", "R")),
    "messages and a prompt": (
        {"prompt": "x", "messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "R"}]},
        ("Q", "R"),
    ),
    "conversations": (
        {
            "conversations": [
                {"from": "system", "value": "S"},
                {"from": "human", "value": "Q"},
                {"from": "gpt", "value": "R"},
            ]
        },
        ("S\n\nQ", "R"),
    ),
    "parts": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Q"}]},
                {"role": "assistant", "content": "R"},
            ]
        },
        ("Q", "R"),
    ),
    "turns": (
        {"prompt": [{"role": "user", "content": "Q"}], "completion": [{"role": "assistant", "content": "R"}]},
        ("Q", "R"),
    ),
    "preferences": (
        {
            "prompt": "Q",
            "chosen": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "R"}],
            "rejected": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "no"}],
        },
        ("Q", "R"),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_rows_of_public_data_sets_are_understood(tmp_path, name):
    row, (prompt, target) = SHAPES[name]
    numbered = [json.loads(json.dumps(row).replace('"Q"', f'"Q {i}"').replace('"I"', f'"I {i}"')) for i in range(COUNT)]
    found = pairs(task(tmp_path / "x.jsonl", numbered))
    assert found == {
        (prompt.replace("Q", f"Q {i}").replace("I", f"I {i}").replace(f"Q {i}uestion", "Question"), target)
        for i in range(COUNT)
    }


TEXTS = ("north", "south", "east")
CHOICES = {  # a row of number i, whose right choice is TEXTS[i % 3]
    "text": lambda i: {"question": f"Q {i}", "choices": TEXTS, "answer": TEXTS[i % 3]},
    "mmlu": lambda i: {"question": f"Q {i}", "subject": "s", "choices": TEXTS, "answer": i % 3},
    "mmlu table": lambda i: {"question": f"Q {i}", **dict(zip("ABCD", TEXTS, strict=False)), "answer": "ABC"[i % 3]},
    "hellaswag": lambda i: {"ctx": f"Q {i}", "endings": TEXTS, "label": str(i % 3)},
    "arc": lambda i: {
        "question": f"Q {i}",
        "choices": {"text": TEXTS, "label": ["A", "B", "C"] if i % 2 else ["1", "2", "3"]},
        "answerKey": ("ABC" if i % 2 else "123")[i % 3],
    },
    "commonsenseqa": lambda i: {
        "question": f"Q {i}",
        "choices": [{"label": label, "text": text} for label, text in zip("ABC", TEXTS, strict=True)],
        "answerKey": "ABC"[i % 3],
    },
    "medqa": lambda i: {"question": f"Q {i}", "options": dict(zip("ABC", TEXTS, strict=True)), "answer": "ABC"[i % 3]},
    "siqa": lambda i: {
        "question": f"Q {i}",
        **{f"answer{letter}": text for letter, text in zip("ABC", TEXTS, strict=True)},
        "label": str(i % 3 + 1),
    },
    "letters in brackets": lambda i: {"question": f"Q {i}", "choices": TEXTS, "answer": f"({'abc'[i % 3]})"},
    "a table's cell": lambda i: {"question": f"Q {i}", "choices": "|".join(TEXTS), "answer": TEXTS[i % 3]},
    "a list in a cell": lambda i: {"question": f"Q {i}", "choices": json.dumps(TEXTS), "answer": i % 3},
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_target_points_at_its_choice_by_text_letter_or_position(tmp_path, name):
    found = task(tmp_path / "x.jsonl", [CHOICES[name](i) for i in range(COUNT)])
    assert found.metric == "accuracy"
    assert pairs(found) == {(f"Q {i}", TEXTS[i % 3]) for i in range(COUNT)}
    assert {each.choices for each in every(found)} == {TEXTS}


def test_positions_that_may_count_from_zero_or_one_are_refused(tmp_path):
    rows = [{"question": f"Q {i}", "choices": TEXTS, "answer": 1} for i in range(COUNT)]
    assert "from 0 or from 1" in refused(tmp_path / "x.jsonl", rows)


def test_numbers_that_are_choices_are_no_positions(tmp_path):
    rows = [{"question": f"Q {i}", "choices": ["1", "2", "0"], "answer": i % 3} for i in range(COUNT)]
    assert pairs(task(tmp_path / "x.jsonl", rows)) == {(f"Q {i}", str(i % 3)) for i in range(COUNT)}


def chat(*roles, **more):
    return {"messages": [{"role": role, "content": "text"} for role in roles], **more}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (chat("user", "assistant", "user", "assistant"), "a chat of 2 answers"),
        (chat("user"), "one turn of a user and then one of an assistant"),
        (chat("user", "tool", "assistant"), "a turn of 'tool'"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "without text"),
        ({"instruction": "I", "output": "O", "history": [["a", "b"]]}, "earlier turns"),
        ({"prompt": "a", "target": {"x": 1}}, "must be text, not dict"),
        ({"prompt": "a", "target": "b", "choices": ["b", "c", "b"]}, "'b' is there twice"),
        ({"prompt": "a", "target": None}, "field 'target' is null"),
    ],
)
def test_rows_that_cannot_be_used_say_why(tmp_path, row, words):
    told = refused(tmp_path / "x.jsonl", [row] * COUNT)
    assert words in told
    assert "line 1" in told
    assert "more problems" in told  # and not a line for each row


def test_an_option_that_names_no_column_is_refused(tmp_path):
    assert "choices_field is 'chioces', but the rows have 'prompt', 'target'" in refused(
        tmp_path / "x.jsonl", PLAIN, choices_field="chioces"
    )


# --- what is told ----------------------------------------------------------------------------------------------------


def test_columns_that_are_not_used_are_told(tmp_path):
    rows = [{**row, "choises": ["a"], "source": "x" if i < 5 else "", "empty": None} for i, row in enumerate(PLAIN)]
    note = task(tmp_path / "x.jsonl", rows).note
    assert "'choises' (24 rows; did you mean 'choices'?), 'source' (5 rows)" in note
    assert "empty" not in note


def test_an_answer_that_never_changes_is_told(tmp_path):
    rows = [{"text": f"q{i}", "label": "pos"} for i in range(COUNT)]
    assert f"all {COUNT} answers are the same" in task(tmp_path / "x.jsonl", rows).note


def test_an_object_inside_of_a_row_is_told_to_be_taken_apart(tmp_path):
    rows = [{"translation": {"en": f"q{i}", "de": "b"}} for i in range(COUNT)]
    assert "what is inside of 'translation' has to be made fields" in refused(tmp_path / "x.jsonl", rows)


def test_prompts_with_several_answers_tell_the_ceiling(tmp_path):
    rows = [{"prompt": f"q{i}", "target": target} for i in range(COUNT) for target in ("yes", "no")]
    assert "24 prompts have more than one answer (48 rows)" in task(tmp_path / "x.jsonl", rows).note
    assert "right in 50%" in task(tmp_path / "x.jsonl", rows).note


def test_prompts_of_a_test_that_are_nearly_in_train_are_counted(tmp_path):
    tiny.write_rows(tmp_path / "train.jsonl", PLAIN)
    close = [
        {"prompt": "Q1 É.", "target": "x"},
        {"prompt": "q2  e\u0301", "target": "x"},
        {"prompt": "q9000", "target": "x"},
    ]
    tiny.write_rows(tmp_path / "test.jsonl", close)
    assert "2 prompts of test differ from one in train" in task(tmp_path).note


@pytest.mark.parametrize("word", ["validation", "valid", "val", "dev", "eval", "validation_matched", "Validation"])
def test_a_validation_split_has_many_names(tmp_path, word):
    tiny.write_rows(tmp_path / "train.jsonl", PLAIN[:20])
    tiny.write_rows(tmp_path / f"{word}.jsonl", PLAIN[20:])
    found = task(tmp_path)
    assert {each.target for each in found.validation} == {"t20", "t21", "t22", "t23"}
    assert "20 train" not in found.note  # a test part is drawn from it
    assert "test (drawn from train)" in found.note


def test_files_that_are_not_used_are_told_and_parts_of_one_split_belong_together(tmp_path):
    (tmp_path / "data").mkdir()
    for part in range(2):
        tiny.write_rows(tmp_path / "data" / f"train-0000{part}-of-00002.json", PLAIN[part * 12 :][:12])
    tiny.write_rows(tmp_path / "data" / "extra.jsonl", PLAIN)
    found = task(tmp_path)
    assert len(every(found)) == COUNT
    assert "files not used: extra.jsonl" in found.note


def test_a_split_without_answers_is_not_used(tmp_path):
    tiny.write_rows(tmp_path / "train.jsonl", PLAIN)
    tiny.write_rows(tmp_path / "test.jsonl", [{"prompt": f"x{i}", "target": ""} for i in range(5)])
    found = task(tmp_path)
    assert "the split test has no answers" in found.note
    assert len(found.test) == 5  # drawn from train
    assert all(each.target for each in found.test)


def test_ids_that_count_anew_in_each_split_are_not_used(tmp_path):
    numbered = [{**row, "id": i % 12} for i, row in enumerate(PLAIN)]
    tiny.write_rows(tmp_path / "train.jsonl", numbered[:12])
    tiny.write_rows(tmp_path / "test.jsonl", numbered[12:])
    found = task(tmp_path)
    assert "ids are not used" in found.note
    assert len({each.id for each in every(found)}) == COUNT


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("12", {}, "token_f1, as for all written answers; all answers are numbers, for which there is metric=number"),
        ('{"a": 1}', {}, "metric=json_match"),
        ("yes", {"metric": "exact_match"}, "exact_match, as asked"),
    ],
)
def test_the_metric_and_its_reason_are_told(tmp_path, target, options, words):
    found = task(tmp_path / "x.jsonl", [{"prompt": f"q{i}", "target": target} for i in range(COUNT)], **options)
    assert words in found.note


def test_a_local_file_or_folder_is_read_the_same_way_under_either_name(tmp_path):
    content = "prompt,target\n" + "".join(f"q{i},007\n" for i in range(COUNT))
    (tmp_path / "train.csv").write_text(content)
    for place in (tmp_path, tmp_path / "train.csv"):
        assert {each.target for each in every(load_task(f"hub:{place}"))} == {"007"}


# --- content decides -------------------------------------------------------------------------------------------------


def keep_times(path, change):
    """Change a file to one of the same size and time."""
    import os

    before = path.stat()
    path.write_text(change(path.read_text()))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_of_other_content_is_read_again_whatever_its_time_and_size(tmp_path):
    path = tmp_path / "x.jsonl"
    assert "t7" in {each.target for each in every(task(path, PLAIN))}
    keep_times(path, lambda text: text.replace('"t7"', '"u7"'))
    assert "u7" in {each.target for each in every(task(path))}
    reasons = tmp_path / "reasons.jsonl"
    reasons.write_text('{"id": "a", "rationale": "one"}\n')
    assert rationales.read(reasons)["a"].text == "one"
    keep_times(reasons, lambda text: text.replace("one", "two"))
    assert rationales.read(reasons)["a"].text == "two"


def test_a_saved_data_set_that_changed_is_read_again(tmp_path):
    datasets = pytest.importorskip("datasets")
    for word in ("old", "new"):
        rows = [{"prompt": f"q{i}", "target": word} for i in range(COUNT)]
        datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
        assert {each.target for each in every(load_task(f"hub:{tmp_path / 'saved'}"))} == {word}
