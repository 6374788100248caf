"""The two halves of a Llama block, forward and backward by hand, and the products that they are made of."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd import Function
from torch.nn import functional as F

from lowres.fast.layout import Layout

SHORT = 320  # tokens up to which a row keeps its attention weights for the way back; longer ones compute them again
Tensor = torch.Tensor


def _normed(x: Tensor, eps: float, w: Tensor) -> tuple[Tensor, Tensor]:
    """Return n = x / rms(x), in room for w's columns [tokens, width + r], and 1 / rms(x) [tokens, 1]."""
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    scale = torch.addcmul(_number(eps), size, size, value=1 / x.shape[1]).rsqrt_()
    if x.shape[1] == w.shape[1] and x.dtype == w.dtype:
        return x * scale, scale
    room = x.new_empty(len(x), w.shape[1], dtype=w.dtype)
    torch.mul(x, scale, out=room[:, : x.shape[1]])
    return room, scale


@functools.lru_cache(maxsize=8)
def _number(value: float) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(value)


def _add_norm_gradient(dx: Tensor, dn: Tensor, n: Tensor, scale: Tensor) -> None:
    """Add to dx what the norm passes on: (dn - n mean(dn n)) / rms(x), all [tokens, width]."""
    dn, n = dn.to(dx.dtype), n.to(dx.dtype)
    mean = (dn * n).sum(-1, keepdim=True).div_(-n.shape[1])
    dx.addcmul_(torch.addcmul(dn, n, mean), scale)


def _product(room: Tensor, w: Tensor, bias: Tensor | None, a: Tensor | None, onto: Tensor | None = None) -> Tensor:
    """Return y = x W' + (x A') (s B)' + bias; `room` holds x [tokens, in] and gets x A' [tokens, r] behind it.

    Given `onto` [tokens, out] in fp32, y is added to that.
    """
    if a is not None:
        room[:, -len(a) :] = room[:, : -len(a)] @ a.T
    if onto is None:
        return room @ w.T if bias is None else torch.addmm(bias, room, w.T)
    y = torch.addmm(onto, room, w.T) if onto.dtype == w.dtype else onto + room @ w.T
    return y if bias is None else y.add_(bias)


Gradients = tuple[Tensor, tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]]


def _product_gradients(dy: Tensor, room: Tensor, w: Tensor, a: Tensor | None, needs: Sequence[bool]) -> Gradients:
    """Return dx = dy W + (dy s B) A, and dW = dy' x, dbias = sum(dy), dA = (dy s B)' x, d(s B) = dy' (x A')."""
    dx, dbias = dy @ w, dy.sum(0) if needs[1] else None  # dx: [dy W | dy s B]
    if a is None:
        return dx, (dy.T @ room if needs[0] else None, dbias, None, None)
    r = len(a)
    dx, low = dx[:, :-r], dx[:, -r:]
    return dx.addmm_(low, a), (None, dbias, low.T @ room[:, :-r], dy.T @ room[:, -r:])


