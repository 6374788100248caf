"""Encoder-decoders read, score, generate and train as they were pretrained, forced first tokens included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from lowres import evaluate, models
from lowres.data import Example, Probe
from lowres.evaluate import Item
from lowres.language import LanguageModel, formats
from lowres.params import InputError
from lowres.trial import train

NEW = 9
FORCED = 3  # the token <|answer|> of the tiny tokenizer stands for a language
FRAMES = {  # what the tokenizer of each family puts around a text, and the tokens that the decoder is given
    "t5": ("$A <|end|>", (0,)),
    "marian": ("$A <|end|>", (0,)),
    "bart": ("<s> $A <|end|>", (1, 0)),
    "mbart": ("$A <|end|> <|user|>", (1, FORCED)),
}
SEEDS = {"marian": 5}  # one whose answers are not all empty
EXAMPLES = [Example(f"e{i}", row["prompt"], row["target"]) for i, row in enumerate(tiny.rows(6))]


def configuration(kind: str, size: int) -> Any:
    import transformers as t

    own = {"vocab_size": size, "d_model": 32, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    layers = {
        **dict.fromkeys(("encoder_layers", "decoder_layers"), 2),
        **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 48),
        **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
        **{"max_position_embeddings": tiny.CONTEXT, "init_std": 0.3, "forced_eos_token_id": 1},
    }
    bart = {**own, **layers, "bos_token_id": 0, "decoder_start_token_id": 1}
    return {
        "t5": lambda: t.T5Config(**own, d_kv=8, d_ff=48, num_layers=2, num_heads=4, initializer_factor=2.0),
        "marian": lambda: t.MarianConfig(**own, **layers, decoder_vocab_size=size),
        "bart": lambda: t.BartConfig(**bart),
        "mbart": lambda: t.MBartConfig(**bart),
    }[kind]()


@pytest.fixture(scope="module", params=list(FRAMES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A random model of a family, saved and loaded as a folder of a user's."""
    forced = dict(zip(("forced_bos_token_id",), FRAMES[request.param][1][1:], strict=False))
    return load(request.param, tmp_path_factory.mktemp(request.param), **forced)


def load(kind: str, folder: Path, **generation: Any) -> LanguageModel:
    from tokenizers import processors
    from transformers import AutoModelForSeq2SeqLM

    tokenizer = tiny._tokenizer(chat=True)
    tokenizer.chat_template, tokenizer.pad_token = None, "<s>"
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<s>", "<|end|>", "<|user|>")]
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(single=FRAMES[kind][0], special_tokens=special)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEEDS.get(kind, 0))
        model = AutoModelForSeq2SeqLM.from_config(configuration(kind, len(tokenizer)))
    for name, value in generation.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return models.load(str(folder), "fp32", "cpu")


def by_transformers(language_model: LanguageModel, prompt: str) -> str:
    """What `generate()` answers to a prompt, greedily."""
    tokenizer = language_model.tokenizer
    inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    # The last token would be forced to end the text: one more than is compared.
    made = language_model.model.generate(**inputs, max_new_tokens=NEW + 2, do_sample=False, num_beams=1)[0].tolist()
    given = len(formats.decoder_start(language_model))
    new = made[given : given + NEW]
    return tokenizer.decode(new[: new.index(1)] if 1 in new else new).strip()


def score(language_model: LanguageModel, prompt: str, tokens: tuple[int, ...]) -> float:
    """Log-likelihood of an answer behind what the decoder is given, from one plain call."""
    start = FRAMES[language_model.model.config.model_type][1]
    inputs = language_model.tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        logits = language_model.model(**inputs, decoder_input_ids=torch.tensor([[*start, *tokens[:-1]]])).logits[0]
    picked = logits[len(start) - 1 :].log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])
    return float(picked.sum())


def test_a_prompt_is_read_as_the_tokenizer_writes_it(family: LanguageModel):
    for text in ("Item 3: a stone", "", "blue"):
        whole = tuple(family.tokenizer(text).input_ids)
        assert formats.prompt_ids(family, text) == formats.plain_ids(family, text) == whole
        assert whole != tuple(family.tokenizer(text, add_special_tokens=False).input_ids)


def test_the_decoder_begins_with_what_generate_gives_it(family: LanguageModel):
    assert formats.decoder_start(family) == FRAMES[family.model.config.model_type][1]


def test_answers_are_those_of_generate(family: LanguageModel):
    items, _ = evaluate.task_items(family, EXAMPLES, "Name the colour.", NEW)
    found = evaluate.answer(family.model, family, items, max_new_tokens=NEW).texts
    expected = [by_transformers(family, f"Name the colour.\n\n{example.prompt}") for example in EXAMPLES]
    assert len(set(expected)) > 1
    assert list(found) == expected


