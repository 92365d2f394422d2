"""The losses that a replay knows: transformers' own, finetty's, and kernels of others by what they take."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers.modeling_outputs import CausalLMOutput

from finetty.backend.memory import Job
from finetty.backend.memory.step import chunk_rows
from finetty.backend.training.loss import logits_of, summed_loss


def choose_loss(model: Any, job: Job) -> None:
    """Give the model the job's loss, with every position trained: which ones are is not known on fake tensors."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    if job.loss_kind == "chunked":
        _from_hidden(inner, _chunked)
    elif job.loss_kind == "fused_linear":
        _from_hidden(inner, _fused(job))
    elif job.loss_kind == "in_place" or job.shifts_logits:
        inner.loss_function = _shifted(in_place=job.loss_kind == "in_place", shifts=job.shifts_logits)
        if job.widens_logits:
            _widened(inner.get_output_embeddings())


def _from_hidden(inner: Any, loss: Any) -> None:
    def forward(labels: Any = None, **inputs: Any) -> Any:
        hidden = getattr(inner, inner.base_model_prefix)(**inputs).last_hidden_state
        return CausalLMOutput(loss=loss(inner, hidden, labels))

    inner.forward = forward


def _widened(head: Any) -> None:
    """Models made their logits fp32 themselves, before 4.46, and named those of 16 bits no more."""
    head.register_forward_hook(lambda _module, _given, made: made.float())


def _chunked(inner: Any, hidden: Any, labels: Any) -> Any:
    targets = labels[:, 1:].flatten()
    places = torch.arange(targets.shape[0])
    chosen = hidden[:, :-1].flatten(0, 1).index_select(0, places)
    total = summed_loss(chosen, targets[places], logits_of(inner), inner.get_output_embeddings())
    return total / len(places)


def _fused(job: Job) -> Any:
    def loss(inner: Any, hidden: Any, _labels: Any) -> Any:
        weight = inner.get_output_embeddings().weight
        rows = chunk_rows(job, *weight.shape)
        return _FusedLinear.apply(hidden.flatten(0, 1), weight, rows)  # type: ignore[no-untyped-call]

    return loss


def _shifted(*, in_place: bool, shifts: bool) -> Any:
    """transformers before 4.50 copied the logits to shift them; `in_place`: a kernel writes the gradient over them."""

    def loss(logits: Any, labels: Any, *_: Any, **__: Any) -> Any:
        wide = logits.float() if shifts or not in_place else logits
        flat = wide.view(-1, wide.shape[-1])
        if shifts:  # what was shifted keeps its name to the end
            flat, labels = wide[..., :-1, :].contiguous().view(-1, wide.shape[-1]), labels[..., 1:].contiguous()
        if in_place:
            return _InPlace.apply(flat)  # type: ignore[no-untyped-call]
        return cross_entropy(flat, labels.view(-1))

    return loss


class _InPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Any) -> Any:
        ctx.save_for_backward(logits)
        _losses = torch.empty(logits.shape[:1], dtype=torch.float32)
        return torch.zeros((), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *arriving: Any) -> Any:
        return ctx.saved_tensors[0].detach()


class _FusedLinear(torch.autograd.Function):
    """Liger's: logits of some rows at a time, their gradient in place of them (Hsu et al. 2024)."""

    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, rows: int) -> Any:
        gradient = torch.zeros_like(hidden)
        of_head = torch.zeros_like(weight) if weight.requires_grad else None
        _losses = torch.zeros(hidden.shape[:1], dtype=torch.float32)
        for start in range(0, hidden.shape[0], rows):
            part = hidden[start : start + rows]
            logits = part.to(weight.dtype) @ weight.t()
            gradient[start : start + rows] = logits @ weight
            if of_head is not None:
                of_head += logits.t() @ part.to(weight.dtype)
        ctx.save_for_backward(gradient, of_head)
        return torch.zeros((), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *arriving: Any) -> Any:
        return *ctx.saved_tensors, None
