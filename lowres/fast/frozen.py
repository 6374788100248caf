"""The frozen beginning of a network, computed once per example.

Where the lowest trained block is not the first, all that happens below it is the same in every epoch: no gradient
reaches it, and its output need not be computed again. An example's output of the last frozen block is kept when the
example is first met; from then on the blocks up to there are passed over. The numbers do not change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lowres.language.formats import Encoded
from lowres.language.inside import inner_model
from lowres.params import InputError
from lowres.tuners.representation import blocks_of, edits_of

FEWEST = 2  # frozen blocks for which it is worth the memory
MOST_BYTES = 2**30  # kept at most


def frozen_blocks(model: nn.Module) -> int:
    """How many blocks at the beginning of a decoder work alike in every epoch: nothing in or before them is trained.

    An edit changes what a block puts out, so the block itself still counts as frozen.
    """
    base = inner_model(model)
    if base.config.is_encoder_decoder or getattr(base.config, "attention_dropout", 0.0):
        return 0
    try:
        blocks = blocks_of(base)[1]
    except InputError:  # an architecture without a list of blocks
        return 0
    place = {id(part): index for index, block in enumerate(blocks) for part in block.parameters()}
    edits = edits_of(model)
    if edits is not None:
        place |= {id(part): edits.frozen_blocks for part in edits.parameters()}
    trained = [place.get(id(part), 0) for part in model.parameters() if part.requires_grad]
    lowest = min(trained, default=0)
    drops = (part.p for block in blocks[:lowest] for part in block.modules() if isinstance(part, nn.Dropout))
    return 0 if any(drops) else lowest


@dataclass(frozen=True)
class Passed:
    """The frozen blocks in one pass over packed rows, in the order in which they stand there.

    Of each row all tokens but the last, which predicts nothing, are packed.
    """

    blocks: int
    rows: Sequence[Any]
    kept: dict[Any, torch.Tensor]

    def known(self) -> torch.Tensor | None:
        """What the last frozen block gives, [tokens, width], where it was kept for every row."""
        return torch.cat([self.kept[row] for row in self.rows]) if all(row in self.kept for row in self.rows) else None

    def keep(self, hidden: torch.Tensor) -> None:
        """Keep what the last frozen block gave, [tokens, width]."""
        apart = hidden.detach().split([len(row.ids) - 1 for row in self.rows])
        self.kept.update(zip(self.rows, (states.clone() for states in apart), strict=True))


class FrozenBeginning:
    """Keeps the output of the last frozen block, per example."""

    def __init__(self, model: nn.Module, sequence: Sequence[Encoded]) -> None:
        base = inner_model(model)
        count, different = frozen_blocks(model), set(sequence)
        size = 4 * base.config.hidden_size * sum(len(row.ids) for row in different)
        worth = count >= FEWEST and len(different) < len(sequence) and size <= MOST_BYTES
        self.blocks = list(blocks_of(base)[1][:count]) if worth else []
        self._kept: dict[Encoded, torch.Tensor] = {}

    def packed(self, rows: Sequence[Any]) -> Passed | None:
        """For a pass over packed rows (see `lowres.fast`)."""
        return Passed(len(self.blocks), rows, self._kept) if self.blocks else None

    @contextlib.contextmanager
    def reading(self, rows: Sequence[Encoded]) -> Iterator[None]:
        """Wrap one forward pass over right-padded rows: pass the frozen blocks over, or keep what they give."""
        if not self.blocks:
            yield
            return
        known = all(row in self._kept for row in rows)
        instead = [_passing] * (len(self.blocks) - 1) + [self._giving(rows)] if known else []
        changed = self.blocks if known else self.blocks[-1:]
        for block, forward in zip(changed, instead or [self._keeping(rows, self.blocks[-1])], strict=True):
            block.forward = forward
        try:
            yield
        finally:
            for block in changed:
                del block.forward  # the class's own shows again

    def _keeping(self, rows: Sequence[Encoded], block: nn.Module) -> Any:
        original = block.forward

        def forward(*arguments: Any, **named: Any) -> Any:
            output = original(*arguments, **named)
            hidden = output[0] if isinstance(output, tuple) else output
            for row, states in zip(rows, hidden, strict=True):
                self._kept[row] = states[: len(row.ids)].detach().clone()
            return output

        return forward

    def _giving(self, rows: Sequence[Encoded]) -> Any:
        def forward(hidden: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            return nn.utils.rnn.pad_sequence([self._kept[row] for row in rows], batch_first=True)

        return forward


def _passing(hidden: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return hidden
