"""The course of a run: what comes before step 1, and what each step's end brings."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from finetty.backend.training import preflight
from finetty.backend.training.commands import Stopped
from finetty.backend.training.randomness import random_states_kept
from finetty.backend.training.trainer import RunTrainer


class Course(TrainerCallback):  # type: ignore[misc]
    """The course of a run: preflight, held-out loss at step 0, a pause between micro-batches, and when to save."""

    def __init__(self, trainer: RunTrainer) -> None:
        self._trainer = trainer
        self._commands = trainer.commands

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer = self._trainer
        trainer.journal.status(total=trainer.planned.steps)
        preflight.rehearse(trainer)
        self._stop_if_asked()
        if state.global_step == 0:
            with random_states_kept():
                if len(trainer.evaluation.held_out):
                    trainer.evaluate()
                trainer.evaluation.answer_samples()
        self._stop_if_asked()
        trainer.clock.start()
        trainer.journal.state("running")

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._hold()

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._hold()

    def _hold(self) -> None:
        """Between micro-batches one process may pause by itself; several do so between steps, all at one place."""
        if self._trainer.ranks.alone:
            self._commands.hold_while_paused()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        wanted = self._heard()
        step, ending = state.global_step, self._commands.ending
        due = step % self._trainer.recipe.output.checkpoint_every == 0 or step >= self._trainer.planned.steps
        control.should_evaluate = due and not ending and len(self._trainer.evaluation.held_out) > 0
        control.should_save = ending == "stop-and-save" or (due and not ending) or wanted
        if ending:
            control.should_training_stop = True

    def _heard(self) -> bool:
        """Every process knows of an ending that was asked for; returns whether a checkpoint is wanted now."""
        commands, trainer = self._commands, self._trainer
        commands.look()
        if not trainer.ranks.alone:
            commands.hold_while_paused()
        wanted = commands.checkpoint_wanted or trainer.lookout.checkpoint_due
        commands.ending, wanted = trainer.ranks.agreed((commands.ending, wanted))
        return bool(wanted)

    def _stop_if_asked(self) -> None:
        self._commands.hold_while_paused()
        self._heard()
        if self._commands.ending:
            raise Stopped
