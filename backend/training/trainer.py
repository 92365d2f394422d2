"""transformers' Trainer, told to write finetty's events and checkpoints and to obey its commands."""

from __future__ import annotations

import gc
import math
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback

from finetty.backend.messages import Refusal, message
from finetty.backend.planning import Memory, Schedule
from finetty.backend.recipe import Recipe
from finetty.backend.training import checkpoints, out_of_memory, preflight, trained
from finetty.backend.training.batches import (
    Batch,
    Collator,
    Example,
    Examples,
    FlatCollator,
    RowSampler,
    in_batches,
    in_parts,
    tokens_read,
)
from finetty.backend.training.commands import Commands, Stopped
from finetty.backend.training.guards import Guards
from finetty.backend.training.journal import Journal
from finetty.backend.training.lookout import Lookout
from finetty.backend.training.out_of_memory import Room
from finetty.backend.training.randomness import RandomStates, random_states_kept

NO_CHECKPOINT = message("training.no_checkpoint", "The checkpoint at step {step} could not be written: {reason}.")
STILL_TRAINING = message("training.still_training", "Training goes on; free some space, and ask for a checkpoint.")
LOST = message("training.loss_lost", "The loss is {loss} at step {step}: training has come apart.")
GRADIENT_LOST = message("training.gradient_lost", "The gradient is no number at step {step}: training has come apart.")
LOWER_RATE = message(
    "training.lower_rate", "Halve training.learning_rate, or resume from the last checkpoint with another precision."
)

