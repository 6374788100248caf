"""A user's own model is looked at once: what is wrong is refused before anything runs, what is odd is told."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import families
import huggingface_hub
import pytest
import tiny
import torch

from lowres import cli, models, registry
from lowres.book import pages
from lowres.data import own
from lowres.engine import examination
from lowres.engine.checks import told_before
from lowres.language import formats
from lowres.models import hubmodels
from lowres.params import InputError, from_mapping, from_strings, resolve
from lowres.trial import Evaluation, run, trial_from


@pytest.fixture(autouse=True)
def _no_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "touches_probe", lambda example: False)  # reads all probes, which has its own test


def refused(name: str) -> str:
    with pytest.raises(InputError) as caught:
        examination.insist(name, "fp32")
    return str(caught.value)


def edited(source: Path, folder: Path, file: str, **values: Any) -> str:
    """A copy of a model with other values in one of its JSON files."""
    shutil.copytree(source, folder)
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**content, **values}))
    return str(folder)


def with_template(source: Path, folder: Path, template: str) -> str:
    shutil.copytree(source, folder)
    (folder / "chat_template.jinja").write_text(template)
    return str(folder)


def test_a_sound_model_is_told_how_it_is_spoken_to(chat_folder: Path, plain_folder: Path):
    assert any("'<|end|>'" in line for line in examination.insist(str(chat_folder), "fp32"))
    assert any("plain text" in line for line in examination.insist(str(plain_folder), "fp32"))
    assert examination.examine("smollm2-135m-instruct") == ()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised (gptq)"),
        ({"vision_config": {}}, "reads more than text"),
        ({"vocab_size": 300}, "tokens that the model has no row for"),
    ],
)
def test_a_configuration_that_nothing_can_run_with_is_refused(
    chat_folder: Path, tmp_path: Path, values: dict[str, Any], words: str
):
    assert words in refused(edited(chat_folder, tmp_path / "model", "config.json", **values))


def test_an_encoder_is_refused_and_told_what_works(tmp_path: Path):
    told = refused(families.save("bert", tmp_path / "bert"))
    assert "an encoder" in told
    assert "llama, qwen2" in told


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('no') }}", "it fails"),
        (tiny.TEMPLATE.replace("['content']", "['text']"), "does not show the whole text"),
    ],
)
def test_a_chat_format_that_loses_the_prompt_is_refused(chat_folder: Path, tmp_path: Path, template: str, words: str):
    assert words in refused(with_template(chat_folder, tmp_path / "model", template))


def test_a_chat_format_that_cannot_be_used_can_be_switched_off(chat_folder: Path, tmp_path: Path):
    name = with_template(chat_folder, tmp_path / "model", "{{ raise_exception('no') }}")
    assert "chat_format=off" in refused(name)
    told = examination.insist(name, "fp32", "off")
    assert any("plain text" in line and "chat_format=off" in line for line in told)


def test_off_is_plain_text_under_a_key_of_its_own_and_on_insists(chat_folder: Path, plain_folder: Path, task: str):
    auto, off, on = (tiny.trial(chat_folder, task, chat_format=each) for each in ("auto", "off", "on"))
    assert "chat_format" not in auto.spec()
    assert auto.key() == on.key() != off.key()
    assert trial_from(json.loads(json.dumps(off.spec()))) == off
    spoken = [models.without_weights(str(chat_folder), each) for each in ("auto", "off", "auto")]
    marked, bare, again = (formats.encode(own, "Hi", "yes").ids for own in spoken)
    assert marked == again
    assert spoken[0].tokenizer.decode(bare) == "Hi yes<|end|>" != spoken[0].tokenizer.decode(marked)
    assert run(off).outcomes != run(auto).outcomes
    for name in (str(plain_folder), "world-s"):
        with pytest.raises(InputError, match="chat_format=on"):
            told_before([tiny.trial(name, task, chat_format="on")])


@pytest.mark.parametrize("name", registry.study_names())
def test_every_study_can_speak_to_its_models_in_plain_text(name: str):
    study = registry.load(name)
    quick = {"model": "world-xs", "task": "world-reverse", "arms": ["sft"]} if name == "tell" else {}
    params = resolve(from_mapping(study.Params, {"tier": "smoke", "chat_format": "off", **quick}))
    assert {made.chat_format for made in study.trials(params)} == {"off"}


def test_a_tokenizer_without_an_end_is_refused(plain_folder: Path, tmp_path: Path):
    told = refused(edited(plain_folder, tmp_path / "model", "tokenizer_config.json", eos_token=None))
    assert "has no end token" in told


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pointer": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "cut off": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:99]),
        "cut off (99 bytes)",
    ),
    "empty": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "empty or cut off"),
    "a part is missing": (
        lambda folder: (folder / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {"a": "model-00002-of-00002.safetensors"}})
        ),
        "files that are not there: model-00002-of-00002.safetensors",
    ),
    "an index that names no file": (
        lambda folder: (folder / "model.safetensors.index.json").write_text("["),
        "does not say which file holds which weights",
    ),
    "weights of another kind": (
        lambda folder: (folder / "model.safetensors").rename(folder / "model.onnx"),
        "holds no weights (*.safetensors or *.bin); model.onnx",
    ),
    "an adapter": (
        lambda folder: (folder / "adapter_config.json").write_text("{}"),
        "an adapter of peft, not a whole model",
    ),
    "a configuration of another type": (
        lambda folder: (folder / "config.json").write_text(
            (folder / "config.json").read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": "2"')
        ),
        "num_hidden_layers",
    ),
    "a broken tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{"), "its tokenizer could not be"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_files_that_are_not_whole_are_named(chat_folder: Path, tmp_path: Path, name: str):
    break_it, words = BROKEN[name]
    shutil.copytree(chat_folder, tmp_path / "model")
    break_it(tmp_path / "model")
    assert words in refused(str(tmp_path / "model"))


def test_the_folder_that_holds_the_model_is_named(chat_folder: Path, tmp_path: Path):
    shutil.copytree(chat_folder, tmp_path / "run" / "checkpoint-100")
    assert "checkpoint-100 inside of it does" in (models.check_name(str(tmp_path / "run")) or "")
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    assert "is a file" in (models.check_name(str(tmp_path / "x.gguf")) or "")


def test_an_end_token_that_is_never_given_is_told(tmp_path: Path):
    name = families.save("llama", tmp_path / "model", tie_word_embeddings=False)
    from safetensors.torch import load_file

    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    weights["lm_head.weight"] *= 8
    assert not any(line.startswith("end token") for line in _told(weights, file, name, 20.0))
    weights["lm_head.weight"][1] = 0  # what an untrained row is near, beside others that were trained
    assert any("'<|end|>'" in line for line in _told(weights, file, name, -20.0) if line.startswith("end token"))


def _told(weights: dict[str, torch.Tensor], file: Path, name: str, push: float) -> list[str]:
    """What is told when the row of the end token answers the mean state behind an answer with `push`."""
    from safetensors.torch import save_file

    from lowres.language import formats

    save_file(weights, file, metadata={"format": "pt"})
    loaded = models.load(name, "fp32", "cpu")
    states = []
    for pair in examination.TEXTS:
        row = formats.encode(loaded, *pair)
        hidden = loaded.model.model(input_ids=torch.tensor([row.ids[:-1]])).last_hidden_state[0, -1]
        states.append(hidden / hidden.norm() ** 2)
    changed = {**weights, "lm_head.weight": weights["lm_head.weight"].clone()}
    changed["lm_head.weight"][1] = push * sum(states)
    save_file({key: each.detach().clone() for key, each in changed.items()}, file, metadata={"format": "pt"})
    return examination.insist(name, "fp32")


def test_an_architecture_that_is_scored_otherwise_in_a_batch_is_refused(
    chat_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    shutil.copytree(chat_folder, tmp_path / "model")
    monkeypatch.setattr(examination, "_difference", lambda own: 0.5)
    assert "by 0.500 nats" in refused(str(tmp_path / "model"))


def test_what_is_wrong_is_told_once_before_any_trial(tmp_path: Path, chat_folder: Path):
    task = tiny.write_rows(tmp_path / "rows.jsonl", tiny.rows(40))
    model = edited(chat_folder, tmp_path / "model", "config.json", quantization_config={"quant_method": "awq"})
    with pytest.raises(InputError) as caught:
        told_before([tiny.trial(model, task, seed=seed) for seed in (0, 1, 2)])
    assert len(caught.value.problems) == 1
    lines = told_before([tiny.trial(chat_folder, task)])
    assert any("28 train" in line for line in lines)
    assert any("chat format" in line for line in lines)


def test_what_the_context_does_not_hold_is_counted_before_any_trial_as_in_it(tmp_path: Path, chat_folder: Path):
    long = " ".join(["a long way round"] * 60)
    content = [
        {**row, "prompt": f"{long} {row['prompt']}" if i % 5 == 0 else row["prompt"]}
        for i, row in enumerate(tiny.rows())
    ]
    made = tiny.trial(chat_folder, tiny.write_rows(tmp_path / "rows.jsonl", content), evaluation=Evaluation(items=None))
    told = told_before([made, replace(made, seed=1)])
    counts = run(made).counts
    assert counts["cut_prompts"] > 0
    assert [line for line in told if "test prompts lose" in line] == [
        f"  {counts['cut_prompts']} of {counts['items']} test prompts lose their beginning"
    ]
    assert sum("training examples are left out" in line for line in told) == 1
    every = tiny.write_rows(tmp_path / "every.jsonl", [{**row, "prompt": f"{long} {row['prompt']}"} for row in content])
    with pytest.raises(InputError, match="none of the 42 training examples"):
        told_before([replace(made, task=every)])


def test_doctor_looks_at_a_model_and_a_task(tmp_path: Path, chat_folder: Path, capsys: Any):
    task = tiny.write_rows(tmp_path / "rows.jsonl", tiny.rows(40))
    assert cli.main(["doctor", "--model", str(chat_folder), "--task", task]) == 0
    shown = capsys.readouterr().out
    assert "chat format" in shown
    assert "metric: token_f1" in shown
    assert cli.main(["doctor", "--model", str(chat_folder), "--task", f"{task}x"]) == 1
    assert "WRONG" in capsys.readouterr().out


def test_a_model_is_one_key_however_its_path_is_spelt(
    tmp_path: Path, chat_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    task = tiny.write_rows(tmp_path / "rows.jsonl", tiny.rows(40))
    shutil.copytree(chat_folder, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    spelt = ("model", "./model", str(tmp_path / "model"), "../" + tmp_path.name + "/model/")
    assert len({tiny.trial(name, task).key() for name in spelt}) == 1
    assert tiny.trial("world-s", "world-reverse").identity()["spec"]["model"] == "world-s"


def test_a_model_runs_from_any_folder_or_is_refused_by_the_name_of_its_folder(
    tmp_path: Path, chat_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / "a b=c, [d]\n"
    shutil.copytree(chat_folder, place / "model")
    task = tiny.write_rows(place / "rows.jsonl", tiny.rows())
    monkeypatch.chdir(place)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    given = from_strings(registry.load("tell").Params, [f"model={place}/model", f"task={task}", "arms=[sft]"])
    assert (given.model, given.task) == (str(place / "model"), task)
    here, there = tiny.trial("model", "jsonl:rows.jsonl"), tiny.trial(given.model, given.task)
    assert run(here).outcomes == run(there).outcomes
    other = os.fsdecode(os.fsencode(tmp_path) + b"/r\xe9")
    shutil.copytree(chat_folder, other)
    assert "is not UTF-8" in (models.check_name(other) or "")
    monkeypatch.setenv("LOWRES_CACHE", other)
    with pytest.raises(InputError, match="not UTF-8"):
        models.cache_folder()


# --- the hub ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("GatedRepoError", "is gated: accept its terms at https://huggingface.co/owner/gated"),
        ("RepositoryNotFoundError", "is not on the Hub, or is private"),
        ("RevisionNotFoundError", "has no revision 'v2'"),
        ("HFValidationError", "is no Hub id"),
        ("LocalEntryNotFoundError", "hf download owner/gated --revision v2"),
    ],
)
def test_each_reason_why_a_model_is_not_to_be_had_has_its_sentence(
    monkeypatch: pytest.MonkeyPatch, kind: str, words: str
):
    def refuse(*_: Any, **__: Any) -> str:
        raise type(kind, (Exception,), {})("no")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    hubmodels.folder.cache_clear()
    with pytest.raises(InputError, match=words):
        hubmodels.folder("owner/gated@v2")


def test_names_that_are_no_ids_are_told_what_to_write():
    assert "owner/name" in (models.check_name("https://huggingface.co/owner/name") or "")
    assert "owner/name@REVISION" in (models.check_name("owner/name@") or "")


def test_two_revisions_of_one_model_are_two_models(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plain_folder: Path, chat_folder: Path
):
    """Fetched as they are asked for, a slash in the name of a branch included; each is the model of its folder."""
    held = {None: plain_folder, "v2": chat_folder, "refs/pr/1": plain_folder}
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda name, revision, allow_patterns, **_: str(held[revision]) if name == "owner/name" else "",
    )
    hubmodels.folder.cache_clear()
    assert models.fingerprint("owner/name") == models.fingerprint(str(plain_folder))
    assert models.fingerprint("owner/name@v2") == models.fingerprint(str(chat_folder))
    assert models.fingerprint("owner/name@refs/pr/1") == models.fingerprint("owner/name")
    task = tiny.write_rows(tmp_path / "rows.jsonl", tiny.rows())
    there, here = tiny.trial("owner/name@v2", task), tiny.trial(str(chat_folder), task)
    assert told_before([there])[0].startswith(f"{task}")
    assert run(there).outcomes == run(here).outcomes
    hubmodels.folder.cache_clear()


def test_weights_of_the_older_kind_are_fetched_where_there_are_no_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    asked: list[list[str]] = []
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda name, revision, allow_patterns: asked.append(allow_patterns) or str(tmp_path),
    )
    hubmodels.folder.cache_clear()
    assert hubmodels.folder("owner/old") == tmp_path
    assert ["*.bin" in patterns for patterns in asked] == [False, True]
    hubmodels.folder.cache_clear()


# --- families and tuners ---------------------------------------------------------------------------------------------

WRITTEN = json.loads((tiny.ROOT / "results" / "families.json").read_text())  # by `python tests/families.py`


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "mixtral", "gpt2", "t5"])
def test_a_tuner_reaches_what_it_is_said_to_or_is_refused_by_name(tmp_path: Path, family: str):
    assert families.refusals(families.save(family, tmp_path / family)) == WRITTEN["refused"][family]


def test_the_table_of_families_is_of_all_tuners_and_families_that_there_are():
    assert WRITTEN["tuners"] == list(families.TRIED)
    assert list(WRITTEN["refused"]) == list(families.FAMILIES)
    shown = pages.fragment("families", tiny.ROOT)
    assert re.search(r"\| gemma3.*_text \| .prefix., .prompt. \|", shown), shown


@pytest.mark.parametrize("family", [name for name in families.FAMILIES if name not in ("bert", "llama")])
def test_a_family_is_scored_alike_alone_and_in_a_batch_or_refused(tmp_path: Path, family: str):
    name = families.save(family, tmp_path / family)
    found = examination.examine(name, "fp32")
    assert any(each.wrong for each in found) == (family in ("mamba",)), found