class Attention(Function):
    """x + O attention(rope(Q n), rope(K n), V n), n = x / rms(x); gradients for x and both products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: Layout, cis: Tensor, eps: float, *products: Any) -> Tensor:
        """Return [tokens, width]; `products` are [W | s B], bias, A and s B of Q, K, V together, then those of O."""
        w, bias, a, _, wo, bias_o, ao, _ = products
        width = layout.width
        room, scale = _normed(x, eps, w)
        qkv = layout.rotated(_product(room, w, bias, a), cis)  # [tokens, (heads + 2 keyed) width]
        parts = qkv.view(-1, width).index_select(0, layout.gather)
        weights, mixed = [], []
        for bucket, q, k, v in layout.parts(parts):
            p = bucket.weights(q, k)  # [rows keyed, heads/keyed length, seen]
            mixed.append((p @ v).view(-1, width))
            weights.append(p if p.shape[2] <= SHORT else None)
        found = mixed[0] if len(mixed) == 1 else torch.cat(mixed)
        out = found.index_select(0, layout.back).view(len(x), -1)  # [tokens, heads width]
        out = out if ao is None else F.pad(out, (0, len(ao)))
        y = _product(out, wo, bias_o, ao, x)
        ctx.save_for_backward(room, scale, w, a, wo, ao, parts, out, cis, *weights)
        ctx.layout = layout
        return y

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> Any:
        """Gradients of what `forward` was given, in its order."""
        room, scale, w, a, wo, ao, parts, out, cis, *weights = ctx.saved_tensors
        layout, needs, (dy,) = ctx.layout, ctx.needs_input_grad, given
        low = dy.to(w.dtype)
        dout, for_out = _product_gradients(low, out, wo, ao, needs[8:])
        dmixed = F.pad(dout, (0, 0, 0, 1))  # what stands for padding reads the zeros
        dmixed = dmixed.view(-1, layout.width).index_select(0, layout.gather_out)
        dparts, at = torch.empty_like(parts), 0
        into = layout.parts(dparts)
        for (bucket, q, k, v), (_, dq, dk, dv), p in zip(layout.parts(parts), into, weights, strict=True):
            p = bucket.weights(q, k) if p is None else p
            at += q.shape[0] * q.shape[1]
            do = dmixed[at - q.shape[0] * q.shape[1] : at].view_as(q)
            # a = p V: dV = p' da, dp = da V'. p = softmax(s): ds = p (dp - sum(p dp)). s = c Q K': dQ = c ds K, ...
            torch.bmm(p.mT, do, out=dv)
            ds = torch.ops.aten._softmax_backward_data(do @ v.mT, p, -1, p.dtype)
            dq.baddbmm_(ds, k, beta=0, alpha=bucket.scale)
            dk.baddbmm_(ds.mT, q, beta=0, alpha=bucket.scale)
        dqkv = dparts.index_select(0, layout.inverse).view(len(dy), -1)
        dn, for_qkv = _product_gradients(layout.rotated(dqkv, cis.conj()), room, w, a, needs[4:])
        dx = dy.clone() if needs[0] else None
        if dx is not None:
            _add_norm_gradient(dx, dn, room[:, : dx.shape[1]], scale)
        return dx, None, None, None, *for_qkv, *for_out


class FeedForward(Function):
    """x + D (silu(G n) * (U n)), n = x / rms(x); gradients for x and both products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, *products: Any) -> Tensor:
        """Return [tokens, width]; `products` are [W | s B], bias, A and s B of G and U together, then those of D."""
        w, bias, a, _, wd, bias_d, ad, _ = products
        room, scale = _normed(x, eps, w)
        both = _product(room, w, bias, a)  # [tokens, 2 inner]
        gate, up = both.chunk(2, -1)
        opened = F.silu(gate)
        if ad is None:
            inner = opened * up
        else:
            inner = both.new_empty(len(x), wd.shape[1])
            torch.mul(opened, up, out=inner[:, : up.shape[1]])
        y = _product(inner, wd, bias_d, ad, x)
        ctx.save_for_backward(room, scale, w, a, wd, ad, both, opened, inner)
        return y

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> Any:
        """Gradients of what `forward` was given, in its order."""
        room, scale, w, a, wd, ad, both, opened, inner = ctx.saved_tensors
        needs, (dy,) = ctx.needs_input_grad, given
        gate, up = both.chunk(2, -1)
        dinner, for_down = _product_gradients(dy.to(w.dtype), inner, wd, ad, needs[6:])
        dboth, width = torch.empty_like(both), up.shape[1]
        torch.mul(dinner, opened, out=dboth[:, width:])  # dU = dinner silu(G); dG = dinner U silu'(G)
        torch.ops.aten.silu_backward.grad_input(dinner.mul_(up), gate, grad_input=dboth[:, :width])
        dn, for_both = _product_gradients(dboth, room, w, a, needs[2:])
        dx = dy.clone() if needs[0] else None
        if dx is not None:
            _add_norm_gradient(dx, dn, room[:, : dx.shape[1]], scale)
        return dx, None, *for_both, *for_down
