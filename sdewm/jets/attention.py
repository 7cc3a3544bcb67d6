"""Multi-head attention on jets: projections, scaled scores, masks, weights (Vaswani et al. 2017, §3.2)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sdewm.jets.linear import dropout
from sdewm.jets.registry import rule, space_of


def _added(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """A mask as numbers to add to the scores: −∞ where a Boolean mask is true."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill(mask, -torch.inf)


def _heads(x: Any, heads: int) -> Any:
    """``(length, batch, heads * size)`` to ``(batch, heads, length, size)``."""
    return x.reshape(x.shape[0], x.shape[1], heads, -1).permute(1, 2, 0, 3)


@rule("multi_head_attention_forward")
def multi_head_attention(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Any, Any]:
    space_of(query, key, value, in_proj_weight, in_proj_bias, bias_k, bias_v, out_proj_weight, out_proj_bias)
    if is_causal and attn_mask is None:
        raise ValueError("attn_mask: expected a causal mask with is_causal=True, as torch does, got None")
    if training and dropout_p > 0:
        dropout(query, dropout_p)  # the message says what to do
    single = query.ndim == 2
    if single:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, batch, width = query.shape
    if width != embed_dim_to_check:
        raise ValueError(f"query: expected {embed_dim_to_check} features, got {width}")

    weights = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else in_proj_weight.chunk(3)
    biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
    if query is key is value and not use_separate_proj_weight:
        q, k, v = F.linear(query, in_proj_weight, in_proj_bias).chunk(3, -1)
    else:
        q, k, v = (F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))
    if bias_k is not None:
        k, v = (torch.cat([x, b.expand(1, batch, -1)]) for x, b in ((k, bias_k), (v, bias_v)))
    q, k, v = (_heads(x, num_heads) for x in (q, k, v))
    k = k if static_k is None else static_k.unflatten(0, (batch, num_heads))
    v = v if static_v is None else static_v.unflatten(0, (batch, num_heads))
    if add_zero_attn:
        k, v = (torch.cat([x, torch.zeros_like(x[..., :1, :])], -2) for x in (k, v))

    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)
    # Keys beyond the mask are visible to all queries.
    extra = scores.shape[-1] - key.shape[0] if static_k is None else 0
    mask = _added(attn_mask, scores)
    if mask is not None:
        mask = F.pad(mask, (0, extra))
        scores = scores + (mask.unflatten(0, (batch, num_heads)) if mask.ndim == 3 else mask)
    padding = _added(key_padding_mask, scores)
    if padding is not None:
        scores = scores + F.pad(padding, (0, extra))[:, None, None, :]
    attention = torch.softmax(scores, -1)
    out = (attention @ v).permute(2, 0, 1, 3).reshape(length, batch, width)
    out = F.linear(out, out_proj_weight, out_proj_bias)
    if single:
        out = out.squeeze(1)
    if not need_weights:
        return out, None
    attention = attention.mean(1) if average_attn_weights else attention
    return out, attention.squeeze(0) if single else attention
