"""What a run keeps of itself while it trains: its checkpoints, the best of them, and the way back to one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerState

from finetty.backend.messages import message
from finetty.backend.training import checkpoints, out_of_memory, sharding, trained
from finetty.backend.training.randomness import RandomStates
from finetty.backend.training.ranks import Ranks

if TYPE_CHECKING:
    from finetty.backend.training.trainer import RunTrainer

NO_CHECKPOINT = message("training.no_checkpoint", "The checkpoint at step {step} could not be written: {reason}.")
STILL_TRAINING = message("training.still_training", "Training goes on; free some space, and ask for a checkpoint.")
TOOK_BEST = message(
    "training.took_best", "The result is that of step {step}, which had the lowest held-out loss: {loss}."
)

STATE, OPTIMIZER, SCHEDULER = "trainer_state.json", "optimizer.pt", "scheduler.pt"

Contents = Mapping[str, Any]
"""What of a checkpoint lies with several processes, gathered in the first one."""


class Keeping:
    """The checkpoints of `trainer`; `identity` is what one must share with the run that goes on from it."""

    def __init__(self, trainer: RunTrainer, identity: Mapping[str, Any]) -> None:
        self._trainer, self._identity = trainer, identity

    def checkpoint(self) -> None:
        """A resumable state, whole or not at all, by all processes together. A full disk is told, and no end."""
        trainer = self._trainer
        trainer.control.should_save = trainer.lookout.checkpoint_due = False
        contents = self.gathered()
        if trainer.ranks.first:
            self._write(contents)

    def last_words(self) -> None:
        """A checkpoint in the middle of a step, where no other process comes to the same place."""
        if self._trainer.ranks.first and not self._trainer.sharded:
            self._write(self._own())

    def _write(self, contents: Contents) -> None:
        trainer = self._trainer
        journal, step = trainer.journal, trainer.state.global_step
        path = checkpoints.checkpoint_path(journal.run.checkpoints, step)
        try:
            if not path.exists():
                checkpoints.write_folder(path, lambda folder: self.fill(folder, contents))
                checkpoints.rotate(path.parent, trainer.recipe.output.keep, self._best_step())
        except (OSError, MemoryError, RuntimeError) as error:
            reason = _why_not_written(error)
            journal.alert("error", NO_CHECKPOINT(step=step, reason=reason), STILL_TRAINING())
            trainer.commands.checkpoint_failed(reason)
            return
        trainer.lookout.alive()
        place = str(path.relative_to(journal.run.path))
        journal.log.append("checkpoint", step=step, path=place)
        journal.status(last_checkpoint=place)
        trainer.commands.checkpoint_written(place)

    def gathered(self) -> Contents:
        """Weights and states of all processes, whole in the first one; every process has to ask."""
        own = self._own()
        every = self._trainer.ranks.gathered(own["random"])
        return {**own, "random": {name: states for one in every for name, states in one.items()}}

    def _own(self) -> Contents:
        trainer = self._trainer
        return {
            "trained": trained.tensors(trainer.model),
            "optimizer": sharding.whole(trainer.optimizer.state_dict()),
            "random": {_random_file(trainer.ranks): RandomStates.now().as_saved(alone=trainer.ranks.alone)},
        }

    def fill(self, folder: Path, contents: Contents) -> None:
        """Write into `folder` all that a run goes on from. Raises OSError."""
        trainer = self._trainer
        with checkpoints.failures_as_os_errors():
            trained.write(contents["trained"], folder)
            torch.save(contents["optimizer"], folder / OPTIMIZER)
            torch.save(trainer.lr_scheduler.state_dict(), folder / SCHEDULER)
            trainer._save_scaler(str(folder))
            for name, states in contents["random"].items():
                torch.save(states, folder / name)
        trainer.state.save_to_json(str(folder / STATE))
        checkpoints.write_about(folder, {**self._identity, "step": trainer.state.global_step, **self._so_far()})
        trainer.journal.log.sync()

    def _so_far(self) -> dict[str, Any]:
        trainer = self._trainer
        return {"elapsed": trainer.clock.elapsed, "rows": trainer.room.rows, "held_out": trainer.guards.held_out}

    def _best_step(self) -> int | None:
        """The step with the lowest held-out loss of those that have a checkpoint; None before there is one."""
        trainer = self._trainer
        folder = trainer.journal.run.checkpoints
        kept = [
            (loss, step) for step, loss in trainer.guards.held_out if checkpoints.checkpoint_path(folder, step).is_dir()
        ]
        return min(kept)[1] if kept else None

    def take_best(self) -> None:
        """Put the weights with the lowest held-out loss back into the model, and say so. Raises OSError."""
        trainer = self._trainer
        best = trainer.ranks.agreed(self._best_step())
        if best is None or best == trainer.state.global_step:
            return
        trained.put_back(trainer.model, checkpoints.checkpoint_path(trainer.journal.run.checkpoints, best))
        trainer.journal.note(TOOK_BEST(step=best, loss=f"{dict(trainer.guards.held_out)[best]:.3f}"), step=best)

    def look_back(self, checkpoint: Path) -> None:
        """Be where the run was when it wrote this checkpoint. Raises OSError, ValueError."""
        self._trainer.state = TrainerState.load_from_json(str(checkpoint / STATE))
        self.take_up(checkpoint)

    def take_up(self, checkpoint: Path) -> None:
        """The trained parameters back into the model, bit for bit, and what was noted beside them."""
        trainer = self._trainer
        trained.put_back(trainer.model, checkpoint)
        about = checkpoints.read_about(checkpoint)
        trainer.clock.before = float(about["elapsed"])
        trainer.room.rows = int(about.get("rows", trainer.room.rows))
        trainer.guards.held_out = [(int(step), float(loss)) for step, loss in about.get("held_out", [])]

    def take_up_optimizer(self, checkpoint: Path) -> None:
        """The optimizer's states and the schedule, each process its share. Raises OSError."""
        trainer = self._trainer
        states = torch.load(checkpoint / OPTIMIZER, map_location="cpu", weights_only=True)
        sharding.share_states(states, trainer.optimizer)
        trainer.optimizer.load_state_dict(states)
        trainer.lr_scheduler.load_state_dict(torch.load(checkpoint / SCHEDULER, weights_only=True))


def _random_file(ranks: Ranks) -> str:
    """Where transformers looks for a process's random states."""
    return "rng_state.pth" if ranks.alone else f"rng_state_{ranks.rank}.pth"


def _why_not_written(error: OSError | MemoryError | RuntimeError) -> str:
    """Raises it again when neither disk nor memory is at fault."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if not out_of_memory.is_out_of_memory(error):
        raise error
    return "out of memory"
