"""Norms, rotary positions and gated products in one kernel each, as Liger brings them, by what they take."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import MethodType
from typing import Any
from unittest.mock import patch

import torch

from finetty.backend.memory import Job


@contextmanager
def fused_kernels(model: Any, layer: Any, job: Job) -> Iterator[None]:
    """The stand-ins, where the job has such kernels. `layer` is one of the model's."""
    with ExitStack() as stack:
        if job.fused_norms or job.liger:
            _for_modules(model, lambda module: type(module).__name__.endswith("RMSNorm"), _norm)
            own = vars(sys.modules[type(layer).__module__])
            if "apply_rotary_pos_emb" in own:
                stack.enter_context(patch.dict(own, apply_rotary_pos_emb=_in_place))
        if job.fused_adapters:
            _for_modules(model, lambda module: hasattr(module, "lora_A") and hasattr(module, "base_layer"), _adapted)
        if job.fused_gate or job.liger:
            _for_modules(model, _is_gated, _gated)
        yield


def _for_modules(model: Any, is_one: Any, forward: Any) -> None:
    for module in model.modules():
        if is_one(module):
            module.forward = MethodType(forward, module)


def _is_gated(module: Any) -> bool:
    return all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj"))


def _in_place(query: Any, key: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
    """Positions are turned where queries and keys lie."""
    return query, key


def _norm(module: Any, given: Any) -> Any:
    return _Norm.apply(given, module.weight)  # type: ignore[no-untyped-call]


def _gated(module: Any, given: Any) -> Any:
    product = _Product.apply(module.gate_proj(given), module.up_proj(given))  # type: ignore[no-untyped-call]
    return module.down_proj(product)


def _adapted(module: Any, given: Any) -> Any:
    (name,) = module.active_adapters
    weights = module.lora_A[name].weight, module.lora_B[name].weight
    dropped = bool(getattr(module.lora_dropout[name], "p", 0))
    base = module.base_layer(given)
    return _Adapter.apply(base, given, *weights, dropped)  # type: ignore[no-untyped-call]


class _Adapter(torch.autograd.Function):
    """Adds to what it is given; keeps the input, and what dropout left of it."""

    @staticmethod
    def forward(ctx: Any, base: Any, given: Any, inward: Any, outward: Any, dropped: bool) -> Any:
        taken = torch.empty_like(given) if dropped else given
        _added = torch.empty_like(base)
        ctx.save_for_backward(given, taken, inward, outward)
        ctx.mark_dirty(base)
        return base

    @staticmethod
    def backward(ctx: Any, *arriving: Any) -> Any:
        given, _taken, inward, outward = ctx.saved_tensors
        return arriving[0], torch.empty_like(given), torch.empty_like(inward), torch.empty_like(outward), None


class _Norm(torch.autograd.Function):
    """Keeps its input and a number a row; its gradient is written over the one that arrives."""

    @staticmethod
    def forward(ctx: Any, given: Any, weight: Any) -> Any:
        scale = torch.empty(given.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(given, scale, weight)
        return torch.empty_like(given)

    @staticmethod
    def backward(ctx: Any, *arriving: Any) -> Any:
        weight = ctx.saved_tensors[2]
        return arriving[0].detach(), torch.empty_like(weight) if ctx.needs_input_grad[1] else None


class _Product(torch.autograd.Function):
    """Keeps its inputs; their gradients are written over them."""

    @staticmethod
    def forward(ctx: Any, gate: Any, up: Any) -> Any:
        ctx.save_for_backward(gate, up)
        return torch.empty_like(gate)

    @staticmethod
    def backward(ctx: Any, *_arriving: Any) -> Any:
        return tuple(one.detach() for one in ctx.saved_tensors)
