"""transformers' Trainer, told to write finetty's events and checkpoints and to obey its commands."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer

from finetty.backend.messages import Refusal, message
from finetty.backend.planning import Memory, Schedule
from finetty.backend.recipe import Recipe
from finetty.backend.training import sharding
from finetty.backend.training.batches import Batch, Collator, Examples, FlatCollator, RowSampler, tokens_read
from finetty.backend.training.clock import Clock
from finetty.backend.training.commands import Commands
from finetty.backend.training.evaluation import Evaluation
from finetty.backend.training.guards import Guards
from finetty.backend.training.journal import Journal
from finetty.backend.training.keeping import Keeping
from finetty.backend.training.lookout import Lookout
from finetty.backend.training.loss import ChunkedLoss
from finetty.backend.training.offload import offloading
from finetty.backend.training.out_of_memory import Room
from finetty.backend.training.ranks import Ranks
from finetty.backend.training.window import Window

LOST = message("training.loss_lost", "The loss is {loss} at step {step}: training has come apart.")
GRADIENT_LOST = message("training.gradient_lost", "The gradient is no number at step {step}: training has come apart.")
LOWER_RATE = message(
    "training.lower_rate", "Halve training.learning_rate, or resume from the last checkpoint with another precision."
)


class RunTrainer(Trainer):  # type: ignore[misc]
    """A Trainer for one run: rows in finetty's order, an event a step, finetty's own evaluation and checkpoints."""

    is_fsdp_enabled: bool

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
        loss: ChunkedLoss | None,
        answer_samples: Callable[[], None],
        ranks: Ranks,
    ) -> None:
        self.recipe, self.planned, self.examples, self.collate = recipe, planned, examples, collate
        self.journal, self.commands, self.memory, self.room = journal, commands, memory, room
        self.guards, self.lookout, self.loss, self.ranks = Guards(journal), lookout, loss, ranks
        self.clock, self.window = Clock(commands), Window(self)
        self.evaluation, self.keeping = Evaluation(self, held_out, answer_samples), Keeping(self, identity)
        self._step_tokens: torch.Tensor | int = 0
        self.current_gradient_accumulation_steps = 1
        super().__init__(model=model, args=args, data_collator=collate, train_dataset=examples)
        self.remove_callback(PrinterCallback)

    @property
    def over(self) -> bool:
        """Whether all steps are taken, or the run has waited long enough for a lower held-out loss."""
        return self.state.global_step >= self.planned.steps or self.evaluation.out_of_patience

    @property
    def sharded(self) -> bool:
        """Whether each process holds only a share of the model."""
        return self.recipe.hardware.fsdp

    # What the Trainer asks for

    def _get_train_sampler(self, train_dataset: Any = None) -> RowSampler:
        return RowSampler(self.examples.lengths, self.planned.micro_batch, self.args.seed)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """The micro-batches of one optimizer step; their tokens are counted on the way."""
        self.clock.start_step()
        batches, targets = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._step_tokens = sum(tokens_read(batch) for batch in batches)
        self.window.begin()
        return batches, targets

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        """One micro-batch forward and backward; returns its loss. Raises OutOfMemory, Stopped."""
        return self.window.add(model, inputs, num_items_in_batch)

    def forward_and_backward(self, model: Any, inputs: Batch, targets: Any) -> torch.Tensor:
        """The Trainer's own step, for a part of a micro-batch."""
        loss: torch.Tensor = super().training_step(model, inputs, targets)
        return loss

    def create_accelerator_and_postprocess(self) -> None:
        """accelerate leaves FSDP out on a processor, where PyTorch has it all the same."""
        super().create_accelerator_and_postprocess()
        if self.args.fsdp and not self.is_fsdp_enabled:
            sharding.on_processor(self.accelerator, self.args.fsdp_plugin_args)
            self.is_fsdp_enabled = True

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The gradient's length, seen before the step is taken. Raises Refusal when it is no number.

        The weights are still those of the step before, so they are saved first. Under fp16 a gradient that overflows
        is skipped by the loss scaling, which then asks for less; only a loss that is no number is the end.
        """
        norm = sharding.whole(super()._get_grad_norm(model, grad_norm))
        seen = self.window.loss if self.args.fp16 else norm
        if not math.isfinite(float(seen)):
            self._end_lost(float(self.window.loss), float(norm))
        return norm

    def _end_lost(self, loss: float, norm: float) -> None:
        step = self.state.global_step
        self.window.forget()
        if step:
            self.keeping.last_words()
        self.journal.log.append("step", step=step + 1, loss=loss, grad_norm=norm)
        said = GRADIENT_LOST(step=step + 1) if math.isfinite(loss) else LOST(loss=str(loss), step=step + 1)
        raise Refusal(said, LOWER_RATE(), option="training.learning_rate")

    def create_optimizer(self, model: Any = None) -> Any:
        """With LoRA+ the adapter's second matrix, which begins at zero, learns faster (Hayou et al. 2024)."""
        ratio = self.recipe.method.lora_plus
        if ratio is None:
            return super().create_optimizer(model)
        from peft.optimizers import create_loraplus_optimizer

        kind, named = self.get_optimizer_cls_and_kwargs(self.args, self.model)
        decay = self.args.weight_decay
        self.optimizer = create_loraplus_optimizer(
            self.model, kind, loraplus_lr_ratio=ratio, loraplus_weight_decay=decay, **named
        )
        return self.optimizer

    def compute_loss_context_manager(self) -> Any:
        contexts = super().compute_loss_context_manager()
        if self.recipe.training.activation_offloading and torch.is_grad_enabled():
            contexts.enter_context(offloading(self.model.parameters()))
        return contexts

    def floating_point_ops(self, inputs: Batch) -> int:
        """Not counted: walking all parameters for each micro-batch is time that nobody reads."""
        return 0

    # What it tells

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """One event an optimizer step; the Trainer's closing summary is left out. Raises Refusal on a lost loss."""
        if "loss" not in logs:
            return
        step, loss = self.state.global_step, logs["loss"]
        tokens = round(self.ranks.total([float(self._step_tokens)])[0])
        self.state.num_input_tokens_seen += tokens
        seconds = self.clock.of_step
        self.journal.step(
            step,
            loss=loss,
            learning_rate=logs["learning_rate"],
            grad_norm=logs.get("grad_norm"),
            tokens=int(self.state.num_input_tokens_seen),
            tokens_per_second=tokens / seconds if seconds > 0 else None,
            elapsed=self.clock.elapsed,
        )
        if not math.isfinite(loss):
            raise Refusal(LOST(loss=str(loss), step=step), LOWER_RATE(), option="training.learning_rate")
        self.log_elsewhere({**logs, "tokens": float(self.state.num_input_tokens_seen)})
        self.guards.step(step, loss)
        self.lookout.step(seconds)

    def log_elsewhere(self, logs: dict[str, float]) -> None:
        """To the recipe's other logs, whose callbacks are transformers' own."""
        if self.recipe.output.logs:
            self.callback_handler.on_log(self.args, self.state, self.control, logs)

    # What is measured and kept

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The held-out loss, as an event; none when the run is stopped meanwhile."""
        self.control.should_evaluate = False
        loss = self.evaluation.tell()
        return {} if loss is None else {"eval_loss": loss}

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.keeping.checkpoint()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.keeping.take_up(Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self.keeping.take_up_optimizer(Path(checkpoint))
