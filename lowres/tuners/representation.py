"""Representation tuning: edits of the residual stream at chosen layers and prompt positions.

    h + R^T (W h + b - R h)     LoReFT (Wu et al. 2024, eq. 2); R [rank, width] with orthonormal rows
    h + W2^T (W1 h + b)         DiReFT (eq. 3)

- An edit overwrites the output of a block, so later layers see it; the base weights stay frozen.
- Only prompt positions are edited, and only in the pass that reads the prompt: what is generated afterwards feels
  the edits through the cached keys and values alone. Without a cache the edits would be lost, so that is refused.
- Which positions are prompt is declared with `tuners.prompt_at`. Undeclared, all that a first pass attends to counts as
  prompt, so that `generate` works as it does for any model.
- The parameters of all edits are stacked, and each forward pass makes the orthonormal matrices once, together, in fp32.

Of an encoder-decoder the encoder is edited: its input is the prompt.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from lowres.language import LanguageModel
from lowres.language.inside import inner_model
from lowres.params import InputError
from lowres.tuners.configurations import (
    DiReFT,
    LoRAAtPositions,
    LoReFT,
    LoReFTBiasOnly,
    LoReFTConstant,
    LoReFTFrozenRotation,
    LoReFTNonOrthogonal,
    LoReFTNoSubtraction,
    LoReFTRandomDirection,
)

ATTRIBUTE = "representation_edits"  # where the edits hang on the model that they edit
WITHOUT_SUBTRACTION = (DiReFT, LoReFTNoSubtraction, LoReFTBiasOnly, LoRAAtPositions)
NOT_ORTHONORMAL = (DiReFT, LoReFTNonOrthogonal, LoRAAtPositions)
ATTENTION_OUTPUTS = ("o_proj", "out_proj", "dense", "o")  # Llama, Gemma, Qwen ...; OPT; GPT-NeoX, Bloom; T5
LORA_SCALE = 2.0
_POSITIONS = re.compile(r"(?:p(?P<first>\d+))?\+?(?:s(?P<last>\d+))?")


def apply_representation(tuner: LoReFT, language_model: LanguageModel, seed: int) -> RepresentationModel:
    """Freeze the model and hang edits on its blocks, their initialisation drawn from `seed`.

    Raises:
        InputError: rank above the width, a layer that is not there, positions that cannot be read, no blocks found.
    """
    model = language_model.model.requires_grad_(False)
    stack, blocks = blocks_of(model)
    layers = chosen_layers(tuner.layers, len(blocks))
    width = int(model.config.hidden_size)
    if not 1 <= tuner.rank <= width:
        raise InputError(f"{tuner.name}: rank is {tuner.rank}; allowed: 1 to {width}, the width of the model")
    device = next(model.parameters()).device
    places = [_attention_output(blocks[layer], model) for layer in layers] if isinstance(tuner, LoRAAtPositions) else []
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        edits = Edits(tuner, width, layers, places[0].in_features if places else width)
    setattr(model, ATTRIBUTE, edits.to(device))
    edits.attach(stack, places or [blocks[layer] for layer in layers])
    return RepresentationModel(model)


# --- where --------------------------------------------------------------------------------------------------------


def blocks_of(model: nn.Module) -> tuple[nn.Module, nn.ModuleList]:
    """The module whose forward pass runs through the blocks, and the blocks: an encoder-decoder's are its encoder's.

    Raises:
        InputError: the architecture has no list of as many blocks as its configuration has layers.
    """
    config: Any = model.config
    scope: Any = model.get_encoder() if config.is_encoder_decoder else getattr(model, "base_model", model)  # type: ignore[operator]
    layers = int(config.num_hidden_layers)
    for _, stack in scope.named_modules():
        for part in stack.children():
            if isinstance(part, nn.ModuleList) and len(part) == layers:
                return stack, part
    raise InputError(f"{type(model).__name__} has no list of {layers} blocks, so its representations cannot be edited")


def _attention_output(block: nn.Module, model: nn.Module) -> nn.Linear:
    """The linear layer that attention ends in."""
    for path, part in block.named_modules():
        if path.split(".")[-1] in ATTENTION_OUTPUTS and isinstance(part, nn.Linear):
            return part
    raise InputError(
        f"{LoRAAtPositions.name} is not defined for {type(model).__name__}: its blocks have no linear layer named "
        f"{', '.join(ATTENTION_OUTPUTS)}"
    )


def chosen_layers(named: str, count: int) -> tuple[int, ...]:
    """The layer indices that "all" or "3,9,18" stands for.

    Raises:
        InputError: not indices, repeated, or a layer that the model does not have.
    """
    if named == "all":
        return tuple(range(count))
    parts = [part.strip() for part in named.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise InputError(f'layers {named!r}: write "all" or different indices joined by commas, such as "3,9,18"')
    outside = [part for part in parts if int(part) >= count]
    if outside:
        raise InputError(f"layers {named!r}: no layer {', '.join(outside)}; the model has 0 to {count - 1}")
    return tuple(sorted(map(int, parts)))


def position_counts(named: str) -> tuple[int, int]:
    """How many first and last prompt tokens "p7+s7" stands for.

    Raises:
        InputError: it cannot be read, or names no position.
    """
    found = _POSITIONS.fullmatch(named.strip())
    first, last = (int(found[side] or 0) for side in ("first", "last")) if found else (0, 0)
    if not found or first + last == 0:
        raise InputError(
            f'positions {named!r}: write "p7+s7" for the first 7 and the last 7 tokens of the prompt, "p3" or "s5"'
        )
    return first, last


def edited_positions(prompt: torch.Tensor, first: int, last: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Which positions are edited as the prompt's beginning, and which as its end.

    In a prompt of n tokens at most n // 2 belong to either side, so that none belongs to both (released code; the
    paper rounds the end's share up).

    Args:
        prompt: bool [batch, length], True on the tokens of the prompt, wherever padding stands.

    Returns:
        Two bool tensors of the same shape.
    """
    half = prompt.sum(1, keepdim=True) // 2
    from_start = prompt.long().cumsum(1)  # 1 on the first token of the prompt
    from_end = prompt.long().flip(1).cumsum(1).flip(1)
    return (prompt & (from_start <= half.clamp(max=first)), prompt & (from_end <= half.clamp(max=last)))


