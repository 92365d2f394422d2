"""The loss from the trained positions alone, some hundred at a time: the logits of a whole batch are never there.

transformers' own makes the logits of every position, of the question and the padding too, and several copies of them
in fp32. Here the hidden states of the trained positions are picked out before the output head, and each chunk's
gradient is worked out with its loss, as Liger's fused loss does (Hsu et al. 2024).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers.modeling_outputs import CausalLMOutput

from finetty.backend.memory.step import POSITIONS_AT_ONCE
from finetty.backend.training.batches import IGNORED

LogitsOf = Callable[[torch.Tensor], torch.Tensor]
"""Hidden states [positions, hidden] to logits [positions, vocabulary]."""


class ChunkedLoss:
    """Takes the place of a model's own loss: `model(**batch, labels=...)` gives this one while it is `active`.

    Without labels, as in generation, the model is as it was.
    """

    def __init__(self, model: Any) -> None:
        self.active = True
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        own_forward = inner.forward

        @functools.wraps(own_forward)  # the Trainer and generate() read the signature
        def forward(*given: Any, **named: Any) -> Any:
            if self.active and named.get("labels") is not None:
                return CausalLMOutput(loss=_loss(inner, named))
            return own_forward(*given, **named)

        inner.forward = forward


def _loss(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """The sum over the trained positions divided by `num_items_in_batch`; their mean where that is not given."""
    inputs = dict(inputs)
    targets, count = inputs.pop("labels")[:, 1:], inputs.pop("num_items_in_batch", None)
    hidden = getattr(model, model.base_model_prefix)(**inputs).last_hidden_state[:, :-1]
    places = (targets.flatten() != IGNORED).nonzero().flatten()
    chosen = hidden.flatten(0, 1).index_select(0, places)
    total = summed_loss(chosen, targets.flatten()[places], logits_of(model), model.get_output_embeddings())
    return total / (len(places) if count is None else count)


def logits_of(model: Any) -> LogitsOf:
    """The output head, with what Gemma (a soft cap), Cohere and Granite (a scale) do to its logits."""
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    cap, divisor = getattr(config, "final_logit_softcapping", None), getattr(config, "logits_scaling", None)
    factor = getattr(config, "logit_scale", None)

    def logits(hidden: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = head(hidden)
        if factor is not None:
            found = found * factor
        if divisor is not None:
            found = found / divisor
        return found if cap is None else torch.tanh(found / cap) * cap

    return logits


def summed_loss(hidden: torch.Tensor, targets: torch.Tensor, logits: LogitsOf, head: Any) -> torch.Tensor:
    """Cross entropy summed over `targets` [positions], in fp32; `hidden` is [positions, hidden]."""
    if torch.is_grad_enabled():
        trained = [one for one in head.parameters() if one.requires_grad]
        found: torch.Tensor = _SummedLoss.apply(hidden, targets, logits, *trained)  # type: ignore[no-untyped-call]
        return found
    total = hidden.new_zeros((), dtype=torch.float32)
    for part, wanted in _chunks(hidden, targets):
        total += cross_entropy(logits(part).float(), wanted, reduction="sum")
    return total


def _chunks(hidden: torch.Tensor, targets: torch.Tensor) -> Any:
    return zip(torch.split(hidden, POSITIONS_AT_ONCE), torch.split(targets, POSITIONS_AT_ONCE), strict=True)


class _SummedLoss(torch.autograd.Function):
    """Each chunk's gradient is made with its loss, so that its logits can go at once."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, targets: torch.Tensor, logits: LogitsOf, *trained: torch.Tensor
    ) -> torch.Tensor:
        total = hidden.new_zeros((), dtype=torch.float32)
        gradients: list[torch.Tensor] = []
        of_head = [torch.zeros_like(one) for one in trained]
        for part, wanted in _chunks(hidden, targets):
            with torch.enable_grad():
                part = part.detach().requires_grad_()
                loss = cross_entropy(logits(part).float(), wanted, reduction="sum")
            gradient, *more = torch.autograd.grad(loss, [part, *trained])
            gradients.append(gradient)
            for whole, one in zip(of_head, more, strict=True):
                whole += one
            total += loss.detach()
        ctx.save_for_backward(torch.cat(gradients), *of_head)
        return total

    @staticmethod
    def backward(ctx: Any, *arriving: torch.Tensor) -> Any:
        gradient, *of_head = ctx.saved_tensors
        return gradient * arriving[0], None, None, *(one * arriving[0] for one in of_head)
