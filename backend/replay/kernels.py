"""What CUDA's kernels take that the processor's do not, put in their place while a replay runs.

Each stands for a kernel by its sizes alone: PyTorch's aten/native/cuda and transformers/cuda, bitsandbytes' ops.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.nn import functional

FLASH = "finetty_varlen"
"""transformers' name for the stand-in for FlashAttention; a name with "flash" in it would be looked up."""


@contextmanager
def cuda_kernels(*, flash: bool, repeats_heads: bool) -> Iterator[None]:
    """`flash`: the card has FlashAttention's kernels; `repeats_heads`: grouped keys are copied for each head."""
    from bitsandbytes.autograd._functions import MatMul4Bit, MatMul8bitFp
    from transformers.integrations import sdpa_attention

    def attention(query: Any, key: Any, value: Any, attn_mask: Any = None, *_: Any, **__: Any) -> Any:
        dtype = torch.get_autocast_dtype("cpu") if autocast("cpu") else query.dtype
        query, key, value = (one.to(dtype) for one in (query, key, value))
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = torch.zeros(attn_mask.shape, dtype=dtype).masked_fill_(attn_mask.logical_not(), -torch.inf)
        taken = flash and attn_mask is None and dtype != torch.float32
        return _Attention.apply(query, key, value, attn_mask, taken)  # type: ignore[no-untyped-call]

    def dropout(given: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        return torch.native_dropout(given, p, training)[0] if training and p else given

    softmax, autocast = functional.softmax, torch.is_autocast_enabled

    def wide_softmax(given: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
        taken = given.requires_grad or dtype
        return _Softmax.apply(given, dim, dtype) if taken else softmax(given, dim)  # type: ignore[no-untyped-call]

    with ExitStack() as stack:
        stack.enter_context(patch.object(functional, "scaled_dot_product_attention", attention))
        stack.enter_context(patch.object(functional, "dropout", dropout))
        stack.enter_context(patch.object(functional, "softmax", wide_softmax))
        stack.enter_context(patch.object(MatMul4Bit, "forward", staticmethod(_unpacked_product)))
        stack.enter_context(patch.object(MatMul8bitFp, "forward", staticmethod(_product_of_bytes)))
        stack.enter_context(patch.object(torch, "is_autocast_enabled", lambda *_: autocast("cpu")))
        if repeats_heads:
            stack.enter_context(patch.object(sdpa_attention, "use_gqa_in_sdpa", lambda *_: False))
        yield


@contextmanager
def nothing_looked_at(*, packed: bool) -> Iterator[None]:
    """Numbers in fake tensors cannot be looked at.

    transformers does to see whether rows are `packed`, and makes a mask to be safe; bitsandbytes does while it works
    out its tables; torch's product of groups takes bf16 alone there.
    """
    from bitsandbytes import functional as bitsandbytes
    from transformers import masking_utils

    def sequences(positions: Any) -> Any:
        return torch.zeros_like(positions) if packed else None

    with (
        patch.object(masking_utils, "find_packed_sequence_indices", sequences),
        patch.object(functional, "grouped_mm", _grouped_product),
        patch.object(bitsandbytes, "create_dynamic_map", lambda *_, **__: torch.empty(256)),
        patch.dict(bitsandbytes.name2qmap, clear=True),
    ):
        yield


def know_flash() -> None:
    """Tell transformers of the stand-in for FlashAttention: no mask, grouped keys as they are."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, flash_attention_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    def forward(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **named: Any) -> Any:
        return sdpa_attention_forward(module, query, key, value, None, **named)

    ALL_ATTENTION_FUNCTIONS.register(FLASH, forward)
    ALL_MASK_ATTENTION_FUNCTIONS.register(FLASH, flash_attention_mask)


def _up(number: int, to: int) -> int:
    return -(-number // to) * to


class _Attention(torch.autograd.Function):
    """Flash and memory-efficient attention: the output laid out by rows, a number a query in fp32 beside it."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, mask: Any, flash: bool) -> Any:
        rows, heads, length, _ = query.shape
        out = torch.empty((rows, length, heads, value.shape[-1]), dtype=query.dtype).transpose(1, 2)
        sums = torch.empty((rows, heads, length if flash else _up(length, 32)), dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, sums, mask)
        ctx.flash = flash
        return out

    @staticmethod
    def backward(ctx: Any, *arriving: Any) -> Any:
        query, key, value, _out, _sums, _mask = ctx.saved_tensors
        rows, heads, length, width = query.shape
        given = arriving[0]
        if given.stride(-1) != 1:
            given = given.contiguous()
        made = [torch.empty(one.transpose(1, 2).shape, dtype=one.dtype) for one in (query, key, value)]
        if ctx.flash:
            rounded = _up(length, 128)
            _delta = torch.empty((rows, heads, rounded), dtype=torch.float32)
            wide = _up(width, 32 if width <= 128 else 64)
            _gathered = torch.empty((rows, rounded, heads, wide), dtype=torch.float32)
            if key.shape[1] != heads:
                whole = (rows, length, heads, width)
                _expanded = [torch.empty(whole, dtype=query.dtype) for _ in range(2)]
        else:
            _delta = torch.empty((rows, heads, length), dtype=torch.float32)
            if query.dtype != torch.float32:
                _gathered = torch.empty((rows, heads, _up(length, 64), _up(width, 64)), dtype=torch.float32)
        return *(one.transpose(1, 2) for one in made), None, None


def _grouped_product(given: Any, weight: Any, *, offs: Any = None, **_: Any) -> Any:
    return _GroupedProduct.apply(given, weight)  # type: ignore[no-untyped-call]


class _GroupedProduct(torch.autograd.Function):
    """[rows, inputs] by [experts, inputs, outputs], each row with its expert's weights."""

    @staticmethod
    def forward(ctx: Any, given: Any, weight: Any) -> Any:
        ctx.save_for_backward(given if weight.requires_grad else None, weight)
        ctx.shape = given.shape
        return torch.empty((given.shape[0], weight.shape[-1]), dtype=given.dtype)

    @staticmethod
    def backward(ctx: Any, *arriving: Any) -> Any:
        _given, weight = ctx.saved_tensors
        back = torch.empty(ctx.shape, dtype=arriving[0].dtype) if ctx.needs_input_grad[0] else None
        return back, torch.empty_like(weight) if ctx.needs_input_grad[1] else None


class _Softmax(torch.autograd.Function):
    """CUDA's reads fp16 and writes fp32 at once, and multiplies into a copy on the way back."""

    @staticmethod
    def forward(ctx: Any, given: Any, dim: Any, dtype: Any) -> Any:
        if dtype is not None and given.dtype != dtype and given.dtype != torch.float16:
            given = given.to(dtype)
        ctx.back = given.dtype
        out = torch.empty(given.shape, dtype=dtype or given.dtype)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *arriving: Any) -> Any:
        (out,) = ctx.saved_tensors
        _hidden = arriving[0] * out
        return torch.empty(out.shape, dtype=ctx.back), None, None


def _unpacked_product(
    ctx: Any, given: Any, packed: Any, out: Any = None, bias: Any = None, quant_state: Any = None
) -> Any:
    """bitsandbytes unpacks a 4-bit weight and multiplies, unless there are a handful of tokens."""
    from bitsandbytes.functional import dequantize_4bit

    packed = packed.view(-1, 1)
    ctx.is_empty, ctx.state = False, quant_state
    ctx.dtype_A, ctx.dtype_B, ctx.dtype_bias = given.dtype, packed.dtype, None if bias is None else bias.dtype
    ctx.tensors = (None, packed)
    return functional.linear(given, dequantize_4bit(packed, quant_state).to(given.dtype), bias)


OUTLIER = 6.0
"""Of LLM.int8: from there on a column of the input is multiplied in 16 bits (Dettmers et al. 2022)."""


def _product_of_bytes(ctx: Any, given: Any, _weight: Any, out: Any = None, bias: Any = None, state: Any = None) -> Any:
    """LLM.int8 as bitsandbytes does it on a card, with one column of outliers; its backward pass is the processor's."""
    flat = given.reshape(-1, given.shape[-1])
    scales, packed = _as_bytes(flat.to(torch.float16))
    outliers = flat[:, :1].contiguous()
    whole = torch.empty((flat.shape[0], state.CB.shape[0]), dtype=torch.int32)
    result = torch.empty(whole.shape, dtype=torch.float16).to(given.dtype)
    del whole, scales, packed
    result = result.addmm(outliers, torch.empty((1, result.shape[-1]), dtype=given.dtype))
    ctx.state, ctx.A, ctx.dtype_A, ctx.grad_shape = state, flat, given.dtype, given.shape
    ctx.dtype_bias = None if bias is None else bias.dtype
    return result.reshape((*given.shape[:-1], result.shape[-1]))


def _as_bytes(half: Any) -> tuple[Any, Any]:
    scales = torch.empty(half.shape[:1], dtype=torch.float32)
    packed = torch.empty(half.shape, dtype=torch.int8)
    _beyond = half.abs() >= OUTLIER
    return scales, packed