# --- what ---------------------------------------------------------------------------------------------------------


class Orthonormal(nn.Module):
    """A stack of matrices [count, width, rank] with orthonormal columns, free to turn anywhere.

    Q = B H(X): a product of Householder reflections H of trained vectors (the strict lower triangle of X), then a
    fixed rotation B that makes X = 0 the random matrix it starts from. This is the map that
    torch.nn.utils.parametrizations.orthogonal uses, with B kept as reflections too, which takes `width` numbers per
    column in place of `width` squared.
    """

    reflectors: torch.Tensor
    scales: torch.Tensor

    def __init__(self, count: int, width: int, rank: int) -> None:
        super().__init__()
        reflectors, scales = torch.geqrf(torch.randn(count, width, rank))
        self.turned = nn.Parameter(torch.zeros(count, width, rank))
        self.turned.never_decayed = True  # type: ignore[attr-defined]
        self.register_buffer("reflectors", reflectors)
        self.register_buffer("scales", scales)

    def forward(self) -> torch.Tensor:
        """The matrices, in fp32."""
        vectors = self.turned.float().tril(-1)
        turned = torch.linalg.householder_product(vectors, 2 / (1 + vectors.square().sum(-2)))
        # Each reflection of a zero vector flips the sign of its unit vector; the minus flips it back.
        return torch.ormqr(self.reflectors, self.scales, -turned)


