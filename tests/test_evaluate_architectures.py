"""Every family of models scores and generates in padded batches as it does row by row."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from lowres import evaluate, fast, tuners
from lowres.evaluate import Item, answers, outcomes, passes
from lowres.language import LanguageModel, precision

VOCABULARY, START, END = 96, 0, 1
NEW = 10


class Ids:
    """A tokenizer whose texts are ids written out."""

    pad_token_id, eos_token_id, bos_token_id, chat_template = 7, END, None, None
    added_tokens_decoder: ClassVar[dict[int, Any]] = {}
    all_special_tokens: ClassVar[list[str]] = []

    def __call__(self, text: str, **_: Any) -> Any:
        return SimpleNamespace(input_ids=[int(word) for word in text.split() if word.isdigit()])

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


def configuration(kind: str) -> Any:
    import transformers as t

    common = {"vocab_size": VOCABULARY, "initializer_range": 0.3, "pad_token_id": 7, "eos_token_id": END}
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    gated = {**common, **shape, "intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}
    window = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
    return {
        "llama": lambda: t.LlamaConfig(**gated),
        "qwen2": lambda: t.Qwen2Config(**gated),
        "gpt_neox": lambda: t.GPTNeoXConfig(**common, **shape, intermediate_size=48),
        "gpt2": lambda: t.GPT2Config(**common, n_embd=32, n_layer=2, n_head=4, n_positions=128),
        "bloom": lambda: t.BloomConfig(**common, hidden_size=32, n_layer=2, n_head=4),
        "gemma": lambda: t.GemmaConfig(**gated),
        "gemma2": lambda: t.Gemma2Config(**gated, **window, query_pre_attn_scalar=8),
        "gemma3": lambda: t.Gemma3TextConfig(**gated, **window, query_pre_attn_scalar=8),
        "t5": lambda: t.T5Config(
            vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, initializer_factor=2.0,
            decoder_start_token_id=START, pad_token_id=7, eos_token_id=END,
        ),
    }[kind]()  # fmt: skip


DECODERS = ("llama", "qwen2", "gpt_neox", "gpt2", "bloom", "gemma", "gemma2", "gemma3")


def build(kind: str) -> LanguageModel:
    import transformers as t

    config = configuration(kind)
    maker = t.AutoModelForSeq2SeqLM if config.is_encoder_decoder else t.AutoModelForCausalLM
    eager = {"attn_implementation": "eager"} if kind == "gemma2" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = maker.from_config(config, **eager).eval().requires_grad_(False)
    return LanguageModel(kind, "", model, Ids(), 128, torch.device("cpu"), False)  # type: ignore[arg-type]


def ids(generator: torch.Generator, count: int) -> tuple[int, ...]:
    return tuple(torch.randint(8, VOCABULARY, (count,), generator=generator).tolist())


def items(beginning: int = 0) -> list[Item]:
    """Uneven prompts with one to three uneven continuations; all begin alike for `beginning` tokens."""
    generator = torch.Generator().manual_seed(3)
    shapes = [(3, (1, 1)), (21, (1, 4)), (1, (1, 1)), (12, (2, 7, 1)), (5, (3,)), (14, (9, 1, 2)), (13, (5, 5, 6))]
    first = ids(generator, beginning)
    return [
        Item((*first, *ids(generator, length)), tuple(ids(generator, n) for n in ends), ends) for length, ends in shapes
    ]


def alone(language_model: LanguageModel, item: Item) -> list[float]:
    """Log-likelihoods of an item's continuations, one plain call of the model each."""
    found = []
    for tokens in item.continuations:
        if language_model.model.config.is_encoder_decoder:
            given = {
                "input_ids": torch.tensor([item.context]),
                "decoder_input_ids": torch.tensor([[START, *tokens[:-1]]]),
            }
            logits = language_model.model(**given).logits[0]
        else:
            logits = language_model.model(input_ids=torch.tensor([[*item.context, *tokens]])).logits[0]
            logits = logits[len(item.context) - 1 : -1]
        found.append(float(logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None]).sum()))
    return found


def generated(language_model: LanguageModel, item: Item, ends: list[int]) -> str:
    """By transformers, one prompt at a time."""
    prompt = torch.tensor([item.context])
    made = language_model.model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=NEW, do_sample=False, eos_token_id=ends
    )[0].tolist()
    new = made[1:] if language_model.model.config.is_encoder_decoder else made[len(item.context) :]
    return " ".join(map(str, new[: min((new.index(end) for end in ends if end in new), default=len(new))]))


@pytest.fixture(scope="module", params=[*DECODERS, "t5"])
def family(request: pytest.FixtureRequest) -> LanguageModel:
    return build(request.param)


@pytest.mark.parametrize("beginning", [0, 12])
def test_scores_are_those_of_single_rows(family: LanguageModel, beginning: int):
    asked = items(beginning)
    found = evaluate.answer(family.model, family, asked).log_likelihoods
    for item, scores in zip(asked, found, strict=True):
        assert scores == pytest.approx(alone(family, item), abs=1e-4)


@pytest.mark.parametrize("beginning", [0, 12])
def test_both_ways_of_scoring_agree(family: LanguageModel, beginning: int, monkeypatch: pytest.MonkeyPatch):
    asked = items(beginning)
    monkeypatch.setattr(passes, "PACKED", ())
    found = evaluate.answer(family.model, family, asked).log_likelihoods
    for item, scores in zip(asked, found, strict=True):
        assert scores == pytest.approx(alone(family, item), abs=1e-4)


