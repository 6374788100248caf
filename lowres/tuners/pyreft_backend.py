"""LoReFT and DiReFT computed by pyreft 0.1.0, to hold the book's own edits against the reference implementation."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import torch
from torch import nn

from lowres.language import LanguageModel
from lowres.params import InputError
from lowres.tuners.configurations import DiReFTPyreft, LoReFT
from lowres.tuners.representation import blocks_of, chosen_layers, edited_positions, position_counts


def apply_pyreft(tuner: LoReFT, language_model: LanguageModel, seed: int) -> PyreftModel:
    """Wrap the model by pyreft.

    Raises:
        InputError: as for the book's own, and for an architecture that pyvene does not know.
    """
    model = language_model.model.requires_grad_(False)
    layers = chosen_layers(tuner.layers, len(blocks_of(model)[1]))
    first, last = position_counts(tuner.positions)
    if not 1 <= tuner.rank <= int(model.config.hidden_size):
        raise InputError(f"{tuner.name}: rank is {tuner.rank}; allowed: 1 to {model.config.hidden_size}")
    sides = 2 if not tuner.tied and first and last else 1
    with torch.random.fork_rng(), contextlib.redirect_stdout(io.StringIO()):
        torch.manual_seed(seed)
        reft = _reft_model(tuner, model, layers * sides)
    for name, parameter in reft.named_parameters():
        if "rotate_layer" in name:
            # Its sign is read off the diagonal as an integer: the first decay would make that zero, and R with it.
            parameter.never_decayed = True
    for intervention in reft.interventions.values():
        intervention.register_forward_hook(_repeat)
    return PyreftModel(reft, (first, last), sides, len(layers))


def _reft_model(tuner: LoReFT, model: nn.Module, layers: tuple[int, ...]) -> Any:
    import pyreft

    kind = pyreft.NodireftIntervention if isinstance(tuner, DiReFTPyreft) else pyreft.LoreftIntervention
    width = int(model.config.hidden_size)  # type: ignore[union-attr, arg-type]
    representations = [
        {
            "layer": layer,
            "component": "block_output",
            "low_rank_dimension": tuner.rank,
            "intervention": kind(
                embed_dim=width,
                low_rank_dimension=tuner.rank,
                dropout=tuner.dropout,
                dtype=torch.float32,
                add_bias=False,
            ),
        }
        for layer in layers
    ]
    try:
        return pyreft.get_reft_model(model, pyreft.ReftConfig(representations=representations))
    except KeyError as error:
        raise InputError(f"pyreft does not know the architecture {type(model).__name__}") from error


class PyreftModel(nn.Module):
    """A pyreft model called like the model that it wraps."""

    def __init__(self, reft: Any, counts: tuple[int, int], sides: int, layers: int) -> None:
        super().__init__()
        self.reft: Any = reft
        self.counts, self.sides, self.layers = counts, sides, layers
        self.declared: torch.Tensor | None = None
        self.head = nn.Identity()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            reft: Any = super().__getattr__("reft")
            return getattr(reft.model, name)

    def get_base_model(self) -> Any:
        """The transformers model."""
        return self.reft.model

    def get_output_embeddings(self) -> nn.Module:
        """A stand-in for the output layer, on whose hooks the logits are passed on: pyvene clears the model's own."""
        return self.head

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False, **named: Any) -> Any:
        """The model's output; edits are made in a pass without cached text only."""
        cache = named.get("past_key_values")
        if cache is not None and cache.get_seq_length() > 0:
            return self._selected(self.reft.model(input_ids=input_ids, use_cache=use_cache, **named))
        mask = named.get("attention_mask")
        prompt = self.declared if self.declared is not None else mask
        prompt = torch.ones_like(input_ids) if prompt is None else prompt
        given = {"input_ids": input_ids, **{name: value for name, value in named.items() if value is not None}}
        locations, counts = self._locations(prompt.bool())
        for intervention, count in zip(self.reft.interventions.values(), counts, strict=True):
            intervention.own_places = count
        where = {"sources->base": (None, locations)}
        _, output = self.reft(given, unit_locations=where, use_cache=use_cache)
        return self._selected(output)

    def _selected(self, output: Any) -> Any:
        output.logits = self.head(output.logits)
        return output

    def _locations(self, prompt: torch.Tensor) -> tuple[list[list[list[int]]], list[torch.Tensor]]:
        """Where each intervention edits: [intervention][row][position], and how many are a row's own: [row] for each.

        Rows have as many positions each, so a short prompt's last one is repeated; see `_repeat`.
        """
        start, end = edited_positions(prompt, *self.counts)
        sides = [start, end] if self.sides == 2 else [start | end]
        rows = [[row.nonzero()[:, 0].tolist() for row in side] for side in sides]
        if not all(row for side in rows for row in side):
            raise InputError("pyreft cannot edit a prompt of a single token")
        most = max(len(row) for side in rows for row in side)
        filled = [[row + row[-1:] * (most - len(row)) for row in side] for side in rows]
        counts = [side.sum(1) for side in sides]
        return (
            [side for side in filled for _ in range(self.layers)],
            [count for count in counts for _ in range(self.layers)],
        )


def _repeat(intervention: Any, _: Any, output: torch.Tensor) -> torch.Tensor:
    """Give the places past a row's own the value of its last one, and no gradient: they stand for nothing.

    All of them are written to the same position, so nothing else may come out of them, not even another dropout. A
    gradient through each would count that position several times.
    """
    place = torch.arange(output.shape[1], device=output.device)[None]
    last = intervention.own_places[:, None] - 1
    repeated = output.detach().gather(1, place.minimum(last)[..., None].expand_as(output))
    return torch.where((place > last)[..., None], repeated, output)
