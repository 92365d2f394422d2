"""transformers' Trainer, told to write finetty's events and checkpoints and to obey its commands."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback

from finetty.backend.messages import Refusal, message
from finetty.backend.planning import Memory, Schedule
from finetty.backend.recipe import Recipe
from finetty.backend.training import checkpoints, preflight, trained
from finetty.backend.training.batches import (
    Batch,
    Collator,
    Example,
    Examples,
    FlatCollator,
    RowSampler,
    in_batches,
    tokens_read,
)
from finetty.backend.training.commands import Commands, Stopped
from finetty.backend.training.journal import Journal

NO_CHECKPOINT = message("training.no_checkpoint", "The checkpoint at step {step} could not be written: {reason}.")
STILL_TRAINING = message("training.still_training", "Training goes on; free some space, and ask for a checkpoint.")
LOST = message("training.loss_lost", "The loss is {loss} at step {step}: training has come apart.")
LOWER_RATE = message(
    "training.lower_rate", "Halve training.learning_rate, or resume from the last checkpoint with another precision."
)

STATE = "trainer_state.json"


class RunTrainer(Trainer):  # type: ignore[misc]
    """A Trainer for one run: rows in finetty's order, an event a step, finetty's own evaluation and checkpoints."""

    def __init__(
        self,
        model: Any,
        args: Any,
        *,
        recipe: Recipe,
        planned: Schedule,
        examples: Examples,
        held_out: Examples,
        collate: Collator | FlatCollator,
        journal: Journal,
        commands: Commands,
        identity: dict[str, Any],
        memory: Memory,
    ) -> None:
        self.recipe, self.planned, self.examples, self.held_out = recipe, planned, examples, held_out
        self.collate, self.journal, self.commands, self.identity = collate, journal, commands, identity
        self.memory = memory
        self._elapsed_before = 0.0
        self._began = self._step_began = time.monotonic()
        self._paused_before_step = 0.0
        self._step_tokens: torch.Tensor | int = 0
        super().__init__(model=model, args=args, data_collator=collate, train_dataset=examples)
        self.remove_callback(PrinterCallback)

    @property
    def elapsed(self) -> float:
        """Seconds of training in all, in this process and those that it resumes, without pauses."""
        return self._elapsed_before + time.monotonic() - self._began - self.commands.seconds_paused

    def start_clock(self) -> None:
        """Training begins now: what came before is the preflight's."""
        self._began = time.monotonic() - self.commands.seconds_paused

    # What the Trainer asks for

    def _get_train_sampler(self, train_dataset: Any = None) -> RowSampler:
        return RowSampler(self.examples.lengths, self.planned.micro_batch, self.args.seed)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """The micro-batches of one optimizer step; their tokens are counted on the way."""
        self._step_began, self._paused_before_step = time.monotonic(), self.commands.seconds_paused
        batches, targets = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._step_tokens = sum(tokens_read(batch) for batch in batches)
        return batches, targets

    def floating_point_ops(self, inputs: Batch) -> int:
        """Not counted: walking all parameters for each micro-batch is time that nobody reads."""
        return 0

    # What it tells

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """One event an optimizer step; the Trainer's closing summary is left out. Raises Refusal on a lost loss."""
        if "loss" not in logs:
            return
        step, loss = self.state.global_step, logs["loss"]
        tokens = int(self._step_tokens)
        self.state.num_input_tokens_seen += tokens
        seconds = time.monotonic() - self._step_began - (self.commands.seconds_paused - self._paused_before_step)
        self.journal.step(
            step,
            loss=loss,
            learning_rate=logs["learning_rate"],
            grad_norm=logs.get("grad_norm"),
            tokens=int(self.state.num_input_tokens_seen),
            tokens_per_second=tokens / seconds if seconds > 0 else None,
            elapsed=self.elapsed,
        )
        if not math.isfinite(loss):
            raise Refusal(LOST(loss=str(loss), step=step), LOWER_RATE(), option="training.learning_rate")

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The held-out loss, as an event; none when the run is stopped meanwhile."""
        self.control.should_evaluate = False
        loss = self.held_out_loss()
        if loss is None:
            self.control.should_training_stop = True
            return {}
        self.journal.log.append("eval", step=self.state.global_step, loss=loss)
        return {"eval_loss": loss}

    def held_out_loss(self) -> float | None:
        """The mean over all learned tokens of the held-out rows, each token counted once. None when stopped."""
        self.model.eval()
        total, targets = 0.0, 0
        for rows in in_batches(self.held_out, self.planned.micro_batch):
            self.commands.hold_while_paused()
            if self.commands.ending:
                return None
            counted = sum(row.targets for row in rows)
            total += self.loss_of(rows) * counted
            targets += counted
        return total / targets

    def loss_of(self, rows: list[Example]) -> float:
        """The mean loss over the learned tokens of these rows, in one go."""
        inputs = self._prepare_inputs(self.collate(rows))
        with torch.no_grad(), self.compute_loss_context_manager():
            return float(self.compute_loss(self.model, inputs))

    # What it keeps

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """A resumable state, whole or not at all. A full disk is told, and training goes on."""
        self.control.should_save = False
        step = self.state.global_step
        path = checkpoints.checkpoint_path(self.journal.run.checkpoints, step)
        try:
            if not path.exists():
                checkpoints.write_folder(path, self.fill_checkpoint)
                checkpoints.rotate(path.parent, self.recipe.output.keep)
        except OSError as error:
            self.journal.alert("error", NO_CHECKPOINT(step=step, reason=error.strerror or str(error)), STILL_TRAINING())
            self.commands.checkpoint_failed(error.strerror or str(error))
            return
        place = str(path.relative_to(self.journal.run.path))
        self.journal.log.append("checkpoint", step=step, path=place)
        self.journal.run.write_status(last_checkpoint=place)
        self.commands.checkpoint_written(place)

    def fill_checkpoint(self, folder: Path) -> None:
        """Write into `folder` all that a run goes on from. Raises OSError."""
        trained.keep(self.model, folder)
        self._save_optimizer_and_scheduler(str(folder))
        self._save_scaler(str(folder))
        self._save_rng_state(str(folder))
        self.state.save_to_json(str(folder / STATE))
        checkpoints.write_about(folder, {**self.identity, "step": self.state.global_step, "elapsed": self.elapsed})
        self.journal.log.sync()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """The trained parameters back into the model, bit for bit."""
        folder = Path(resume_from_checkpoint)
        trained.put_back(self.model, folder)
        self._elapsed_before = float(checkpoints.read_about(folder)["elapsed"])


class Course(TrainerCallback):  # type: ignore[misc]
    """The course of a run: preflight, held-out loss at step 0, a pause between micro-batches, and when to save."""

    def __init__(self, trainer: RunTrainer, *, before_step_1: Any) -> None:
        self._trainer, self._before_step_1 = trainer, before_step_1
        self._commands = trainer.commands

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer = self._trainer
        trainer.journal.run.write_status(total=trainer.planned.steps)
        preflight.rehearse(trainer)
        self._stop_if_asked()
        if state.global_step == 0:
            with preflight.random_states_kept():
                if len(trainer.held_out):
                    trainer.evaluate()
                self._before_step_1()
        self._stop_if_asked()
        trainer.start_clock()
        trainer.journal.state("running")

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._commands.hold_while_paused()

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._commands.hold_while_paused()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._commands.look()
        step, ending = state.global_step, self._commands.ending
        due = step % self._trainer.recipe.output.checkpoint_every == 0 or step >= self._trainer.planned.steps
        control.should_evaluate = due and not ending and len(self._trainer.held_out) > 0
        control.should_save = ending == "stop-and-save" or (due and not ending) or self._commands.checkpoint_wanted
        if ending:
            control.should_training_stop = True

    def _stop_if_asked(self) -> None:
        self._commands.hold_while_paused()
        if self._commands.ending:
            raise Stopped
