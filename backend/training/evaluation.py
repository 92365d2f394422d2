"""What a run measures on the way: the loss of the rows kept back, and its answers to the recipe's questions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from finetty.backend.training import out_of_memory
from finetty.backend.training.batches import Example, Examples, in_batches
from finetty.backend.training.randomness import random_states_kept
from finetty.backend.training.window import give_memory_back

if TYPE_CHECKING:
    from finetty.backend.training.trainer import RunTrainer

SHARE_OF_SAMPLES = 0.05
"""Of the training's time, beyond which sample answers wait for the end."""


class Evaluation:
    """Measures the model of `trainer` on the rows `held_out`, of which there may be none."""

    def __init__(self, trainer: RunTrainer, held_out: Examples, answer_samples: Callable[[], None]) -> None:
        self._trainer, self.held_out, self.answer_samples = trainer, held_out, answer_samples
        self._seconds_of_samples = 0.0

    def tell(self) -> float | None:
        """The held-out loss as an event, and what follows from it; None when the run is stopped meanwhile."""
        trainer = self._trainer
        loss = self.held_out_loss()
        if loss is None:
            trainer.control.should_training_stop = True
            return None
        step = trainer.state.global_step
        trainer.journal.log.append("eval", step=step, loss=loss)
        trainer.log_elsewhere({"eval_loss": loss})
        trainer.guards.evaluated(step, loss)
        if self.out_of_patience:
            trainer.control.should_save = trainer.control.should_training_stop = True
        self._answer_on_the_way()
        return loss

    @property
    def out_of_patience(self) -> bool:
        """Whether the held-out loss has not fallen for as many evaluations as the recipe waits."""
        patience = self._trainer.recipe.training.patience
        return patience is not None and self._trainer.guards.evaluations_since_best >= patience

    def _answer_on_the_way(self) -> None:
        """The sample answers of an evaluation, as long as they have taken a small share of the training's time.

        Those of the beginning and the end are not this function's.
        """
        trainer = self._trainer
        too_long = self._seconds_of_samples > SHARE_OF_SAMPLES * trainer.clock.elapsed
        if trainer.ranks.agreed(trainer.state.global_step == 0 or trainer.over or too_long):
            return
        began = time.monotonic()
        with random_states_kept():
            self.answer_samples()
        trainer.lookout.alive()
        self._seconds_of_samples += time.monotonic() - began

    def held_out_loss(self) -> float | None:
        """The mean over all learned tokens of the held-out rows, each token counted once. None when stopped."""
        trainer = self._trainer
        trainer.model.eval()
        total, targets = 0.0, 0.0
        for rows, counts in self._own_batches():
            if trainer.ranks.alone:
                trainer.commands.hold_while_paused()
                if trainer.commands.ending:
                    return None
            loss = self.total_loss(rows)
            trainer.lookout.alive()
            if counts:
                total += loss
                targets += sum(row.targets for row in rows)
        total, targets = trainer.ranks.total([total, targets])
        return total / targets

    def _own_batches(self) -> list[tuple[list[Example], bool]]:
        """This process's batches and whether they count: every process has as many, for they may need each other."""
        batches, ranks = list(in_batches(self.held_out, self._trainer.planned.micro_batch)), self._trainer.ranks
        places = range(ranks.rank, math.ceil(len(batches) / ranks.size) * ranks.size, ranks.size)
        return [(batches[place], True) if place < len(batches) else (batches[-1], False) for place in places]

    def total_loss(self, rows: list[Example]) -> float:
        """The loss summed over the learned tokens of these rows, without gradients. Raises OutOfMemory, Stopped."""
        while (total := out_of_memory.tried(lambda: self._in_parts(rows))) is None:
            give_memory_back()
            self._trainer.room.make("evaluation")
        return total

    def _in_parts(self, rows: list[Example]) -> float:
        at_once = self._trainer.room.rows
        parts = [rows[start : start + at_once] for start in range(0, len(rows), at_once)]
        return sum(self.mean_loss(part) * sum(row.targets for row in part) for part in parts)

    def mean_loss(self, rows: list[Example]) -> float:
        """The mean over their learned tokens, without gradients."""
        trainer = self._trainer
        inputs = trainer._prepare_inputs(trainer.collate(rows))
        with torch.no_grad(), trainer.compute_loss_context_manager():
            return float(trainer.compute_loss(trainer.model, inputs))
