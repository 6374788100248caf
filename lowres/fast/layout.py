"""Where the tokens of several rows stand when they are packed without padding, and what attention sees of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

STEP = 16  # the length of a bucket is a multiple of this; a short one a power of two
WASTED = 2**16  # attention weights on padding for which it does not pay to open another bucket


@dataclass(frozen=True)
class Bucket:
    """`rows` segments of at most `length` tokens, which see at most `before` tokens of other segments, and themselves.

    `hidden` is 0 where a key is seen and minus infinity where not: [heads/keyed length, seen], or, where there is
    something before, [rows, 1, 1, length, seen]; seen = length + before, the segment's own tokens first.
    """

    rows: int
    length: int
    before: int
    hidden: torch.Tensor
    scale: float

    def weights(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """softmax(scale q k'), [rows keyed, heads/keyed length, seen]; heads that share a key go in one product."""
        hidden = self.hidden.to(q.dtype)
        if not self.before:
            return torch.baddbmm(hidden, q, k.mT, alpha=self.scale).softmax(-1)
        scores = torch.bmm(q, k.mT).mul_(self.scale)
        apart = scores.view(self.rows, -1, q.shape[1] // self.length, self.length, k.shape[1])
        return apart.add_(hidden).view_as(scores).softmax(-1)


class Layout:
    """Segments of tokens, packed: `ids` and `positions` [tokens] in the order of `start`.

    A segment goes on from its parent, and sees all of that and of the parent's own; -1 stands for none. So the choices
    behind a prompt, and prompts behind a common beginning, share what they begin with. With parents there is no way
    back (a key is then gathered more than once).

    `gather` picks vectors of queries, keys and values, [tokens (heads + 2 keyed), width], into the buckets one after
    the other; `inverse` undoes it. `back` and `gather_out` do the same for what attention gives [tokens heads, width].
    """

    def __init__(self, segments: Sequence[Sequence[int]], parents: Sequence[int], shape: tuple[int, int, int]) -> None:
        self.heads, self.keyed, self.width = shape
        self.lengths = np.array([len(segment) for segment in segments])
        self.parents = list(parents) or [-1] * len(segments)
        self.tokens = int(self.lengths.sum())
        self.before = np.zeros(len(segments), dtype=np.int64)
        for number, parent in enumerate(self.parents):  # a parent stands before its children
            self.before[number] = 0 if parent < 0 else self.before[parent] + self.lengths[parent]
        groups = self._groups()
        self.order = [number for members in groups.values() for number in members]
        self.start = np.zeros(len(segments), dtype=np.int64)
        self.start[self.order] = np.cumsum([0, *self.lengths[self.order]])[:-1]
        self.ids = torch.from_numpy(np.concatenate([np.asarray(segments[n], dtype=np.int64) for n in self.order]))
        at = [np.arange(self.lengths[n]) + self.before[n] for n in self.order]
        self.positions = torch.from_numpy(np.concatenate(at))
        self.buckets: list[Bucket] = []
        self._index(groups)

    def _groups(self) -> dict[tuple[int, int], list[int]]:
        """Segments by the length and the number of earlier tokens that they are padded to."""
        groups: dict[tuple[int, int], list[int]] = {}
        kind, wasted = (0, -1), 0
        earlier = np.array([_rounded(before) for before in self.before.tolist()])
        for number in np.lexsort((self.lengths, earlier))[::-1].tolist():
            own, before = int(self.lengths[number]), int(earlier[number])
            wasted += self.heads * (kind[0] - own) * (kind[0] + before)
            if kind[1] != before or wasted > WASTED:
                kind, wasted = (_rounded(own), before), 0
            if own:
                groups.setdefault(kind, []).append(number)
        return groups

    def _index(self, groups: dict[tuple[int, int], list[int]]) -> None:
        """Fill the buckets and the four indices."""
        heads, keyed, tokens = self.heads, self.keyed, self.tokens
        every, gather, out = heads + 2 * keyed, [], []
        for (length, before), members in groups.items():
            own = self._own(np.array(members), length)  # [rows, length], `tokens` on the padding
            earlier = self._earlier(members, before)  # [rows, before]
            seen = np.concatenate([own, earlier], 1)
            gather.append(_heads(own, every, 0, heads))
            gather += [_heads(seen, every, first, keyed) for first in (heads, heads + keyed)]
            out.append(_heads(own, heads, 0, heads))
            self.buckets.append(self._bucket(length, earlier))
        whole, self.gather_out = np.concatenate(gather), torch.from_numpy(np.concatenate(out))
        self.gather = torch.from_numpy(np.where(whole < tokens * every, whole, 0))
        self.inverse = _inverse(whole, tokens * every)
        self.back = _inverse(self.gather_out.numpy(), tokens * heads)

    def _own(self, members: np.ndarray, length: int) -> np.ndarray:
        at = np.arange(length)[None]
        return np.where(at < self.lengths[members, None], self.start[members, None] + at, self.tokens)

    def _earlier(self, members: Sequence[int], before: int) -> np.ndarray:
        """Where the tokens of parents stand, [rows, before]; `tokens` on the padding."""
        found = np.full((len(members), before), self.tokens)
        for row, number in enumerate(members):
            while (number := self.parents[number]) >= 0:
                end = self.before[number] + self.lengths[number]
                found[row, self.before[number] : end] = self.start[number] + np.arange(self.lengths[number])
        return found

    def _bucket(self, length: int, earlier: np.ndarray) -> Bucket:
        rows, before = earlier.shape
        hidden = _future(length, self.heads // self.keyed)
        if before:
            there = torch.from_numpy(np.where(earlier < self.tokens, np.float32(0), np.float32(-np.inf)))
            own = hidden[:length].expand(rows, 1, 1, length, length)
            hidden = torch.cat([own, there[:, None, None, None].expand(-1, -1, -1, length, -1)], -1)
        return Bucket(rows, length, before, hidden, self.width**-0.5)

    def parts(self, gathered: torch.Tensor) -> Iterator[tuple[Bucket, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Views of each bucket's queries [rows keyed, heads/keyed length, width]; keys, values [.., seen, width]."""
        sizes = [size for bucket in self.buckets for size in self._sizes(bucket)]
        split = gathered.split(sizes)
        for number, bucket in enumerate(self.buckets):
            each = (part.view(bucket.rows * self.keyed, -1, self.width) for part in split[3 * number : 3 * number + 3])
            yield bucket, *each

    def _sizes(self, bucket: Bucket) -> tuple[int, int, int]:
        seen = bucket.rows * self.keyed * (bucket.length + bucket.before)
        return bucket.rows * self.heads * bucket.length, seen, seen

    def rotated(self, qkv: torch.Tensor, cis: torch.Tensor) -> torch.Tensor:
        """Queries and keys turned by their positions' angles, in place in fp32; cis [tokens, 1, width/2] is complex."""
        whole = qkv.float()
        pairs = whole.view(self.tokens, -1, self.width // 2, 2)[:, : self.heads + self.keyed]
        torch.view_as_complex(pairs).mul_(cis)
        return whole.to(qkv.dtype)

    def at(self, segment: int, first: int, count: int) -> np.ndarray:
        """Where some tokens of a segment stand."""
        return np.arange(self.start[segment] + first, self.start[segment] + first + count)


def _rounded(length: int) -> int:
    return 1 << max(0, length - 1).bit_length() if 0 < length <= STEP else -(-length // STEP) * STEP


def _heads(tokens: np.ndarray, every: int, first: int, count: int) -> np.ndarray:
    """[rows, length] tokens as the places of `count` heads' vectors among `every` per token, rows x heads x length."""
    return (tokens[:, None] * every + (first + np.arange(count))[None, :, None]).reshape(-1)


def _inverse(gather: np.ndarray, size: int) -> torch.Tensor:
    real = np.flatnonzero(gather < size)
    found = np.zeros(size, dtype=np.int64)
    found[gather[real]] = real
    return torch.from_numpy(found)


@functools.lru_cache(maxsize=64)
def _future(length: int, times: int) -> torch.Tensor:
    """Minus infinity above the diagonal, [times length, length]."""
    return torch.full((length, length), -torch.inf).triu(1).repeat(times, 1)