class Edits(nn.Module):
    """The edits of all chosen layers, one per layer, or one per layer and side where the sides are untied.

    `source` [count, rank, width] is W (or W1, or A, which reads `given` wide vectors), `bias` [count, rank] is b,
    `rotation` makes R^T; where nothing is orthonormal, `projection` [count, rank, width] is W2 (or B^T).
    """

    bias: torch.Tensor | None
    source: torch.Tensor | None

    def __init__(self, tuner: LoReFT, width: int, layers: tuple[int, ...], given: int) -> None:
        super().__init__()
        self.tuner, self.width, self.layers = tuner, width, layers
        self.first, self.last = position_counts(tuner.positions)
        self.sides = 2 if not tuner.tied and self.first and self.last else 1
        count, rank = len(layers) * self.sides, tuner.rank
        constant, fixed = isinstance(tuner, LoReFTConstant | LoReFTBiasOnly), isinstance(tuner, LoReFTRandomDirection)
        beside = isinstance(tuner, LoRAAtPositions)
        orthonormal, bound = not isinstance(tuner, NOT_ORTHONORMAL), given**-0.5
        self.rotation = Orthonormal(count, width, rank) if orthonormal else None
        self.projection = None
        if not orthonormal:
            self.projection = nn.Parameter(_uniform(count, rank, width, bound=0.0 if beside else bound))
        self.source = None if constant else nn.Parameter(_uniform(count, rank, given, bound=bound))
        bias = torch.rand(count, rank) if constant else _uniform(count, rank, bound=bound)
        self.bias = None if beside else nn.Parameter(bias)
        if self.rotation is not None and isinstance(tuner, LoReFTFrozenRotation | LoReFTRandomDirection):
            self.rotation.turned.requires_grad_(False)
        self.size = nn.Parameter(torch.zeros(count)) if fixed else None
        for name in ("source", "bias") if fixed else ():
            _make_buffer(self, name)
        self.subtracts = not isinstance(tuner, WITHOUT_SUBTRACTION)
        self.frozen_blocks = layers[0] + (not beside)  # whose own work no training changes
        self.declared: torch.Tensor | None = None
        self._now: _Now | None = None

    def attach(self, stack: nn.Module, places: Sequence[nn.Module]) -> None:
        """Hook into the forward pass of the stack and of the place of each edit: a block, or its attention's output."""
        stack.register_forward_pre_hook(self._before, with_kwargs=True)
        stack.register_forward_hook(self._after, always_call=True)
        hook = _add_to_output if isinstance(self.tuner, LoRAAtPositions) else _edit_block
        for place, module in enumerate(places):
            module.register_forward_hook(functools.partial(hook, self, place))

    def _before(self, _: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        prompt = self.declared if self.declared is not None else _attended_first(arguments, named)
        self._now = None if prompt is None else _Now.of(self, prompt)

    def _after(self, *_: Any) -> None:
        self._now = None

    def edit(self, hidden: torch.Tensor, place: int, given: torch.Tensor | None = None) -> torch.Tensor:
        """Vectors [batch, length, width] with the edit number `place` made at the prompt's positions.

        The edit is computed from the vectors themselves, or from `given` [batch, length, its own width].
        """
        now = self._now
        if now is None:
            return hidden
        with torch.autocast(hidden.device.type, enabled=False):
            flat = hidden.reshape(-1, hidden.shape[-1])
            for side, rows in enumerate(now.rows):
                which = place * self.sides + side
                old = flat.index_select(0, rows).float()
                read = old if given is None else given.reshape(-1, given.shape[-1]).index_select(0, rows).float()
                new = old + self.shift(read, which, now.directions[which])
                new = nn.functional.dropout(new, self.tuner.dropout, self.training)
                flat = flat.index_copy(0, rows, new.to(flat.dtype))
        return flat.view_as(hidden)

    def shift(self, hidden: torch.Tensor, which: int, directions: torch.Tensor) -> torch.Tensor:
        """What is added to hidden states [rows, width] by one edit; directions [width, rank] are R^T, W2^T or B."""
        if self.source is None:
            assert self.bias is not None
            value = self.bias[which]  # of a constant: [rank], the same for every row
        else:
            value = hidden @ self.source[which].T
            value = value * LORA_SCALE if self.bias is None else value + self.bias[which]
        if self.subtracts:
            value = value - hidden @ directions
        if self.size is not None:
            value = value * self.size[which]
        return value @ directions.T

    def directions(self) -> torch.Tensor:
        """R^T of every edit, or W2^T: [count, width, rank]."""
        return self.rotation() if self.rotation is not None else self.projection.mT  # type: ignore[union-attr]


class _Now:
    """What one forward pass over prompts needs: the rows to edit, per side, and the directions of all edits."""

    def __init__(self, rows: list[torch.Tensor], directions: torch.Tensor) -> None:
        self.rows, self.directions = rows, directions

    @classmethod
    def of(cls, edits: Edits, prompt: torch.Tensor) -> _Now:
        start, end = edited_positions(prompt, edits.first, edits.last)
        sides = [start, end] if edits.sides == 2 else [start | end]
        return cls([side.reshape(-1).nonzero()[:, 0] for side in sides], edits.directions())


def _edit_block(edits: Edits, place: int, _: nn.Module, __: Any, output: Any) -> Any:
    """Blocks return their hidden states, in some architectures as the first of a tuple."""
    if isinstance(output, tuple):
        return (edits.edit(output[0], place), *output[1:])
    return edits.edit(output, place)


def _add_to_output(edits: Edits, place: int, _: nn.Module, given: tuple[Any, ...], output: torch.Tensor) -> Any:
    return edits.edit(output, place, given[0])


def _make_buffer(module: nn.Module, name: str) -> None:
    """Turn a parameter into a buffer, which is kept and not trained."""
    value = getattr(module, name).detach()
    delattr(module, name)
    module.register_buffer(name, value)


def _attended_first(arguments: tuple[Any, ...], named: dict[str, Any]) -> torch.Tensor | None:
    """All that a pass without cached text attends to; None for a pass that goes on from a cache."""
    cache = named.get("past_key_values")
    if cache is not None and cache.get_seq_length() > 0:
        return None
    given = [named.get("input_ids"), named.get("inputs_embeds"), *arguments[:1]]
    first = next(value for value in given if value is not None)
    shaped = first if first.ndim == 2 else first[..., 0]
    mask = named.get("attention_mask")
    fits = isinstance(mask, torch.Tensor) and mask.shape == shaped.shape
    return mask.bool() if fits else torch.ones_like(shaped, dtype=torch.bool)  # type: ignore[union-attr]


def _uniform(*shape: int, bound: float) -> torch.Tensor:
    return torch.empty(shape).uniform_(-bound, bound)


# --- the model that a caller sees ------------------------------------------------------------------------------------


class RepresentationModel(nn.Module):
    """A model with edits, called like the model itself; what it does not have is looked up there."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.base = model

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base"), name)

    def get_base_model(self) -> Any:
        """The transformers model, edits in place."""
        return self.base

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """The model's own forward pass."""
        return self.base(*arguments, **named)

    def generate(self, *arguments: Any, **named: Any) -> Any:
        """The model's own generation.

        Raises:
            InputError: without a cache the edits of the prompt would be lost after the first token.
        """
        configuration = named.get("generation_config", self.base.generation_config)
        if not named.get("use_cache", getattr(configuration, "use_cache", True)):
            raise InputError(
                "use_cache=False: edits are made when the prompt is read and live on in its cached keys and values; "
                "without a cache each step would read answer and prompt anew and edit the wrong positions. Leave "
                "use_cache at True."
            )
        generate: Any = self.base.generate
        return generate(*arguments, **named)


def edits_of(model: nn.Module) -> Edits | None:
    """The edits that hang on a model, if any."""
    return getattr(inner_model(model), ATTRIBUTE, None)