@pytest.mark.parametrize("beginning", [0, 12])
@pytest.mark.parametrize("room", [(1, 1), (60, 60), (4096, 4096), (4096, 30)], ids=str)
def test_generation_is_that_of_transformers(
    family: LanguageModel, beginning: int, room: tuple[int, int], monkeypatch: pytest.MonkeyPatch
):
    """With end tokens that rows reach at different times; scored before, which must not show."""
    asked = items(beginning)
    unstopped = [generated(family, item, [END]).split() for item in asked]
    common = sorted({word for row in unstopped for word in row}, key=lambda w: (-sum(w in row for row in unstopped), w))
    ends = [int(word) for word in common[:2]]
    monkeypatch.setattr(answers, "_room", lambda _, new: room[new == 0])
    monkeypatch.setattr(answers, "end_tokens", lambda _: ends)
    expected = [generated(family, item, ends) for item in asked]
    assert len({len(text.split()) for text in expected}) > 1
    assert list(evaluate.answer(family.model, family, asked, NEW).texts) == expected


class Around(torch.nn.Module):
    """A model inside another one that passes on what it does not name, as the wrappers of adapter libraries do."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def get_base_model(self) -> torch.nn.Module:
        return self.model

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.model.get_output_embeddings()

    def forward(self, input_ids: torch.Tensor, **named: Any) -> Any:
        return self.model(input_ids=input_ids, **named)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bloom"])
def test_a_wrapped_model_scores_and_generates_as_the_one_inside(kind: str):
    language_model, asked = build(kind), items(12)
    bare = evaluate.answer(language_model.model, language_model, asked, 4)
    wrapped = evaluate.answer(Around(language_model.model), language_model, asked, 4)
    assert wrapped.texts == bare.texts
    for one, other in zip(wrapped.log_likelihoods, bare.log_likelihoods, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_what_packs_and_what_does_not():
    packing = {kind: passes.packs(build(kind).model) for kind in (*DECODERS, "t5")}
    assert [kind for kind, does in packing.items() if not does] == ["bloom", "gemma2", "t5"]


def test_a_common_beginning_is_read_once(monkeypatch: pytest.MonkeyPatch):
    language_model = build("llama")
    seen: list[int] = []
    language_model.model.model.embed_tokens.register_forward_hook(lambda _, given, __: seen.append(given[0].numel()))
    evaluate.answer(language_model.model, language_model, items(40))
    shared = sum(seen)
    seen.clear()
    monkeypatch.setattr(tuners, "edits_prompts", lambda _: True)
    evaluate.answer(language_model.model, language_model, items(40))
    assert shared < sum(seen) - 5 * 40


@pytest.mark.parametrize(
    "contexts", [[(1, 2, 3), (1, 2, 3)], [(1, 2, 3), (1, 2)], [(1, 2, 3, 4), (1, 2, 9), (1, 2, 3)]]
)
def test_a_common_beginning_leaves_each_prompt_a_token(contexts: list[tuple[int, ...]]):
    same = answers._common_beginning(contexts)
    assert all(context[: len(same)] == same and len(context) > len(same) for context in contexts)
    assert len(same) == min(len(context) for context in contexts) - 1 or len({c[len(same)] for c in contexts}) > 1


@pytest.mark.parametrize("new", [0, 4])
@pytest.mark.parametrize("kind", ["llama", "bloom", "t5"])
def test_what_is_prompt_is_declared(kind: str, new: int, monkeypatch: pytest.MonkeyPatch):
    """Each prompt's tokens are declared in one pass, and no token of a continuation ever is: the general way's part."""
    language_model, declared = build(kind), []

    @contextlib.contextmanager
    def prompt_at(_: Any, mask: torch.Tensor) -> Any:
        declared.append(mask.clone())
        yield

    monkeypatch.setattr(tuners, "prompt_at", prompt_at)
    monkeypatch.setattr(fast, "reader", lambda *_: None)
    evaluate.answer(language_model.model, language_model, items(), new)
    lengths = sorted(int(row.sum()) for mask in declared for row in mask)
    assert lengths == sorted(len(item.context) for item in items())
    declared.clear()
    outcomes.text_nll(language_model.model, language_model, [" ".join(["9"] * 8), " ".join(["8"] * 5)])
    read = [(8 + 1) // 2, (5 + 1) // 2] if kind == "t5" else [8, 5]
    assert sorted(int(row.sum()) for mask in declared for row in mask) == sorted(read)


def test_the_likelihood_of_a_text(family: LanguageModel):
    generator = torch.Generator().manual_seed(4)
    rows = [ids(generator, count) for count in (9, 4, 23)]
    found = outcomes.text_nll(family.model, family, [" ".join(map(str, row)) for row in rows])
    for row, value in zip(rows, found, strict=True):
        given = (len(row) + 1) // 2 if family.model.config.is_encoder_decoder else 1
        score = alone(family, Item(row[:given], (row[given:],), (0,)))[0]
        assert value == pytest.approx(-score / (len(row) - given), abs=1e-4)


def test_weights_are_cast_for_the_time_of_a_call(monkeypatch: pytest.MonkeyPatch):
    """Casting them once gives bit for bit what autocast gives by casting them at every pass."""
    monkeypatch.setattr(precision, "_WORTH_CASTING", 1)
    language_model = replace(build("llama"), autocast=True)
    head, embedding = language_model.model.lm_head, language_model.model.model.embed_tokens
    with precision.cast_once(language_model.model, language_model):
        assert head.weight.dtype == torch.bfloat16
        assert embedding.weight.dtype == torch.float32
        once = evaluate.answer(language_model.model, language_model, items(12), 3)
    assert head.weight.dtype == torch.float32
    monkeypatch.setattr(precision, "_castable", lambda _: [])
    assert evaluate.answer(language_model.model, language_model, items(12), 3) == once