def test_a_first_token_that_only_generation_forces_is_forced(tmp_path: Path):
    """As a translator has it whose target language is set in generation_config.json; config.json knows none."""
    language_model = load("t5", tmp_path, forced_bos_token_id=FORCED)
    assert formats.decoder_start(language_model) == (0, FORCED)
    items, _ = evaluate.task_items(language_model, EXAMPLES, "", NEW)
    found = evaluate.answer(language_model.model, language_model, items, max_new_tokens=NEW).texts
    assert list(found) == [by_transformers(language_model, example.prompt) for example in EXAMPLES]


def test_scores_and_training_loss_are_of_the_same_rows(family: LanguageModel):
    items, _ = evaluate.task_items(family, EXAMPLES, "", NEW)
    scores = evaluate.answer(family.model, family, items).log_likelihoods
    rows = [formats.encode(family, example.prompt, example.target) for example in EXAMPLES]
    by_hand = [score(family, example.prompt, row.target) for example, row in zip(EXAMPLES, rows, strict=True)]
    assert [pair[0] for pair in scores] == pytest.approx(by_hand, abs=1e-4)
    loss = train._target_loss(family.model, family, rows)
    assert float(loss) == pytest.approx(-sum(by_hand), rel=1e-5)


def test_a_text_is_halved_before_the_end_token(family: LanguageModel):
    text = EXAMPLES[0].prompt
    ids = tuple(family.tokenizer(text, add_special_tokens=False).input_ids)
    half = (len(ids) + 1) // 2
    item = evaluate.outcomes.halved(family, text)
    start, end = formats.frame(family.tokenizer)
    assert (item.context, item.continuations) == ((*start, *ids[:half], *end), (ids[half:],))
    long = evaluate.outcomes.halved(family, text * 30)
    assert len(long.context) + len(long.continuations[0]) <= family.context


def test_how_far_it_moved_by_hand(family: LanguageModel):
    own = models.fresh(family)
    with torch.no_grad():
        for parameter in own.model.parameters():
            parameter.mul_(1.05)
    items, _ = evaluate.task_items(family, EXAMPLES, "", NEW)
    found = evaluate.divergence(family, own.model, own, items, [0] * len(items))
    start = FRAMES[family.model.config.model_type][1]
    for item, value in zip(items, found, strict=True):
        assert value == pytest.approx(_moved_by_hand(family.model, own.model, item, start), rel=1e-4)
    assert evaluate.divergence(family, models.fresh(family).model, family, items, [0] * len(items)) == [0.0] * 6


def _moved_by_hand(before: Any, after: Any, item: Item, start: tuple[int, ...]) -> float:
    tokens = item.continuations[0]
    given = {"input_ids": torch.tensor([item.context]), "decoder_input_ids": torch.tensor([[*start, *tokens[:-1]]])}
    with torch.no_grad():
        p, q = (one(**given).logits[0, len(start) - 1 :].double().log_softmax(-1) for one in (before, after))
    return float((p.exp() * (p - q)).sum(-1).mean())


def test_the_contexts_of_encoder_and_decoder_are_apart(family: LanguageModel):
    assert formats.prompt_room(family, 100) == family.context
    assert formats.fits(family, family.context, family.context)
    assert not formats.fits(family, family.context + 1, 1)
    assert not formats.fits(family, 1, family.context + 1)


def test_a_decoder_that_does_not_say_how_it_begins_is_refused(tmp_path: Path):
    import json

    load("t5", tmp_path)
    for file in ("config.json", "generation_config.json"):
        content = json.loads((tmp_path / file).read_text())
        for name in ("decoder_start_token_id", "bos_token_id"):
            content.pop(name, None)
        (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(InputError, match="set decoder_start_token_id"):
        models.load(str(tmp_path), "fp32", "cpu")


def test_probes_of_text_and_of_choices_run(family: LanguageModel):
    choices = tuple(
        Example(f"c{i}", row["prompt"], row["target"], tuple(row["choices"]))
        for i, row in enumerate(tiny.choice_rows(4))
    )
    found = evaluate.evaluate_probe(family.model, family, Probe("it", "choice", choices, 1 / 3, "", ""), 4)
    for example, nll in zip(choices, found["target_nll"], strict=True):
        tokens = tuple(family.tokenizer(f" {example.target}", add_special_tokens=False).input_ids)
        assert nll == pytest.approx(-score(family, example.prompt, tokens) / len(tokens), abs=1e-4)


def test_a_decoder_starts_with_its_start_token_and_never_ends(plain_model: LanguageModel):
    assert formats.plain_ids(plain_model, "blue")[0] == plain_model.tokenizer.bos_token_id
    assert formats.plain_ids(plain_model, "blue")[-1] != plain_model.tokenizer.eos_token_id
    assert formats.prompt_room(plain_model, 100) == tiny.CONTEXT - 100
    assert formats.fits(plain_model, tiny.CONTEXT - 5, 5)
    assert not formats.fits(plain_model, tiny.CONTEXT - 4, 5)
