"""The micro-batches of one optimizer step, all done again in smaller parts when memory runs out."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import torch

from finetty.backend.training import out_of_memory
from finetty.backend.training.batches import Batch, in_parts
from finetty.backend.training.randomness import RandomStates

if TYPE_CHECKING:
    from finetty.backend.training.trainer import RunTrainer


class Window:
    """What has gone through the model since the last optimizer step: `loss` is the sum of its losses."""

    def __init__(self, trainer: RunTrainer) -> None:
        self._trainer = trainer
        self.begin()

    def begin(self) -> None:
        """The micro-batches of another optimizer step begin."""
        self._batches: list[Batch] = []
        self.loss: torch.Tensor | float = 0.0
        self._random_states = RandomStates.now()

    def add(self, model: Any, batch: Batch, targets: Any) -> torch.Tensor:
        """One micro-batch forward and backward, in as many parts as memory asks for; returns its loss.

        When memory runs out, gradients and random states go back to the window's beginning and all of it so far is
        done again in smaller parts. The same rows stand behind the optimizer step. Raises OutOfMemory, Stopped.
        """
        self._batches.append(batch)
        loss = self._tried(model, [batch], targets)
        while loss is None:
            self.forget()
            self._trainer.room.make("running")
            whole = self._tried(model, self._batches, targets)
            loss = None if whole is None else whole - self.loss
        self.loss = self.loss + loss
        return loss

    def forget(self) -> None:
        """Gradients and random states as they were before this optimizer step's micro-batches."""
        self._trainer.model.zero_grad(set_to_none=True)
        self._random_states.put_back()
        give_memory_back()

    def _tried(self, model: Any, batches: list[Batch], targets: Any) -> torch.Tensor | None:
        """The sum of these micro-batches' losses, None when memory ran out."""
        losses = out_of_memory.tried(lambda: [self._in_parts(model, batch, targets) for batch in batches])
        if losses is None:
            return None
        return torch.stack(losses).sum() if len(losses) > 1 else losses[0]

    def _in_parts(self, model: Any, batch: Batch, targets: Any) -> torch.Tensor:
        trainer = self._trainer
        parts = in_parts(batch, trainer.room.rows, trainer.examples.block)
        # A model that takes no count of targets has its mean loss divided by the number of backward passes.
        passes: int = trainer.current_gradient_accumulation_steps
        trainer.current_gradient_accumulation_steps = passes * len(parts)
        try:
            loss = trainer.forward_and_backward(model, parts[0], targets)
            for part in parts[1:]:
                loss = loss + trainer.forward_and_backward(model, part, targets)
        finally:
            trainer.current_gradient_accumulation_steps = passes
        return loss


def give_memory_back() -> None:
    """What nothing refers to any more, to the card as well."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