TOOK_BEST = message(
    "training.took_best", "The result is that of step {step}, which had the lowest held-out loss: {loss}."
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
        room: Room,
        lookout: Lookout,
    ) -> None:
        self.recipe, self.planned, self.examples, self.held_out = recipe, planned, examples, held_out
        self.collate, self.journal, self.commands, self.identity = collate, journal, commands, identity
        self.memory, self.room, self.guards, self.lookout = memory, room, Guards(journal), lookout
        self.begin_window()
        self._elapsed_before = 0.0
        self._began = self._step_began = time.monotonic()
        self._paused_before_step = 0.0
        self._step_tokens: torch.Tensor | int = 0
        self.current_gradient_accumulation_steps = 1
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
        self.begin_window()
        return batches, targets

    # What it does when memory runs out

    def begin_window(self) -> None:
        """The micro-batches of another optimizer step begin, which may all have to be done again."""
        self._window: list[Batch] = []
        self._window_loss: torch.Tensor | float = 0.0
        self._window_random = RandomStates.now()

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        """One micro-batch forward and backward, in as many parts as memory asks for; returns its loss.

        When memory runs out, gradients and random states go back to the window's beginning and all of it so far is
        done again in smaller parts. The same rows stand behind the optimizer step. Raises OutOfMemory, Stopped.
        """
        self._window.append(inputs)
        loss = self._tried(model, [inputs], num_items_in_batch)
        while loss is None:
            self._forget_window(model)
            self.room.make("preflight" if self.journal.now == "preflight" else "running")
            whole = self._tried(model, self._window, num_items_in_batch)
            loss = None if whole is None else whole - self._window_loss
        self._window_loss = self._window_loss + loss
        return loss

    def _tried(self, model: Any, batches: list[Batch], targets: Any) -> torch.Tensor | None:
        """The sum of these micro-batches' losses, None when memory ran out."""
        try:
            losses = [self._in_parts(model, batch, targets) for batch in batches]
            return torch.stack(losses).sum() if len(losses) > 1 else losses[0]
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory.is_out_of_memory(error):
                raise
            traceback.print_exception(error)
        return None

    def _in_parts(self, model: Any, batch: Batch, targets: Any) -> torch.Tensor:
        parts = in_parts(batch, self.room.rows)
        # A model that takes no count of targets has its mean loss divided by the number of backward passes.
        passes: int = self.current_gradient_accumulation_steps
        self.current_gradient_accumulation_steps = passes * len(parts)
        try:
            loss: torch.Tensor = super().training_step(model, parts[0], targets)
            for part in parts[1:]:
                loss = loss + super().training_step(model, part, targets)
        finally:
            self.current_gradient_accumulation_steps = passes
        return loss

    def _forget_window(self, model: Any) -> None:
        model.zero_grad(set_to_none=True)
        self._window_random.put_back()
        _give_memory_back()

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The gradient's length, seen before the step is taken. Raises Refusal when it is no number.

        The weights are still those of the step before, so they are saved first. Under fp16 a gradient that overflows
        is skipped by the loss scaling, which then asks for less; only a loss that is no number is the end.
        """
        norm = super()._get_grad_norm(model, grad_norm)
        seen = self._window_loss if self.args.fp16 else norm
        if not math.isfinite(float(seen)):
            self._end_lost(model, float(self._window_loss), float(norm))
        return norm

    def _end_lost(self, model: Any, loss: float, norm: float) -> None:
        step = self.state.global_step
        self._forget_window(model)
        if step:
            self.keep()
        self.journal.log.append("step", step=step + 1, loss=loss, grad_norm=norm)
        said = GRADIENT_LOST(step=step + 1) if math.isfinite(loss) else LOST(loss=str(loss), step=step + 1)
        raise Refusal(said, LOWER_RATE(), option="training.learning_rate")

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
        self.guards.step(step, loss)
        self.lookout.step(seconds)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The held-out loss, as an event; none when the run is stopped meanwhile."""
        self.control.should_evaluate = False
        loss = self.held_out_loss()
        if loss is None:
            self.control.should_training_stop = True
            return {}
        self.journal.log.append("eval", step=self.state.global_step, loss=loss)
        self.guards.evaluated(self.state.global_step, loss)
        return {"eval_loss": loss}

    def held_out_loss(self) -> float | None:
        """The mean over all learned tokens of the held-out rows, each token counted once. None when stopped."""
        self.model.eval()
        total, targets = 0.0, 0
        for rows in in_batches(self.held_out, self.planned.micro_batch):
            self.commands.hold_while_paused()
            if self.commands.ending:
                return None
            total += self.total_loss(rows)
            self.lookout.alive()
            targets += sum(row.targets for row in rows)
        return total / targets

    def total_loss(self, rows: list[Example]) -> float:
        """The loss summed over the learned tokens of these rows, without gradients. Raises OutOfMemory, Stopped."""
        while (total := self._tried_evaluation(rows)) is None:
            _give_memory_back()
            self.room.make("preflight" if self.journal.now == "preflight" else "evaluation")
        return total

    def _tried_evaluation(self, rows: list[Example]) -> float | None:
        at_once = self.room.rows
        parts = [rows[start : start + at_once] for start in range(0, len(rows), at_once)]
        try:
            return sum(self._loss_of(part) * sum(row.targets for row in part) for part in parts)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory.is_out_of_memory(error):
                raise
            traceback.print_exception(error)
        return None

    def _loss_of(self, rows: list[Example]) -> float:
        inputs = self._prepare_inputs(self.collate(rows))
        with torch.no_grad(), self.compute_loss_context_manager():
            return float(self.compute_loss(self.model, inputs))

    # What it keeps

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """A resumable state, whole or not at all. A full disk is told, and training goes on."""
        self.control.should_save = self.lookout.checkpoint_due = False
        step = self.state.global_step
        path = checkpoints.checkpoint_path(self.journal.run.checkpoints, step)
        try:
            if not path.exists():
                checkpoints.write_folder(path, self.fill_checkpoint)
                checkpoints.rotate(path.parent, self.recipe.output.keep, self.best_step())
        except (OSError, MemoryError, RuntimeError) as error:
            reason = _why_not_written(error)
            self.journal.alert("error", NO_CHECKPOINT(step=step, reason=reason), STILL_TRAINING())
            self.commands.checkpoint_failed(reason)
            return
        self.lookout.alive()
        place = str(path.relative_to(self.journal.run.path))
        self.journal.log.append("checkpoint", step=step, path=place)
        self.journal.run.write_status(last_checkpoint=place)
        self.commands.checkpoint_written(place)

    def best_step(self) -> int | None:
        """The step with the lowest held-out loss of those that have a checkpoint; None before there is one."""
        folder = self.journal.run.checkpoints
        kept = [
            (loss, step) for step, loss in self.guards.held_out if checkpoints.checkpoint_path(folder, step).is_dir()
        ]
        return min(kept)[1] if kept else None

    def take_best(self) -> None:
        """Put the weights with the lowest held-out loss back into the model, and say so. Raises OSError."""
        best = self.best_step()
        if best is None or best == self.state.global_step:
            return
        trained.put_back(self.model, checkpoints.checkpoint_path(self.journal.run.checkpoints, best))
        self.journal.note(TOOK_BEST(step=best, loss=f"{dict(self.guards.held_out)[best]:.3f}"), step=best)

    def fill_checkpoint(self, folder: Path) -> None:
        """Write into `folder` all that a run goes on from. Raises OSError."""
        with checkpoints.failures_as_os_errors():
            trained.keep(self.model, folder)
            self._save_optimizer_and_scheduler(str(folder))
            self._save_scaler(str(folder))
            self._save_rng_state(str(folder))
        self.state.save_to_json(str(folder / STATE))
        checkpoints.write_about(folder, {**self.identity, "step": self.state.global_step, **self._so_far()})
        self.journal.log.sync()

    def _so_far(self) -> dict[str, Any]:
        return {"elapsed": self.elapsed, "rows": self.room.rows, "held_out": self.guards.held_out}

    def keep(self) -> None:
        """Write a checkpoint now, outside of the Trainer's loop."""
        self._save_checkpoint(self.model, None)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """The trained parameters back into the model, bit for bit."""
        folder = Path(resume_from_checkpoint)
        trained.put_back(self.model, folder)
        about = checkpoints.read_about(folder)
        self._elapsed_before = float(about["elapsed"])
        self.room.rows = int(about.get("rows", self.room.rows))
        self.guards.held_out = [(int(step), float(loss)) for step, loss in about.get("held_out", [])]


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
            with random_states_kept():
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
        wanted = self._commands.checkpoint_wanted or self._trainer.lookout.checkpoint_due
        control.should_save = ending == "stop-and-save" or (due and not ending) or wanted
        if ending:
            control.should_training_stop = True

    def _stop_if_asked(self) -> None:
        self._commands.hold_while_paused()
        if self._commands.ending:
            raise Stopped


def _give_memory_back() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _why_not_written(error: OSError | MemoryError | RuntimeError) -> str:
    """Raises it again when neither disk nor memory is at fault."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if not out_of_memory.is_out_of_memory(error):
        raise error
    return "out of memory"
