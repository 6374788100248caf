"""A model's parameters as the steps take them, and the passes through all blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lowres.fast.frozen import FrozenBeginning, Passed
from lowres.fast.layout import Layout
from lowres.fast.steps import Attention, FeedForward, Tensor
from lowres.language.inside import inner_model
from lowres.tuners.representation import edits_of

ROOM = 2048  # tokens at a time: more saves nothing, and every token keeps its activations
_attention: Any = Attention.apply
_feed_forward: Any = FeedForward.apply
SMALL = 2**16  # numbers in a weight below which adding an adapter to it is cheaper than running it beside


class Decoder:
    """A model that `supports` accepts, with what its tuner adds; reads its parameters anew when asked for `weights`."""

    def __init__(self, model: nn.Module, autocast: bool = False) -> None:
        base = inner_model(model)
        config, self.stack, self.head = base.config, base.model, base.lm_head
        self.low = torch.bfloat16 if autocast else torch.float32
        self.edits: Any = edits_of(model)
        self.eps = float(config.rms_norm_eps)
        width = self.stack.layers[0].self_attn.head_dim
        self.shape = (int(config.num_attention_heads), int(config.num_key_value_heads), int(width))
        angles = self.stack.rotary_emb(torch.zeros(1), torch.arange(config.max_position_embeddings)[None])
        cos, sin = (part[0, :, None, : width // 2].contiguous() for part in angles)
        self.cis = torch.complex(cos, sin)  # [positions, 1, width/2]
        self._frozen: dict[tuple[int, str], Tensor] = {}
        self._done: dict[tuple[int, str], list[Tensor | None]] = {}

    def weights(self) -> list[Tensor | None]:
        """All products of all blocks, four tensors each, the output layer's weight, and the edits' directions."""
        made: list[Tensor | None] = []
        for number, block in enumerate(self.stack.layers):
            attention, inner = block.self_attn, block.mlp
            queries = [attention.q_proj, attention.k_proj, attention.v_proj]
            made += self._product((number, "qkv"), queries, block.input_layernorm, turned=2)
            made += self._product((number, "o"), [attention.o_proj])
            made += self._product((number, "gu"), [inner.gate_proj, inner.up_proj], block.post_attention_layernorm)
            made += self._product((number, "d"), [inner.down_proj])
        made.append(self._once((-1, "head"), lambda: self.head.weight.to(self.low)))
        made.append(self.edits.directions() if self.edits is not None else None)
        return made

    def _product(
        self, key: tuple[int, str], layers: Sequence[Any], norm: Any = None, turned: int = 0
    ) -> list[Tensor | None]:
        """Layers that read the same vector as one: [W g | s B], bias, A g and s B, g the weight of the norm before.

        The first `turned` of them are queries and keys.
        """
        if key in self._done:
            return self._done[key]
        read = [self._read(layer, number < turned) for number, layer in enumerate(layers)]
        downs = [down for _, _, down, _ in read if down is not None]
        rank, gain = sum(map(len, downs)), norm.weight if norm is not None else 1.0

        def joined() -> Tensor:
            whole = _rows([weight() for weight, _, _, _ in read])
            whole = (whole * gain if norm is not None else whole).to(self.low)
            return F.pad(whole, (0, rank)) if rank else whole

        w, bias, a, b = self._once(key, joined), None, None, None
        if any(bias is not None for _, bias, _, _ in read):
            parts = [
                w.new_zeros(layer.out_features) if own is None else own
                for layer, (_, own, _, _) in zip(layers, read, strict=True)
            ]
            bias = _rows(parts).to(self.low)
        if rank:
            a = (_rows(downs) * gain).to(self.low)
            ups = [
                w.new_zeros(layer.out_features, 0) if up is None else up
                for layer, (_, _, _, up) in zip(layers, read, strict=True)
            ]
            b = torch.block_diag(*ups).to(self.low)
            w[:, -rank:] = b.detach()
        made = [w, bias, a, b]
        if torch.is_grad_enabled() and not any(each is not None and each.requires_grad for each in made):
            self._done[key] = made
        return made

    def _read(self, layer: Any, turned: bool) -> tuple[Callable[[], Tensor], Tensor | None, Any, Any]:
        """One linear layer: how to get its weight, its bias, and A and s B of an adapter that runs beside it."""
        plain = getattr(layer, "base_layer", layer)
        w, bias, down, up = plain.weight, plain.bias, None, None
        if plain is not layer:
            name = layer.active_adapters[0]
            down, up, factor = layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name]
            if self.low == torch.float32 and w.numel() < SMALL:
                w, down, up = torch.addmm(w, up, down, alpha=factor), None, None  # W + s B A
            else:
                up = up * factor

        def ordered(part: Tensor) -> Tensor:  # rows j and j + width/2, which turn together, become neighbours
            if not turned:
                return part
            return part.view(-1, 2, self.shape[2] // 2, *part.shape[1:]).transpose(1, 2).reshape(part.shape)

        up = None if up is None else ordered(up)
        return lambda: ordered(w), None if bias is None else ordered(bias), down, up

    def _once(self, key: tuple[int, str], make: Callable[[], Tensor]) -> Tensor:
        """What no training changes is made once."""
        if key not in self._frozen:
            made = make()
            if made.requires_grad or not torch.is_grad_enabled():  # without gradients, nothing tells what is frozen
                return made
            self._frozen[key] = made
        return self._frozen[key]

    # --- the passes ---

    def hidden(
        self,
        layout: Layout,
        weights: Sequence[Any],
        wanted: Tensor,
        prompts: Sequence[int] = (),
        beginning: Passed | None = None,
    ) -> Tensor:
        """Hidden states before the last norm at the wanted of the packed tokens, [wanted, width].

        Args:
            prompts: how many tokens at the beginning of each segment are prompt, to be edited.
            beginning: what the frozen blocks gave earlier, or is to be kept of what they give.
        """
        known = beginning.known() if beginning is not None else None
        x = self._embedded(layout.ids) if known is None else known
        first = beginning.blocks if beginning is not None and known is not None else 0
        cis, last = self.cis.index_select(0, layout.positions), len(self.stack.layers) - 1
        edited = {layer: place for place, layer in enumerate(self.edits.layers)} if self.edits is not None else {}
        rows = self._edited(layout, prompts) if edited else []
        for number in range(max(0, first - 1), last + 1):
            if number >= first:
                mine = weights[16 * number : 16 * number + 16]
                x = _attention(x, layout, cis, self.eps, *mine[:8])
                if number == last and number not in edited:  # nobody reads the others any more
                    return _feed_forward(x.index_select(0, wanted), self.eps, *mine[8:])
                x = _feed_forward(x, self.eps, *mine[8:])
            if beginning is not None and known is None and number == beginning.blocks - 1:
                beginning.keep(x)
            if number in edited:
                x = self._edit(x, edited[number], rows, weights[-1])
        return x.index_select(0, wanted)

    def _embedded(self, ids: Tensor) -> Tensor:
        """[tokens, width]; the padding token learns nothing as an input, wherever it stands."""
        embedding = self.stack.embed_tokens
        return F.embedding(ids, embedding.weight, embedding.padding_idx)

    def _edited(self, layout: Layout, prompts: Sequence[int]) -> list[Tensor]:
        """Which packed tokens each side of the edits takes: the first and last of a prompt, at most half of it each."""
        edits, starts, ends = self.edits, [], []
        for number, length in enumerate(prompts):
            first, last = (min(side, length // 2) for side in (edits.first, edits.last))
            starts.append(layout.at(number, 0, first))
            ends.append(layout.at(number, length - last, last))
        sides = [starts, ends] if edits.sides == 2 else [starts + ends]
        return [torch.from_numpy(np.concatenate(side)) for side in sides]

    def _edit(self, x: Tensor, place: int, rows: Sequence[Tensor], directions: Tensor) -> Tensor:
        """Hidden states with the edit number `place` made at the rows of each side."""
        edits = self.edits
        for side, at in enumerate(rows):
            old, which = x.index_select(0, at), place * edits.sides + side
            added = edits.shift(old, which, directions[which]).expand_as(old)
            if edits.training and edits.tuner.dropout:  # on the whole edited vector
                added = F.dropout(old + added, edits.tuner.dropout) - old
            x = x.index_add(0, at, added)
        return x

    def logits(self, hidden: Tensor, head: Tensor) -> Tensor:
        """The output layer, [wanted, vocabulary] in fp32."""
        normed = F.rms_norm(hidden, hidden.shape[1:], self.stack.norm.weight, self.eps)
        return F.linear(normed.to(self.low), head).float()

    def accumulate(self, rows: Sequence[Any], beginning: FrozenBeginning | None = None) -> float:
        """Add the gradient of the rows' mean negative log-likelihood per target token (nats), and return that mean.

        The gradient is gathered at the products' weights first and goes on to the parameters once for all rows.

        Args:
            rows: `ids` (a tuple of token ids) and `prompt_length`; the loss is taken on the ids behind the prompt.
        """
        made, total, loss = self.weights(), sum(len(row.ids) - row.prompt_length for row in rows), 0.0
        several = parts(rows)
        leaves = made if len(several) == 1 else [_leaf(each) for each in made]
        for part in several:
            share = self._loss(part, leaves, beginning) / total
            share.backward()
            loss += share.item()
        reached = [
            (whole, leaf.grad)
            for whole, leaf in zip(made, leaves, strict=True)
            if leaf is not None and leaf is not whole and leaf.grad is not None
        ]
        if reached:
            wholes, gradients = zip(*reached, strict=True)
            torch.autograd.backward(wholes, gradients)
        return loss

    def _loss(self, rows: Sequence[Any], weights: Sequence[Any], beginning: FrozenBeginning | None) -> Tensor:
        """Summed negative log-likelihood of the targets (nats); the last token of a row predicts nothing."""
        assert all(row.prompt_length for row in rows), "the first token of a row has nothing that predicts it"
        layout = Layout([row.ids[:-1] for row in rows], (), self.shape)
        spans = [(n, row.prompt_length - 1, len(row.ids) - row.prompt_length) for n, row in enumerate(rows)]
        wanted = torch.from_numpy(np.concatenate([layout.at(*span) for span in spans]))
        labels = torch.tensor([token for row in rows for token in row.ids[row.prompt_length :]])
        passed = beginning.packed([rows[number] for number in layout.order]) if beginning is not None else None
        hidden = self.hidden(layout, weights, wanted, [row.prompt_length for row in rows], passed)
        return F.cross_entropy(self.logits(hidden, weights[-2]), labels, reduction="sum")


def parts(rows: Sequence[Any]) -> list[list[Any]]:
    """Rows sorted by length and cut where they would take more than `ROOM` tokens."""
    found: list[list[Any]] = []
    tokens = ROOM + 1
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if tokens + len(row.ids) > ROOM:
            found.append([])
            tokens = 0
        found[-1].append(row)
        tokens += len(row.ids)
    return found


def _leaf(whole: Tensor | None) -> Tensor | None:
    return whole.detach().requires_grad_() if whole is not None and whole.requires_grad else whole


def _rows(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]
